#include "coordinator/http/listener.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <list>
#include <nlohmann/json.hpp>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/mutex.h"

namespace unmask {
namespace {

using httplib::Request;
using httplib::Response;

thread_local Connection* current = nullptr;

// For connections beyond the bound.
std::string BusyReply() {
  Response reply;
  SetHttpError(503, "too_many_connections", "too many connections", &reply);
  return absl::StrCat("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n",
                      "Content-Type: application/json\r\nContent-Length: ", reply.body.size(), "\r\n\r\n", reply.body);
}

bool IsChunked(const Request& request) {
  return absl::EqualsIgnoreCase(request.get_header_value("Transfer-Encoding"), "chunked");
}

// Of the body; nullopt where it is not said, or not clearly.
std::optional<uint64_t> LengthOf(const Request& request) {
  uint64_t length = 0;
  const std::string text = request.get_header_value("Content-Length");
  const bool digits =
      !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!digits || !absl::SimpleAtoi(text, &length)) return std::nullopt;
  return length;
}

// A browser sends forms, other than JSON, for a page of another origin without asking.
bool IsOfAnotherOrigin(const Request& request) {
  if (!request.has_header("Origin")) return false;
  const std::string origin = request.get_header_value("Origin");
  const size_t host = origin.find("://");
  return host == std::string::npos || origin.substr(host + 3) != request.get_header_value("Host");
}

// Where the library has found the request wrong by itself.
void ExplainError(Response* response) {
  if (!response->body.empty() || response->content_provider_) return;
  Connection& connection = Listener::Current();
  if (connection.too_large()) {
    response->status = 413;
  } else if (connection.timed_out()) {
    response->status = 408;
  }
  switch (response->status) {
    case 404:
      return SetHttpError(404, "not_found", "there is no such path or method", response);
    case 408:
      return SetHttpError(408, "request_timeout", "the request did not come in time", response);
    case 413:
      return SetHttpError(413, "request_too_large", "the request's body or headers are too large", response);
    case 414:
      return SetHttpError(414, "uri_too_long", "the path is too long", response);
    case 500:
      return SetHttpError(500, "internal", "an internal error", response);
    default:
      connection.MustClose();
      return SetHttpError(response->status, "malformed_request", "the request is not well-formed HTTP", response);
  }
}

}  // namespace

void SetHttpError(int code, const char* reason, const std::string& message, Response* response) {
  nlohmann::ordered_json error;
  error["message"] = message;
  error["type"] = code == 404 ? "not_found_error" : code < 500 ? "invalid_request_error" : "server_error";
  error["param"] = nullptr;
  error["code"] = reason;
  response->status = code;
  response->set_content(nlohmann::ordered_json{{"error", std::move(error)}}.dump() + "\n", "application/json");
}

// A thread for each connection. The library hands each over in a function; those beyond the bound it serves at once,
// in the thread that accepts, to be told that there are too many.
class Listener::Threads final : public httplib::TaskQueue {
 public:
  Threads(int most, std::atomic<int>* open) : most_(most), open_(*open) {}

  void enqueue(std::function<void()> serve) override {
    Reap();
    if (open_ >= most_) {
      Refuse(serve);
      return;
    }
    ++open_;
    Entry& entry = entries_.emplace_back();
    try {
      entry.thread = std::thread([this, &entry, serve] {
        serve();
        --open_;
        entry.done = true;
      });
    } catch (const std::system_error&) {  // The machine has no more threads.
      entries_.pop_back();
      --open_;
      Refuse(serve);
    }
  }

  void shutdown() override {
    for (Entry& entry : entries_) entry.thread.join();
    entries_.clear();
  }

  static thread_local bool refusing;

 private:
  struct Entry {
    std::thread thread;
    std::atomic<bool> done = false;
  };

  static void Refuse(const std::function<void()>& serve) {
    refusing = true;
    serve();
    refusing = false;
  }

  void Reap() {
    entries_.remove_if([](Entry& entry) {
      if (!entry.done) return false;
      entry.thread.join();
      return true;
    });
  }

  const int most_;
  std::atomic<int>& open_;
  std::list<Entry> entries_;  // Of the accepting thread.
};

thread_local bool Listener::Threads::refusing = false;

Listener::Listener(const ListenerOptions& options, std::unique_ptr<TlsContext> tls)
    : options_(options), tls_(std::move(tls)), stop_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  // The library's default, SO_REUSEPORT, would let a second server share a taken port.
  set_socket_options([](socket_t socket) {
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  });
  new_task_queue = [this] { return new Threads(options_.connections, &open_); };
  set_payload_max_length(std::numeric_limits<size_t>::max());  // The connections' limits hold, path by path.
  set_pre_routing_handler(
      [this](const Request& request, Response& response) { return CheckFraming(request, response); });
  set_error_handler(httplib::Server::Handler([](const Request&, Response& response) { ExplainError(&response); }));
  set_post_routing_handler([](const Request&, Response& response) {
    if (!Current().must_close()) return;
    response.headers.erase("Keep-Alive");
    response.headers.erase("Connection");
    response.set_header("Connection", "close");
  });
  set_keep_alive_timeout(std::chrono::duration_cast<std::chrono::seconds>(options_.limits.idle).count());
  set_exception_handler([](const Request&, Response& response, std::exception_ptr) {
    LogError("http: a handler has failed");
    SetHttpError(500, "internal", "an internal error", &response);
  });
}

void Listener::PostForm(const std::string& path, const BodyLimits& limits, HandlerWithContentReader handler) {
  forms_[path] = limits;
  Post(path, std::move(handler));
}

void Listener::PostNothing(const std::string& pattern, Handler handler) {
  nothings_.emplace_back(pattern);
  Post(pattern, std::move(handler));
}

bool Listener::IsForm(const Request& request) const { return request.method == "POST" && forms_.count(request.path); }

Listener::~Listener() {
  eventfd_write(stop_fd_, 1);
  if (accepting_.joinable()) {
    stop();
    accepting_.join();
  }
  close(stop_fd_);
}

absl::Status Listener::Start(HostPort* address) {
  if (address->port == 0) {
    address->port = bind_to_any_port(address->host.c_str());
  } else if (!bind_to_port(address->host.c_str(), address->port)) {
    address->port = -1;
  }
  if (address->port < 0) return absl::FailedPreconditionError("cannot be bound");
  ::listen(svr_sock_, SOMAXCONN);  // The library's backlog is 5: the sixth of a burst would wait for a second.
  accepting_ = std::thread([this] { listen_after_bind(); });
  while (!is_running()) std::this_thread::yield();  // stop() before that would be forgotten.
  return absl::OkStatus();
}

Connection& Listener::Current() { return *current; }

bool Listener::process_and_close_socket(socket_t socket) {
  if (Threads::refusing) {
    // Over TLS this is no reply, but the end of a handshake that never began.
    static const std::string reply = BusyReply();
    if (tls_ == nullptr) (void)!send(socket, reply.data(), reply.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    close(socket);
    return false;
  }
  Connection connection(socket, tls_ ? tls_->NewConnection() : nullptr, stop_fd_, options_.limits);
  current = &connection;
  if (connection.Begin()) Serve(&connection);
  current = nullptr;
  return true;
}

void Listener::Serve(Connection* connection) {
  bool closes = false;
  while (!closes && !connection->must_close() && connection->AwaitRequest()) {
    const bool well = process_request(*connection, /*close_connection=*/false, closes, [&](Request& request) {
      request.ranges.clear();  // Replies are whole.
      BeginBody(&request, connection);
    });
    connection->EndRequest();
    if (!well) return;
  }
}

void Listener::BeginBody(Request* request, Connection* connection) const {
  const bool nothing = std::any_of(nothings_.begin(), nothings_.end(),
                                   [&](const std::regex& pattern) { return std::regex_match(request->path, pattern); });
  // curl -X POST says no length; the library would read until the client closes.
  if (nothing && !request->has_header("Content-Length") && !request->has_header("Transfer-Encoding")) {
    request->set_header("Content-Length", "0");
  }
  const BodyLimits& limits = IsForm(*request) ? forms_.at(request->path) : options_.limits.body;
  connection->BeginBody(IsChunked(*request), LengthOf(*request).value_or(0), limits);
}

Listener::HandlerResponse Listener::CheckFraming(const Request& request, Response& response) const {
  Connection& connection = Current();
  const bool has_length = request.has_header("Content-Length");
  const bool has_encoding = request.has_header("Transfer-Encoding");
  const auto refuse = [&](int code, const char* reason, const char* message) {
    connection.MustClose();  // The body stays unread.
    SetHttpError(code, reason, message, &response);
    return HandlerResponse::Handled;
  };
  if ((has_length && has_encoding) || request.get_header_value_count("Content-Length") > 1 ||
      (has_length && !LengthOf(request)) || (has_encoding && !IsChunked(request)) ||
      request.get_header_value_count("Transfer-Encoding") > 1) {
    return refuse(400, "malformed_request", "the length of the request's body is not clear");
  }
  if (connection.too_large()) {
    connection.SkipBody(LengthOf(request).value_or(0));
    SetHttpError(413, "request_too_large", "the request's body or headers are too large", &response);
    return HandlerResponse::Handled;
  }
  if (request.method != "POST") {
    if (has_encoding || LengthOf(request).value_or(0) > 0) connection.MustClose();  // The library leaves it unread.
    for (const char* known : {"GET", "HEAD", "DELETE"}) {
      if (request.method == known) return HandlerResponse::Unhandled;
    }
    return refuse(405, "method_not_allowed", "the method is none of GET, POST and DELETE");
  }
  if (!has_length && !has_encoding) return refuse(411, "length_required", "the request says no length of its body");
  if (request.has_header("Content-Encoding")) {
    return refuse(415, "unsupported_encoding", "the request's body is encoded: send it plain");
  }
  const std::string type = request.get_header_value("Content-Type");
  if (IsForm(request)) {
    if (!absl::StartsWith(type, "multipart/form-data")) {
      return refuse(415, "unsupported_media_type", "the request's Content-Type is not multipart/form-data");
    }
    if (IsOfAnotherOrigin(request))
      return refuse(403, "other_origin", "the request comes from a page of another origin");
  } else if (!absl::StartsWithIgnoreCase(type, "application/json")) {
    return refuse(415, "unsupported_media_type", "the request's Content-Type is not application/json");
  }
  return HandlerResponse::Unhandled;
}

}  // namespace unmask
