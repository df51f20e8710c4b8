// The HTTP port: OpenAI's API (docs/http.md) and a page to look at, for the same core as the gRPC port.
#ifndef UNMASK_COORDINATOR_HTTP_HTTP_SERVER_H_
#define UNMASK_COORDINATOR_HTTP_HTTP_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/credential_files.h"
#include "coordinator/batch/runner.h"
#include "coordinator/fleet.h"
#include "coordinator/service_context.h"

namespace unmask {

class HttpServer {
 public:
  // Listens on `address` (port 0 takes a free one), with TLS if there are files. model: as of services.h. batch: null
  // where there is no store.
  // INVALID_ARGUMENT for an address that is none, FAILED_PRECONDITION for one that cannot be bound and for files that
  // OpenSSL does not take.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(const std::string& address, const TlsFiles& tls,
                                                           const ServiceContext& context, const FleetOptions& model,
                                                           BatchRunner* batch);
  // Cuts off what still runs.
  virtual ~HttpServer() = default;

  virtual const std::string& address() const = 0;  // With the port taken.
  virtual int connections() const = 0;             // Open now.
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_HTTP_HTTP_SERVER_H_
