// HTTP for operators and their tools: /livez, /readyz, /metrics. Reads, never changes anything.
#ifndef UNMASK_COORDINATOR_ADMIN_SERVER_H_
#define UNMASK_COORDINATOR_ADMIN_SERVER_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace unmask {

struct AdminPages {
  std::function<absl::Status()> readiness;
  std::function<std::string()> metrics;  // Prometheus text format.
};

class AdminServer {
 public:
  // Listens on `address` (host:port, [::1]:port; port 0 takes a free one). FAILED_PRECONDITION naming it when it
  // cannot.
  static absl::StatusOr<std::unique_ptr<AdminServer>> Start(const std::string& address, AdminPages pages);
  virtual ~AdminServer() = default;                // Stops.
  virtual const std::string& address() const = 0;  // With the port taken.
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_ADMIN_SERVER_H_
