// S2: ten thousand streams open at once on one coordinator, slow readers among them.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tests/coordinator/batch/coordinator_process.h"
#include "tests/coordinator/stream_reader.h"
#include "tests/support/patience.h"
#include "unmask/v1/fleet.grpc.pb.h"

namespace unmask {
namespace {

using testing::StreamReader;
using Stub = v1::InferenceService::Stub;

constexpr int kStreams = 10'000;
constexpr int kSlowEvery = 100;           // Each so many-th reads nothing until the others are done.
constexpr int kConnections = 20;          // A connection has room for 1,024.
constexpr int64_t kStreamBytes = 64'000;  // That one may cost the coordinator.

int64_t ResidentBytes(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/statm");
  int64_t size = 0, resident = 0;
  file >> size >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

// Longer than the one at its side, and with proposals, so that who does not read has much to come.
v1::GenerateRequest Request(bool slow) {
  v1::GenerateRequest request = testing::TinyRequest(slow ? 96 : 4, slow ? 32 : 4);
  request.mutable_options()->set_cache(v1::CACHE_DUAL);
  request.mutable_output()->set_proposals(slow);
  return request;
}

class Clients {
 public:
  explicit Clients(const std::string& address) {
    for (int i = 0; i < kConnections; ++i) {
      grpc::ChannelArguments arguments;
      arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);        // A connection of its own,
      arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 4096);  // with room for little that is not read.
      arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
      stubs_.push_back(v1::InferenceService::NewStub(
          grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments)));
    }
  }
  Stub* stub(int i) { return stubs_[i % kConnections].get(); }

 private:
  std::vector<std::unique_ptr<Stub>> stubs_;
};

v1::GenerateResponse Alone(Stub* stub, bool slow) {
  grpc::ClientContext context;
  v1::GenerateResponse response;
  const grpc::Status status = stub->Generate(&context, Request(slow), &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return StreamReader::Comparable(response);
}

v1::GetFleetResponse GetFleet(const std::string& address) {
  const auto stub = v1::FleetService::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  v1::GetFleetResponse fleet;
  EXPECT_TRUE(stub->GetFleet(&context, v1::GetFleetRequest(), &fleet).ok());
  return fleet;
}

// Within minutes: two cores are few for ten thousand of anything.
template <typename Condition>
bool InTime(Condition condition) {
  const auto limit = std::chrono::steady_clock::now() + std::chrono::minutes(4);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > limit) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return true;
}

TEST(StreamsTest, TenThousandAtOnceCostLittleAndNoneIsLost) {
  const testing::Scratch scratch;
  testing::CoordinatorProcess coordinator(scratch);
  const std::string address = coordinator.Address("grpc");
  const auto replica = testing::ScriptedReplica::Start(coordinator.Address("fleet"));
  Clients clients(address);
  ASSERT_TRUE(InTime([&] {
    const v1::GetFleetResponse fleet = GetFleet(address);
    return fleet.replicas_size() == 1 && fleet.replicas(0).state() == v1::REPLICA_STATE_READY;
  }));
  const v1::GenerateResponse expected[] = {Alone(clients.stub(0), false), Alone(clients.stub(0), true)};
  const int64_t before = ResidentBytes(coordinator.pid());

  replica->Hold();
  std::vector<std::unique_ptr<StreamReader>> readers;
  const auto slow = [](size_t i) { return i % kSlowEvery == 0; };
  const auto count = [&](auto of) {
    int n = 0;
    for (size_t i = 0; i < readers.size(); ++i) n += of(i);
    return n;
  };
  for (int i = 0; i < kStreams; ++i) {
    readers.push_back(std::make_unique<StreamReader>(clients.stub(i), Request(slow(i)), slow(i)));
  }
  ASSERT_TRUE(InTime([&] { return count([&](size_t i) { return readers[i]->accepted(); }) == kStreams; }));
  const v1::GetFleetResponse open = GetFleet(address);
  EXPECT_EQ(open.queued() + open.replicas(0).running(), kStreams) << "they were not open at once";
  const int64_t bytes = (ResidentBytes(coordinator.pid()) - before) / kStreams;

  replica->Go();
  ASSERT_TRUE(InTime([&] { return count([&](size_t i) { return slow(i) || readers[i]->ended(); }) == kStreams; }));
  ASSERT_TRUE(InTime([&] {
    const v1::GetFleetResponse fleet = GetFleet(address);
    return fleet.queued() + fleet.replicas(0).running() == 0;
  })) << "those who do not read hold up a replica";
  EXPECT_EQ(count([&](size_t i) { return slow(i) && readers[i]->ended(); }), 0) << "nobody was slow";
  const int64_t most = (ResidentBytes(coordinator.pid()) - before) / kStreams;
  for (size_t i = 0; i < readers.size(); ++i) {
    if (slow(i)) readers[i]->ReadOn();
  }
  ASSERT_TRUE(InTime([&] { return count([&](size_t i) { return readers[i]->ended(); }) == kStreams; }));

  printf("%d streams at once: %ld bytes each while they wait, %ld when all are computed and %d unread\n", kStreams,
         static_cast<long>(bytes), static_cast<long>(most), kStreams / kSlowEvery);
  if (Patience() == 1) {  // A sanitizer keeps as much again, and more.
    EXPECT_LT(bytes, kStreamBytes);
    EXPECT_LT(most, kStreamBytes);
  }
  for (size_t i = 0; i < readers.size(); ++i) {
    ASSERT_EQ(readers[i]->Fault(expected[slow(i)]), "") << "stream " << i;
  }
  EXPECT_GT(count([&](size_t i) { return slow(i) && readers[i]->merged(); }), 0)
      << "no slow reader had too much to read";
}

}  // namespace
}  // namespace unmask
