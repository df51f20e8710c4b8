// F15, inside: the coordinator's wall clock jumps by an hour, and neither a lease nor a deadline nor a batch job
// notices. The replica and the client, in the same process, have the same clock.
#include <chrono>
#include <future>
#include <string>
#include <thread>

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tests/coordinator/batch/batch_client.h"
#include "tests/coordinator/batch/scratch.h"
#include "tests/coordinator/test_service.h"
#include "tests/support/shifted_clock.h"

namespace unmask {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Eventually;
using testing::ScriptedReplicaOptions;
using testing::TestService;
using testing::TinyRequest;
using Clock = std::chrono::steady_clock;

void Jump(std::chrono::hours hours) { testing::WallClockShift() += std::chrono::nanoseconds(hours).count(); }

class ClockTest : public ::testing::Test {
 protected:
  void TearDown() override { testing::WallClockShift() = 0; }
};

grpc::Status Call(const TestService& service, milliseconds time) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + time);
  v1::GenerateResponse response;
  return service.inference->Generate(&context, TinyRequest(8, 8), &response);
}

TEST_F(ClockTest, AClockThatIsSetBackProlongsNoDeadline) {
  TestService service;
  const auto replica = service.StartReplica();
  replica->Hold();
  const auto begin = Clock::now();
  auto call = std::async(std::launch::async, [&] { return Call(service, milliseconds(1500)); });
  std::this_thread::sleep_for(milliseconds(300));
  Jump(std::chrono::hours(-1));
  EXPECT_EQ(call.get().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_GE(Clock::now() - begin, milliseconds(1490));
  EXPECT_LT(Clock::now() - begin, seconds(5));
  EXPECT_TRUE(Eventually([&] { return service.server->fleet().open_sequences() == 0; })) << "its slot is not free";
}

TEST_F(ClockTest, AClockThatIsSetForwardExpiresNoDeadline) {
  TestService service;
  const auto replica = service.StartReplica();
  replica->Hold();
  auto call = std::async(std::launch::async, [&] { return Call(service, seconds(60)); });
  EXPECT_TRUE(Eventually([&] { return !replica->steps().empty(); }));
  Jump(std::chrono::hours(1));
  EXPECT_EQ(call.wait_for(milliseconds(500)), std::future_status::timeout);
  replica->Go();
  const grpc::Status status = call.get();
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_F(ClockTest, ALeaseLastsAsLongAsItShould) {
  ServerOptions options;
  options.lease = absl::Seconds(1);
  TestService service(std::move(options));
  const auto lively = service.StartReplica();
  for (const int hours : {-1, 2}) {
    ScriptedReplicaOptions silent;
    silent.description = testing::DescribeReplica("silent", 1);
    silent.heartbeat = milliseconds(0);
    const auto begin = Clock::now();
    const auto replica = service.StartReplica(silent);
    Jump(std::chrono::hours(hours));
    EXPECT_TRUE(Eventually([&] { return service.StateOf("silent") == v1::REPLICA_STATE_DOWN; }));
    EXPECT_GE(Clock::now() - begin, milliseconds(990)) << "dropped before its lease was over";
    EXPECT_LT(Clock::now() - begin, seconds(4));
    EXPECT_EQ(service.StateOf("a"), v1::REPLICA_STATE_READY);
  }
  EXPECT_EQ(lively->epoch(), 1) << "it had to connect again";
}

TEST_F(ClockTest, ABatchJobGoesOn) {
  const testing::Scratch scratch;
  ServerOptions options;
  options.store = scratch / "store";
  TestService service(std::move(options));
  ScriptedReplicaOptions slow;
  slow.step_time = milliseconds(2);
  const auto replica = service.StartReplica(slow);
  testing::BatchClient client(service.channel);
  client.Create("job", testing::TinyLines(100));
  for (const int hours : {-1, 2}) {
    const size_t steps = replica->steps().size();
    Jump(std::chrono::hours(hours));
    EXPECT_TRUE(Eventually([&] { return replica->steps().size() > steps + 4; })) << "it stands still";
  }
  EXPECT_EQ(client.Watch("job").state(), v1::BATCH_JOB_STATE_SUCCEEDED);
}

}  // namespace
}  // namespace unmask
