// What clients do to the HTTP port that nobody means: slow, large, many, malformed. Each gets a clear answer in bounded
// time, and nobody else is hurt.
#include "coordinator/http/listener.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace unmask {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

ListenerOptions Short() {
  ListenerOptions options;
  options.limits.head = std::chrono::milliseconds(400);
  options.limits.body.time = std::chrono::milliseconds(400);
  options.limits.idle = std::chrono::milliseconds(400);
  options.limits.body.bytes = 64 << 10;
  options.limits.head_bytes = 16 << 10;
  options.connections = 4;
  return options;
}

// Answers POST /size with the size of the body.
class ListenerTest : public ::testing::Test {
 protected:
  explicit ListenerTest(const ListenerOptions& options = Short()) : listener_(options, nullptr) {
    signal(SIGPIPE, SIG_IGN);
    listener_.Post("/size", [](const httplib::Request& request, httplib::Response& response) {
      response.set_content(std::to_string(request.body.size()), "text/plain");
    });
    // The same for the file of a form.
    listener_.PostForm("/form", {std::chrono::seconds(5), 256 << 10},
                       [](const httplib::Request&, httplib::Response& response, const httplib::ContentReader& read) {
                         size_t size = 0;
                         const bool whole = read([](const httplib::MultipartFormData&) { return true; },
                                                 [&](const char*, size_t piece) {
                                                   size += piece;
                                                   return true;
                                                 });
                         if (whole) response.set_content(std::to_string(size), "text/plain");
                       });
    listener_.PostNothing("/nothing", [](const httplib::Request&, httplib::Response& response) {
      response.set_content("done", "text/plain");
    });
    listener_.Get("/fails", [](const httplib::Request&, httplib::Response&) { throw std::runtime_error("secret"); });
    EXPECT_TRUE(listener_.Start(&address_).ok());
  }

  // No connection is open, soon.
  bool Empties() const {
    for (int i = 0; i < 20'000 && listener_.connections() > 0; ++i) usleep(1000);
    return listener_.connections() == 0;
  }

  HostPort address_ = {"127.0.0.1", 0};
  Listener listener_;
};

class Client {
 public:
  explicit Client(const HostPort& address) : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in peer = {};
    peer.sin_family = AF_INET;
    peer.sin_port = htons(address.port);
    inet_pton(AF_INET, address.host.c_str(), &peer.sin_addr);
    EXPECT_EQ(connect(socket_, reinterpret_cast<sockaddr*>(&peer), sizeof(peer)), 0);
    const timeval patience = {20, 0};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  }
  ~Client() { close(socket_); }

  // False once the other end has closed.
  bool Send(const std::string& bytes) {
    for (size_t sent = 0; sent < bytes.size();) {
      const ssize_t some = send(socket_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (some <= 0) return false;
      sent += some;
    }
    return true;
  }
  // Until the other end closes.
  std::string ReadAll() {
    std::string all;
    char buffer[4096];
    for (ssize_t got; (got = recv(socket_, buffer, sizeof(buffer), 0)) > 0;) all.append(buffer, got);
    return all;
  }
  // Until `end` has come.
  std::string ReadTo(const std::string& end) {
    std::string all;
    char byte;
    while (all.find(end) == std::string::npos && recv(socket_, &byte, 1, 0) == 1) all += byte;
    return all;
  }

 private:
  const int socket_;
};

std::string PostSize(const std::string& body, const std::string& more_headers = "") {
  return "POST /size HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n" + more_headers + "\r\n" + body;
}

TEST_F(ListenerTest, RequestsFollowEachOtherOnOneConnection) {
  Client client(address_);
  for (const size_t size : {0, 1, 50'000}) {
    ASSERT_TRUE(client.Send(PostSize(std::string(size, 'a'))));
    EXPECT_THAT(client.ReadTo("\r\n\r\n"), StartsWith("HTTP/1.1 200"));
    EXPECT_EQ(client.ReadTo(std::to_string(size)), std::to_string(size));
  }
  // Two at once.
  ASSERT_TRUE(client.Send(PostSize("ab") + PostSize("abc")));
  EXPECT_THAT(client.ReadTo("\r\n\r\n2"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(client.ReadTo("\r\n\r\n3"), StartsWith("HTTP/1.1 200"));
}

TEST_F(ListenerTest, ChunkedBodiesAreRead) {
  Client client(address_);
  ASSERT_TRUE(
      client.Send("POST /size HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
                  "Connection: close\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"));
  EXPECT_THAT(client.ReadAll(), EndsWith("\r\n\r\n5"));
}

std::string PostForm(size_t size, const std::string& more_headers = "") {
  const std::string body =
      "--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n" + std::string(size, 'a') + "\r\n--b--\r\n";
  return "POST /form HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n" + more_headers + "\r\n" + body;
}

TEST_F(ListenerTest, AFormMayBeLargerThanOtherBodies) {
  Client client(address_);
  for (const size_t size : {0, 100'000, 200'000}) {
    ASSERT_TRUE(client.Send(PostForm(size)));
    EXPECT_THAT(client.ReadTo("\r\n\r\n"), StartsWith("HTTP/1.1 200"));
    EXPECT_EQ(client.ReadTo(std::to_string(size)), std::to_string(size));
  }
  ASSERT_TRUE(client.Send(PostForm(300'000)));
  EXPECT_THAT(client.ReadTo("\"request_too_large\"}}\n"), StartsWith("HTTP/1.1 413"));
  ASSERT_TRUE(client.Send(PostSize("ab"))) << "what was too large was read, and the connection stays";
  EXPECT_THAT(client.ReadTo("\r\n\r\n2"), StartsWith("HTTP/1.1 200"));
  // Byte by byte, its first boundary too.
  Client slow(address_);
  for (const char byte : PostForm(3, "Connection: close\r\n")) ASSERT_TRUE(slow.Send(std::string(1, byte)));
  EXPECT_THAT(slow.ReadAll(), EndsWith("\r\n\r\n3"));
}

TEST_F(ListenerTest, APostOfNothingNeedsNoLength) {
  Client client(address_);
  ASSERT_TRUE(client.Send("POST /nothing HTTP/1.1\r\nContent-Type: application/json\r\n\r\n"));
  EXPECT_THAT(client.ReadTo("done"), StartsWith("HTTP/1.1 200"));
  ASSERT_TRUE(client.Send(PostSize("ab")));
  EXPECT_THAT(client.ReadTo("\r\n\r\n2"), StartsWith("HTTP/1.1 200"));
}

struct Case {
  const char* what;
  std::string request;
  const char* status;
  const char* code;
};

TEST_F(ListenerTest, WhatIsWrongIsSaidAndTheConnectionEnds) {
  const std::string json = "Content-Type: application/json\r\n";
  const std::vector<Case> cases = {
      {"no HTTP", "hello\r\n\r\n", "400", "malformed_request"},
      {"another version", "GET / HTTP/3.0\r\n\r\n", "400", "malformed_request"},
      {"a long header", "GET / HTTP/1.1\r\nA: " + std::string(9000, 'a') + "\r\n\r\n", "400", "malformed_request"},
      {"a long path", "GET /" + std::string(9000, 'a') + " HTTP/1.1\r\n\r\n", "414", "uri_too_long"},
      {"endless headers", "GET / HTTP/1.1\r\nA: " + std::string(1 << 20, 'a'), "413", "request_too_large"},
      {"another method", "PUT /size HTTP/1.1\r\n\r\n", "405", "method_not_allowed"},
      {"no length", "POST /size HTTP/1.1\r\n" + json + "\r\nabc", "411", "length_required"},
      {"a length that is none", "POST /size HTTP/1.1\r\n" + json + "Content-Length: -1\r\n\r\n", "400",
       "malformed_request"},
      {"two lengths", "POST /size HTTP/1.1\r\n" + json + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", "400",
       "malformed_request"},
      {"a length and chunks",
       "POST /size HTTP/1.1\r\n" + json + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400",
       "malformed_request"},
      {"another type", "POST /size HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\na", "415",
       "unsupported_media_type"},
      {"a form that is none", "POST /form HTTP/1.1\r\n" + json + "Content-Length: 1\r\n\r\na", "415",
       "unsupported_media_type"},
      {"a form of another origin", PostForm(1, "Origin: http://b\r\nConnection: close\r\n"), "403", "other_origin"},
      {"a large form", PostForm(10 << 20, "Connection: close\r\n"), "413", "request_too_large"},
      {"a packed body", "POST /size HTTP/1.1\r\n" + json + "Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\na",
       "415", "unsupported_encoding"},
      {"a large body", PostSize(std::string(10 << 20, 'a'), "Connection: close\r\n"), "413", "request_too_large"},
      {"a large chunk",
       "POST /size HTTP/1.1\r\n" + json + "Transfer-Encoding: chunked\r\n\r\n400000\r\n" + std::string(4 << 20, 'a'),
       "413", "request_too_large"},
      {"a broken chunk", "POST /size HTTP/1.1\r\n" + json + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", "400",
       "malformed_request"},
  };
  for (const Case& wrong : cases) {
    Client client(address_);
    client.Send(wrong.request);
    const std::string reply = client.ReadAll();
    EXPECT_THAT(reply, StartsWith(std::string("HTTP/1.1 ") + wrong.status)) << wrong.what;
    EXPECT_THAT(reply, HasSubstr(std::string("\"code\":\"") + wrong.code + "\"")) << wrong.what;
  }
}

TEST_F(ListenerTest, SmallerTroublesLeaveTheConnection) {
  Client client(address_);
  ASSERT_TRUE(client.Send("GET /nothing HTTP/1.1\r\n\r\n"));
  EXPECT_THAT(client.ReadTo("\"not_found\"}}\n"), StartsWith("HTTP/1.1 404"));
  ASSERT_TRUE(client.Send("GET /fails HTTP/1.1\r\nRange: bytes=0-,0-,0-\r\n\r\n"));
  const std::string reply = client.ReadTo("\"internal\"}}\n");
  EXPECT_THAT(reply, StartsWith("HTTP/1.1 500"));
  EXPECT_THAT(reply, ::testing::Not(HasSubstr("secret")));
  ASSERT_TRUE(client.Send(PostSize("ab")));
  EXPECT_THAT(client.ReadTo("\r\n\r\n2"), StartsWith("HTTP/1.1 200"));
}

// Byte by byte, each well within any limit on silence: the library's own streams would be held for ever.
TEST_F(ListenerTest, AClientThatDribblesIsAnsweredInTime) {
  for (const std::string& start :
       {std::string("GET / HTTP/1.1\r\nA: "),
        "POST /size HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n" + std::string()}) {
    Client client(address_);
    ASSERT_TRUE(client.Send(start));
    const auto begun = std::chrono::steady_clock::now();
    while (client.Send("a") && std::chrono::steady_clock::now() - begun < std::chrono::seconds(60)) usleep(50'000);
    EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(60));
    EXPECT_TRUE(Empties());
  }
}

TEST_F(ListenerTest, AClientThatSaysNothingIsLetGo) {
  Client silent(address_);
  EXPECT_EQ(silent.ReadAll(), "");
  Client half(address_);
  ASSERT_TRUE(half.Send("GET / HT"));
  EXPECT_EQ(half.ReadAll(), "");
  Client halfway(address_);
  ASSERT_TRUE(halfway.Send("GET / HTTP/1.1\r\nA: b\r\n"));
  EXPECT_THAT(halfway.ReadAll(), StartsWith("HTTP/1.1 408"));
}

class CrowdTest : public ListenerTest {
 protected:
  static ListenerOptions Patient() {
    ListenerOptions options = Short();
    options.limits.idle = std::chrono::seconds(60);
    return options;
  }
  CrowdTest() : ListenerTest(Patient()) {}
};

TEST_F(CrowdTest, OneTooManyIsToldSoAndServedOnceThereIsRoom) {
  {
    std::vector<std::unique_ptr<Client>> crowd;
    for (int i = 0; i < 4; ++i) {
      crowd.push_back(std::make_unique<Client>(address_));
      ASSERT_TRUE(crowd.back()->Send(PostSize("ab")));
      ASSERT_THAT(crowd.back()->ReadTo("\r\n\r\n2"), StartsWith("HTTP/1.1 200"));
    }
    EXPECT_EQ(listener_.connections(), 4);
    Client late(address_);
    EXPECT_THAT(late.ReadAll(), StartsWith("HTTP/1.1 503"));
  }
  ASSERT_TRUE(Empties());
  Client client(address_);
  ASSERT_TRUE(client.Send(PostSize("ab")));
  EXPECT_THAT(client.ReadTo("\r\n\r\n2"), StartsWith("HTTP/1.1 200"));
}

}  // namespace
}  // namespace unmask
