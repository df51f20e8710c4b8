#include "coordinator/admin_server.h"

#include <httplib.h>

#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "coordinator/host_port.h"

namespace unmask {
namespace {

constexpr char kPlain[] = "text/plain; charset=utf-8";
constexpr int kThreads = 4;
constexpr int kSecondsToSend = 5;  // A slow peer may hold a thread this long.

class HttpAdminServer final : public AdminServer {
 public:
  explicit HttpAdminServer(AdminPages pages) : pages_(std::move(pages)) {
    // The library's default, SO_REUSEPORT, would let a second server share a taken port.
    server_.set_socket_options([](socket_t socket) {
      const int yes = 1;
      setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    });
    server_.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
    server_.set_read_timeout(kSecondsToSend);
    server_.set_write_timeout(kSecondsToSend);
    server_.set_payload_max_length(1024);
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

  ~HttpAdminServer() override {
    if (!thread_.joinable()) return;
    server_.stop();
    thread_.join();
  }

  absl::Status Listen(HostPort address) {
    if (address.port == 0) {
      address.port = server_.bind_to_any_port(address.host.c_str());
    } else if (!server_.bind_to_port(address.host.c_str(), address.port)) {
      address.port = -1;
    }
    if (address.port < 0) return absl::FailedPreconditionError("cannot be bound");
    address_ = address.ToString();
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    while (!server_.is_running()) std::this_thread::yield();  // stop() before that would be forgotten.
    return absl::OkStatus();
  }

  const std::string& address() const override { return address_; }

 private:
  const AdminPages pages_;
  httplib::Server server_;
  std::string address_;
  std::thread thread_;
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
