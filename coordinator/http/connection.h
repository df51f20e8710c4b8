// One client's connection to the HTTP port: bytes, with or without TLS, each request within its time and size.
//
// The HTTP library reads a request from it and writes the reply; its own streams know the silence between two bytes
// only, so that a client could hold a thread for ever by sending one byte a second.
#ifndef UNMASK_COORDINATOR_HTTP_CONNECTION_H_
#define UNMASK_COORDINATOR_HTTP_CONNECTION_H_

#include <httplib.h>

#include <chrono>
#include <memory>
#include <string>

namespace unmask {

struct BodyLimits {
  std::chrono::milliseconds time{60'000};  // From the end of the headers to its own.
  size_t bytes = 4 << 20;                  // As the gRPC port's.
};

struct ConnectionLimits {
  std::chrono::milliseconds head{10'000};   // From a request's first byte to the end of its headers.
  BodyLimits body;                          // Unless a path has its own.
  std::chrono::milliseconds idle{30'000};   // Between requests.
  std::chrono::milliseconds write{30'000};  // That a client may take nothing of a reply.
  size_t head_bytes = 64 << 10;
  size_t skip_bytes = 64 << 20;  // Of a body that is refused: read, so that the client gets to read why.
};

// Used by the one thread that serves it.
class Connection final : public httplib::Stream {
 public:
  // Takes the socket. ssl: null for plain text; else accepted in Begin, and freed. stop_fd becomes readable when the
  // server ends.
  Connection(int socket, SSL* ssl, int stop_fd, const ConnectionLimits& limits);
  ~Connection() override;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // The TLS handshake.
  bool Begin();
  // Waits for the next request. False: none came in time, the client left, or the server ends.
  bool AwaitRequest();
  // The headers are read; `chunked` and `length` are what they say of the body.
  void BeginBody(bool chunked, size_t length, const BodyLimits& limits);
  // Reads the body and forgets it: one that is too large, whose client gets to read why only if it may send on.
  void SkipBody(size_t length);
  // The reply is written. Lets go what was kept for it.
  void EndRequest() { kept_.reset(); }
  // Stays until the reply is written.
  void Keep(std::shared_ptr<void> thing) { kept_ = std::move(thing); }
  // What was read is no whole request: what follows cannot be understood.
  void MustClose() { must_close_ = true; }
  bool must_close() const { return must_close_; }
  bool timed_out() const { return timed_out_; }
  bool too_large() const { return too_large_; }

  // What ends the wait of a handler.
  enum class Wake { kEvent, kClientGone, kServerEnds };
  // Until event_fd is readable (the event is the caller's to take), or the client has left.
  Wake WaitFor(int event_fd) const;

  bool is_readable() const override { return true; }
  bool is_writable() const override;
  ssize_t read(char* data, size_t size) override;
  ssize_t write(const char* data, size_t size) override;
  void get_remote_ip_and_port(std::string& ip, int& port) const override;
  void get_local_ip_and_port(std::string& ip, int& port) const override;
  // None: the library would refuse those that select() cannot take, and never uses it otherwise.
  socket_t socket() const override { return -1; }

 private:
  using Clock = std::chrono::steady_clock;

  // Until the socket is ready for `events`. False at `deadline`, and when the server ends.
  bool Poll(short events, Clock::time_point deadline) const;
  ssize_t ReadSome(char* data, size_t size);
  ssize_t ReadPiece(char* data, size_t size);  // Within time and size.
  // What an SSL call's result asks to wait for; 0: it has failed.
  short Wanted(int result) const;
  void Linger();

  const int socket_;
  SSL* const ssl_;
  const int stop_fd_;
  const ConnectionLimits limits_;
  std::string buffer_;  // Read, and not handed out yet: the library reads byte by byte.
  size_t handed_out_ = 0;
  Clock::time_point deadline_;  // Of what is being read.
  size_t budget_ = 0;           // Bytes that it may still have.
  bool must_close_ = false;
  bool timed_out_ = false;
  bool too_large_ = false;
  std::shared_ptr<void> kept_;
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_HTTP_CONNECTION_H_
