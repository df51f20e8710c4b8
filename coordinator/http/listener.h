// The HTTP library's server on connections of our own: bounded in number, time and size, with TLS from our files.
#ifndef UNMASK_COORDINATOR_HTTP_LISTENER_H_
#define UNMASK_COORDINATOR_HTTP_LISTENER_H_

#include <httplib.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "coordinator/host_port.h"
#include "coordinator/http/connection.h"
#include "coordinator/http/tls_context.h"

namespace unmask {

struct ListenerOptions {
  ConnectionLimits limits;
  int connections = 256;  // At once, a thread each; more are told to come again.
};

// Routes are added with the library's Get and Post, before Start.
class Listener final : public httplib::Server {
 public:
  // tls: null for plain text.
  Listener(const ListenerOptions& options, std::unique_ptr<TlsContext> tls);
  // Ends all connections, and waits for them.
  ~Listener() override;

  // Takes connections from its return on; address then holds the port taken. FAILED_PRECONDITION: cannot be bound.
  absl::Status Start(HostPort* address);

  int connections() const { return open_; }

  // The connection of the request that this thread serves.
  static Connection& Current();

 private:
  class Threads;

  bool process_and_close_socket(socket_t socket) override;
  void Serve(Connection* connection);
  // What the library would read wrongly, or without bound.
  HandlerResponse CheckFraming(const httplib::Request& request, httplib::Response& response) const;

  const ListenerOptions options_;
  const std::unique_ptr<TlsContext> tls_;
  const int stop_fd_;
  std::atomic<int> open_ = 0;
  std::thread accepting_;
};

// The JSON error object for an HTTP code that no service error stands behind.
void SetHttpError(int code, const char* reason, const std::string& message, httplib::Response* response);

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_HTTP_LISTENER_H_
