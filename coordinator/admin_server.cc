#include "coordinator/admin_server.h"

#include <httplib.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "coordinator/host_port.h"
#include "coordinator/http/listener.h"

namespace unmask {
namespace {

constexpr char kPlain[] = "text/plain; charset=utf-8";

// Probes and scrapes are small and quick: whoever is not makes room for them.
ListenerOptions Limits() {
  ListenerOptions options;
  options.limits.head = options.limits.body.time = options.limits.write = std::chrono::seconds(5);
  options.limits.idle = std::chrono::seconds(30);
  options.limits.body.bytes = options.limits.skip_bytes = 1024;
  options.limits.head_bytes = 16 << 10;
  options.connections = 64;
  return options;
}

class HttpAdminServer final : public AdminServer {
 public:
  explicit HttpAdminServer(AdminPages pages) : pages_(std::move(pages)), server_(Limits(), /*tls=*/nullptr) {
    server_.Get("/livez",
                [](const httplib::Request&, httplib::Response& response) { response.set_content("ok\n", kPlain); });
    server_.Get("/readyz", [this](const httplib::Request&, httplib::Response& response) {
      const absl::Status readiness = pages_.readiness();
      response.status = readiness.ok() ? 200 : 503;
      response.set_content(readiness.ok() ? "ok\n" : absl::StrCat(readiness.message(), "\n"), kPlain);
    });
    server_.Get("/metrics", [this](const httplib::Request&, httplib::Response& response) {
      response.set_content(pages_.metrics(), "text/plain; version=0.0.4; charset=utf-8");
    });
  }

  absl::Status Listen(HostPort address) {
    UNMASK_RETURN_IF_ERROR(server_.Start(&address));
    address_ = address.ToString();
    return absl::OkStatus();
  }

  const std::string& address() const override { return address_; }

 private:
  const AdminPages pages_;
  Listener server_;
  std::string address_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<AdminServer>> AdminServer::Start(const std::string& address, AdminPages pages) {
  UNMASK_ASSIGN_OR_RETURN(HostPort host_port, ParseHostPort(address));
  auto server = std::make_unique<HttpAdminServer>(std::move(pages));
  if (!server->Listen(std::move(host_port)).ok()) {
    return absl::FailedPreconditionError(absl::StrCat("the admin address ", address, " cannot be bound"));
  }
  return server;
}

}  // namespace unmask
