// A service for the time of one command: `unmask serve` as a child process on free loopback ports, ended with the
// object (and with this process, however it dies).
#ifndef UNMASK_CLI_EMBEDDED_SERVICE_H_
#define UNMASK_CLI_EMBEDDED_SERVICE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace unmask {

struct EmbeddedServiceOptions {
  std::string model;  // Checkpoint folder; empty: the embedded model.
  int tensor_parallel = 1;
  std::string dtype = "auto";
  int threads = 0;            // Per rank; 0: serve's default.
  std::string store;          // Folder of batch jobs; empty: none.
  bool show_progress = true;  // A bar on standard error while the checkpoint loads, if that is a terminal.
};

class EmbeddedService {
 public:
  // Returns when a request would be served. The error carries serve's exit code as a payload (see ExitCodeOf).
  static absl::StatusOr<std::unique_ptr<EmbeddedService>> Start(const EmbeddedServiceOptions& options);
  virtual ~EmbeddedService() = default;
  virtual const std::string& address() const = 0;  // host:port of the public gRPC port
};

// A failure that is to end the command with this exit code, whatever its status' code.
absl::Status WithExitCode(absl::Status status, int exit_code);

// The exit code for a failed command (base/exit_codes.h): from the status' code, or the one of WithExitCode: serve's
// own where Start failed.
int ExitCodeOf(const absl::Status& status);

}  // namespace unmask

#endif  // UNMASK_CLI_EMBEDDED_SERVICE_H_
