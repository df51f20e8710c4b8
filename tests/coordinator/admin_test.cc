// The admin port: what operators' tools read.
#include <arpa/inet.h>
#include <httplib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <thread>
#include <vector>

#include "coordinator/host_port.h"
#include "gmock/gmock.h"
#include "tests/coordinator/test_service.h"

namespace unmask {
namespace {

using testing::Eventually;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::TestService;
using testing::TinyRequest;

struct Page {
  int status = 0;  // 0: no answer.
  std::string body;
};

Page Get(const TestService& service, const std::string& path) {
  httplib::Client client("http://" + service.server->admin_address());
  const auto result = client.Get(path.c_str());
  return result ? Page{result->status, result->body} : Page{};
}

TEST(AdminTest, LiveFromTheStartAndReadyWithAReplica) {
  TestService service;
  EXPECT_EQ(Get(service, "/livez").status, 200);
  EXPECT_EQ(Get(service, "/readyz").status, 503);
  EXPECT_EQ(Get(service, "/readyz").body, "no replica is ready\n");
  const auto replica = service.StartReplica();
  EXPECT_EQ(Get(service, "/readyz").status, 200);
  service.server->Drain();
  EXPECT_EQ(Get(service, "/readyz").body, "draining\n");
  EXPECT_EQ(Get(service, "/livez").status, 200);
  EXPECT_EQ(Get(service, "/secrets").status, 404);
}

TEST(AdminTest, GaugesRiseWithARequestAndReturnToZero) {
  TestService service;
  const auto replica = service.StartReplica();
  replica->Hold();
  std::vector<std::thread> clients;
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back([&] {
      v1::GenerateResponse response;
      EXPECT_TRUE(service.Generate(TinyRequest(8, 8), &response).ok());
    });
  }
  EXPECT_TRUE(Eventually([&] { return service.server->fleet().open_sequences() == 3; }));
  EXPECT_THAT(Get(service, "/metrics").body, Not(HasSubstr("unmask_running_requests 0\n")));
  replica->Go();
  for (std::thread& client : clients) client.join();
  EXPECT_TRUE(Eventually([&] { return service.server->idle(); }));
  const std::string metrics = Get(service, "/metrics").body;
  EXPECT_THAT(metrics, HasSubstr("unmask_running_requests 0\n"));
  EXPECT_THAT(metrics, HasSubstr("unmask_queued_requests 0\n"));
  EXPECT_THAT(metrics, HasSubstr("unmask_requests_total{code=\"OK\",method=\"Generate\"} 3\n"));
  EXPECT_THAT(metrics, HasSubstr("unmask_denoising_steps_total{strategy=\"low_confidence\"} 24\n"));
  EXPECT_THAT(metrics, HasSubstr("unmask_committed_tokens_total 24\n"));
  EXPECT_THAT(metrics, HasSubstr("unmask_request_duration_seconds_count{method=\"Generate\"} 3\n"));
  EXPECT_THAT(metrics, HasSubstr("unmask_request_queue_seconds_count{method=\"Generate\"} 3\n"));
  EXPECT_THAT(metrics, HasSubstr("unmask_replica_state{replica=\"a\",state=\"ready\"} 1\n"));
  EXPECT_THAT(metrics, HasSubstr("unmask_replica_state{replica=\"a\",state=\"down\"} 0\n"));
  EXPECT_THAT(metrics, HasSubstr("unmask_replica_restarts_total{reason=\"ended\"} 0\n"));
  EXPECT_THAT(metrics, HasSubstr("unmask_build_info{version=\"unknown\"} 1\n"));
}

TEST(AdminTest, RefusedRequestsAreCountedByReason) {
  TestService service;
  v1::GenerateResponse response;
  service.Generate(TinyRequest(8, 8), &response);
  const auto replica = service.StartReplica();
  service.Generate(TinyRequest(8, 3), &response);
  const std::string metrics = Get(service, "/metrics").body;
  EXPECT_THAT(metrics, HasSubstr("unmask_rejected_total{reason=\"MODEL_LOADING\"} 1\n"));
  EXPECT_THAT(metrics, HasSubstr("unmask_rejected_total{reason=\"OPTION_INVALID\"} 1\n"));
  EXPECT_THAT(metrics, HasSubstr("unmask_requests_total{code=\"INVALID_ARGUMENT\",method=\"Generate\"} 1\n"));
}

TEST(AdminTest, AReplayIsCounted) {
  TestService service;
  testing::ScriptedReplicaOptions options;
  options.dies_at_step = 2;
  auto replica = service.StartReplica(options);
  std::thread client([&] {
    v1::GenerateResponse response;
    EXPECT_TRUE(service.Generate(TinyRequest(8, 8), &response).ok());
  });
  EXPECT_TRUE(Eventually([&] { return service.StateOf("a") == v1::REPLICA_STATE_DOWN; }));
  options.dies_at_step = 0;
  replica = service.StartReplica(options);
  client.join();
  EXPECT_THAT(Get(service, "/metrics").body, HasSubstr("unmask_sequence_replays_total{reason=\"ended\"} 1\n"));
}

TEST(AdminTest, SlowPeersKeepNoProbeWaiting) {
  TestService service;
  const HostPort address = *ParseHostPort(service.server->admin_address());
  std::vector<int> slow;
  for (int i = 0; i < 20; ++i) {
    slow.push_back(socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(address.port));
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    ASSERT_EQ(connect(slow.back(), reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
    ASSERT_EQ(send(slow.back(), "G", 1, MSG_NOSIGNAL), 1);
  }
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(Get(service, "/livez").status, 200);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(4)) << "below their time for a head";
  // One byte a second does not make the time longer.
  bool ended = false;
  for (int second = 0; second < 15 && !ended; ++second) {
    std::this_thread::sleep_for(std::chrono::seconds(1));
    ended = send(slow.back(), "E", 1, MSG_NOSIGNAL) < 0;
  }
  EXPECT_TRUE(ended);
  for (const int fd : slow) close(fd);
}

TEST(AdminTest, EachTakenPortIsNamed) {
  TestService first;
  for (std::string ServerOptions::*port :
       {&ServerOptions::listen, &ServerOptions::fleet_listen, &ServerOptions::admin_listen}) {
    ServerOptions options;
    options.listen = options.fleet_listen = options.admin_listen = "127.0.0.1:0";
    options.*port = port == &ServerOptions::listen         ? first.server->grpc_address()
                    : port == &ServerOptions::fleet_listen ? first.server->fleet_address()
                                                           : first.server->admin_address();
    const auto second = Server::Start(options);
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(second.status().message()), HasSubstr(options.*port));
  }
}

TEST(AdminTest, AddressesAreReadWithAndWithoutBrackets) {
  EXPECT_EQ(ParseHostPort("127.0.0.1:0")->ToString(), "127.0.0.1:0");
  EXPECT_EQ(ParseHostPort("[::1]:9090")->host, "::1");
  EXPECT_EQ(ParseHostPort("[::1]:9090")->ToString(), "[::1]:9090");
  EXPECT_EQ(ParseHostPort("localhost:65535")->port, 65535);
  for (const char* bad : {"", "localhost", ":80", "localhost:", "localhost:x", "localhost:65536", "localhost:-1",
                          "::1:80", "[::1]", "[]:80", "[::1:80", "localhost:+1", "localhost: 1"}) {
    EXPECT_FALSE(ParseHostPort(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace unmask
