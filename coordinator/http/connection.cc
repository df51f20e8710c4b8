#include "coordinator/http/connection.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace unmask {
namespace {

constexpr size_t kBuffer = 16 << 10;
constexpr size_t kChunkedSlack = 64 << 10;  // Sizes and line ends of a body's chunks.
constexpr std::chrono::seconds kLinger(2);

void NameOf(int (*get)(int, sockaddr*, socklen_t*), int socket, std::string* ip, int* port) {
  sockaddr_storage address = {};
  socklen_t size = sizeof(address);
  char text[INET6_ADDRSTRLEN] = "";
  if (get(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return;
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &v4.sin_addr, text, sizeof(text));
    *port = ntohs(v4.sin_port);
  } else if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof(text));
    *port = ntohs(v6.sin6_port);
  }
  *ip = text;
}

}  // namespace

Connection::Connection(int socket, SSL* ssl, int stop_fd, const ConnectionLimits& limits)
    : socket_(socket), ssl_(ssl), stop_fd_(stop_fd), limits_(limits) {
  fcntl(socket_, F_SETFL, fcntl(socket_, F_GETFL) | O_NONBLOCK);
  const int yes = 1;
  setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));  // Events are small, and wanted at once.
  // A client whose machine is gone says nothing: asked after a minute of silence, thrice.
  const int idle = 60, interval = 10, probes = 3;
  setsockopt(socket_, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof(yes));
  setsockopt(socket_, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
  setsockopt(socket_, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
  setsockopt(socket_, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
  if (ssl_ != nullptr) SSL_set_fd(ssl_, socket_);
}

Connection::~Connection() {
  if (ssl_ != nullptr) {
    ERR_clear_error();
    if (SSL_is_init_finished(ssl_)) SSL_shutdown(ssl_);
    SSL_free(ssl_);
  }
  Linger();
  close(socket_);
}

// Closing with bytes unread would reset the connection, and take the reply from the client.
void Connection::Linger() {
  shutdown(socket_, SHUT_WR);
  if (!must_close_) return;
  const Clock::time_point end = Clock::now() + kLinger;
  char rest[kBuffer];
  for (size_t skipped = 0; skipped < limits_.skip_bytes && Poll(POLLIN, end);) {
    const ssize_t got = recv(socket_, rest, sizeof(rest), 0);
    if (got <= 0) return;
    skipped += got;
  }
}

bool Connection::Poll(short events, Clock::time_point deadline) const {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return false;
    pollfd fds[] = {{socket_, events, 0}, {stop_fd_, POLLIN, 0}};
    const int ready = poll(fds, 2, static_cast<int>(std::min<int64_t>(left, 1'000'000)));
    if (ready < 0 && errno != EINTR) return false;
    if (ready > 0) return fds[1].revents == 0;
  }
}

bool Connection::Begin() {
  if (ssl_ == nullptr) return true;
  const Clock::time_point deadline = Clock::now() + limits_.head;
  while (true) {
    ERR_clear_error();
    const int result = SSL_accept(ssl_);
    if (result == 1) return true;
    const short wanted = Wanted(result);
    if (wanted == 0 || !Poll(wanted, deadline)) return false;
  }
}

short Connection::Wanted(int result) const {
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ:
      return POLLIN;
    case SSL_ERROR_WANT_WRITE:
      return POLLOUT;
    default:
      return 0;
  }
}

bool Connection::AwaitRequest() {
  const bool here = handed_out_ < buffer_.size() || (ssl_ != nullptr && SSL_pending(ssl_) > 0);
  if (!here && !Poll(POLLIN, Clock::now() + limits_.idle)) return false;
  deadline_ = Clock::now() + limits_.head;
  budget_ = limits_.head_bytes;
  timed_out_ = too_large_ = false;
  return true;
}

void Connection::BeginBody(bool chunked, size_t length, const BodyLimits& limits) {
  deadline_ = Clock::now() + limits.time;
  too_large_ = length > limits.bytes;
  budget_ = chunked ? limits.bytes + kChunkedSlack : too_large_ ? std::min(length, limits_.skip_bytes) : length;
}

void Connection::SkipBody(size_t length) {
  char piece[kBuffer];
  while (length > 0) {
    const ssize_t got = read(piece, std::min(length, sizeof(piece)));
    if (got <= 0) return;
    length -= got;
  }
}

Connection::Wake Connection::WaitFor(int event_fd) const {
  while (true) {
    pollfd fds[] = {{event_fd, POLLIN, 0}, {socket_, POLLRDHUP, 0}, {stop_fd_, POLLIN, 0}};
    if (poll(fds, 3, -1) < 0) continue;
    if (fds[2].revents != 0) return Wake::kServerEnds;
    if (fds[1].revents != 0) return Wake::kClientGone;
    return Wake::kEvent;
  }
}

ssize_t Connection::ReadSome(char* data, size_t size) {
  while (true) {
    ssize_t got;
    short wanted = POLLIN;
    if (ssl_ != nullptr) {
      ERR_clear_error();
      const int result = SSL_read(ssl_, data, static_cast<int>(size));
      if (result > 0) return result;
      got = SSL_get_error(ssl_, result) == SSL_ERROR_ZERO_RETURN ? 0 : -1;
      if (got < 0 && (wanted = Wanted(result)) == 0) return -1;
    } else {
      got = recv(socket_, data, size, 0);
      if (got < 0 && errno != EAGAIN && errno != EINTR) return -1;
    }
    if (got >= 0) return got;
    if (!Poll(wanted, deadline_)) {
      timed_out_ = Clock::now() >= deadline_;
      return -1;
    }
  }
}

// The library asks for no more than what must come, and its parser of forms needs the first boundary in one piece.
ssize_t Connection::read(char* data, size_t size) {
  size_t filled = 0;
  while (filled < size) {
    const ssize_t got = ReadPiece(data + filled, size - filled);
    if (got < 0) return got;
    if (got == 0) break;
    filled += got;
  }
  return filled;
}

ssize_t Connection::ReadPiece(char* data, size_t size) {
  const auto fail = [this] {
    must_close_ = true;
    return -1;
  };
  if (budget_ == 0) {
    too_large_ = true;
    return fail();
  }
  if (handed_out_ == buffer_.size()) {
    buffer_.resize(kBuffer);
    handed_out_ = 0;
    const ssize_t got = ReadSome(buffer_.data(), buffer_.size());
    buffer_.resize(std::max<ssize_t>(got, 0));
    if (got == 0) must_close_ = true;
    if (got < 0) return fail();
  }
  const size_t taken = std::min({size, buffer_.size() - handed_out_, budget_});
  std::copy_n(buffer_.data() + handed_out_, taken, data);
  handed_out_ += taken;
  budget_ -= taken;
  // A slow body may not come by drops either.
  if (taken > 0 && Clock::now() >= deadline_) {
    timed_out_ = true;
    return fail();
  }
  return taken;
}

bool Connection::is_writable() const {
  pollfd fd = {socket_, POLLOUT, 0};
  return poll(&fd, 1, 0) > 0 && (fd.revents & (POLLERR | POLLHUP)) == 0;
}

ssize_t Connection::write(const char* data, size_t size) {
  const Clock::time_point deadline = Clock::now() + limits_.write;
  while (true) {
    short wanted = POLLOUT;
    if (ssl_ != nullptr) {
      ERR_clear_error();
      const int result = SSL_write(ssl_, data, static_cast<int>(std::min(size, kBuffer)));
      if (result > 0) return result;
      if ((wanted = Wanted(result)) == 0) break;
    } else {
      const ssize_t sent = send(socket_, data, size, MSG_NOSIGNAL);
      if (sent >= 0) return sent;
      if (errno != EAGAIN && errno != EINTR) break;
    }
    if (!Poll(wanted, deadline)) break;
  }
  must_close_ = true;
  return -1;
}

void Connection::get_remote_ip_and_port(std::string& ip, int& port) const { NameOf(getpeername, socket_, &ip, &port); }
void Connection::get_local_ip_and_port(std::string& ip, int& port) const { NameOf(getsockname, socket_, &ip, &port); }

}  // namespace unmask
