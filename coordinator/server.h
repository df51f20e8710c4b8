// The coordinator as a whole: the public ports, gRPC's and HTTP's, the fleet port and the admin port over one
// fleet.
#ifndef UNMASK_COORDINATOR_SERVER_H_
#define UNMASK_COORDINATOR_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/credential_files.h"
#include "coordinator/fleet.h"

namespace unmask {

struct ServerOptions {
  FleetOptions model;
  // host:port or [IPv6]:port; port 0 takes a free one.
  std::string listen = "127.0.0.1:50051";
  std::string fleet_listen = "127.0.0.1:50052";
  std::string admin_listen = "127.0.0.1:9090";
  std::string http_listen;  // Empty: there is no HTTP port.
  TlsFiles tls;             // Of the public port and HTTP's; none: plaintext. With a CA, clients need certificates.
  TlsFiles fleet_tls;       // Of the fleet port.
  std::string auth_tokens;  // File of coordinator/access.h; empty: everybody may call everything.
  bool open_reflection = false;              // Also where tokens are needed.
  std::string store;                         // Folder of the batch jobs; empty: there are none.
  absl::Duration lease = absl::Seconds(10);  // A replica that is silent for longer is dropped.
  int max_open_requests = 20'000;            // Computed or waiting; more are refused.
  int expected_replicas = 0;                 // For alerts; 0: unknown.
  std::string version = "unknown";           // Of the build.
};

// Thread-safe.
class Server {
 public:
  // Returns when all ports take connections. INVALID_ARGUMENT for an address that is none, FAILED_PRECONDITION for one
  // that cannot be bound, and for files of TLS or tokens that cannot be used; all name it.
  static absl::StatusOr<std::unique_ptr<Server>> Start(ServerOptions options);
  // Cuts off what still runs.
  virtual ~Server() = default;

  // With the ports taken.
  virtual const std::string& grpc_address() const = 0;
  virtual const std::string& fleet_address() const = 0;
  virtual const std::string& admin_address() const = 0;
  virtual const std::string& http_address() const = 0;  // Empty: there is none.

  // Refuses new requests from now on and reports as not ready; the ports stay open, and what runs goes on.
  virtual void Drain() = 0;
  // No request is inside any more, neither computed nor being sent.
  virtual bool idle() const = 0;

  virtual Fleet& fleet() = 0;
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_SERVER_H_
