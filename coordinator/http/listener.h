// The HTTP library's server on connections of our own: bounded in number, time and size, with TLS from our files.
#ifndef UNMASK_COORDINATOR_HTTP_LISTENER_H_
#define UNMASK_COORDINATOR_HTTP_LISTENER_H_

#include <httplib.h>

#include <atomic>
#include <map>
#include <memory>
#include <regex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "coordinator/host_port.h"
#include "coordinator/http/connection.h"
#include "coordinator/http/tls_context.h"

namespace unmask {

struct ListenerOptions {
  ConnectionLimits limits;
  int connections = 256;  // At once, a thread each; more are told to come again.
};

// Routes are added with the library's Get, Post and Delete, and with those below, before Start. A Post's body is JSON.
class Listener final : public httplib::Server {
 public:
  // tls: null for plain text.
  Listener(const ListenerOptions& options, std::unique_ptr<TlsContext> tls);
  // Ends all connections, and waits for them.
  ~Listener() override;

  // A form (multipart/form-data), which the handler itself reads: piece by piece, so it may be large.
  void PostForm(const std::string& path, const BodyLimits& limits, HandlerWithContentReader handler);
  // Without a body, or with one that is not looked at.
  void PostNothing(const std::string& pattern, Handler handler);

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
  void BeginBody(httplib::Request* request, Connection* connection) const;
  bool IsForm(const httplib::Request& request) const;

  const ListenerOptions options_;
  std::map<std::string, BodyLimits> forms_;  // By path.
  std::vector<std::regex> nothings_;
  const std::unique_ptr<TlsContext> tls_;
  const int stop_fd_;
  std::atomic<int> open_ = 0;
  std::thread accepting_;
};

// The JSON error object for an HTTP code that no service error stands behind.
void SetHttpError(int code, const char* reason, const std::string& message, httplib::Response* response);

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_HTTP_LISTENER_H_
