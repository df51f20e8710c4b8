// What `unmask serve` is told, and what it makes of it.
#ifndef UNMASK_CLI_SERVE_OPTIONS_H_
#define UNMASK_CLI_SERVE_OPTIONS_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/credentials.h"

namespace unmask {

struct ServeOptions {
  std::string model;       // Empty: the embedded model.
  std::string model_name;  // Empty: the folder's name.
  std::string dtype = "auto";
  std::string device = "cpu";
  std::string kv_memory;       // Empty: the worker decides.
  std::string weights_digest;  // Empty: whatever the checkpoint's is.
  int replicas = 1;            // Here; 0: a coordinator alone.
  int tensor_parallel = 1;
  int threads = 0;  // Per rank; 0: the allowed cores, shared among the ranks.
  std::optional<int> eot_token_id;
  std::string listen = "127.0.0.1:50051";
  std::string fleet_listen = "127.0.0.1:50052";
  std::string admin_listen = "127.0.0.1:9090";
  std::string http_listen;   // Empty: no HTTP port.
  TlsFiles tls;              // Of the public ports, for clients.
  std::string tls_ca;        // What our own calls trust there.
  TlsFiles fleet_tls;        // Of the fleet port.
  std::string fleet_tls_ca;  // What the replicas trust there; they show the port's own certificate.
  std::string auth_tokens;
  std::string token_file;  // Our own token, of scope admin.
  bool open_reflection = false;
  std::string store;  // Folder of batch jobs; empty: none.
  std::string ready_file;
  std::string address_file;
  int drain_timeout = 600;  // Seconds; 0: no limit.
  std::string log_format = "text";
  bool check_config = false;
};

// A ServeOptions whose programs and defaults are found and which can work as far as can be seen from here.
struct ServePlan {
  ServeOptions options;  // Nothing empty that has a default.
  std::string coordinator_program;
  std::string worker_program;
  Credentials own;  // Of our calls to the coordinator.
};

// INVALID_ARGUMENT for usage, FAILED_PRECONDITION for a configuration that cannot work, DATA_LOSS for a corrupt
// checkpoint.
absl::StatusOr<ServePlan> PlanServe(ServeOptions options);

// The first look at a checkpoint: a folder with a readable config.json and weights, and heads enough for the ranks.
absl::Status CheckModel(const std::string& folder, int tensor_parallel);

// "models/demo/" → "demo".
std::string FolderName(const std::string& folder);

// The exit code for what PlanServe and CheckModel return.
int ConfigExitCode(const absl::Status& status);

// What --check-config prints.
std::string PlanJson(const ServePlan& plan);

}  // namespace unmask

#endif  // UNMASK_CLI_SERVE_OPTIONS_H_
