// D1, F7, F8, F13: neighbours, slow readers, clients that vanish, and drains.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/reliability/faults.h"
#include "tests/reliability/load.h"
#include "tests/support/golden.h"
#include "tests/support/patience.h"

namespace unmask {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Answer;
using testing::ByForm;
using testing::CheckHistory;
using testing::Eventually;
using testing::Identity;
using ::testing::IsEmpty;
using testing::Load;
using testing::Metric;
using testing::MixedRequest;
using testing::Process;
using testing::Service;

uint64_t StepsRun(Service& service) {
  const v1::GetFleetResponse fleet = service.GetFleet();
  return std::accumulate(fleet.replicas().begin(), fleet.replicas().end(), uint64_t{0},
                         [](uint64_t sum, const v1::ReplicaStatus& replica) { return sum + replica.steps(); });
}

TEST(ClientsTest, ARequestIsAnsweredTheSameAloneAndAmongAllOthers) {
  const int requests = ByForm(40, 200);
  Service service(testing::TinyTpFlags(2, 2));
  ASSERT_TRUE(service.WaitForReady(2));
  std::vector<std::string> alone;
  int64_t passes = 0;
  for (int i = 0; i < requests; ++i) {
    const Answer answer = Generate(service, MixedRequest(i));
    ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
    passes += answer.response.usage().forward_passes();
    alone.push_back(Identity(answer.response));
  }
  // Each three times, all at once. How many find company depends on how fast they arrive: again, in another order,
  // should it once be few.
  constexpr int kTimes = 3;
  std::minstd_rand random(testing::Seed());
  double shared = 0;
  for (int round = 0; round < 10 && shared < 8; ++round) {
    const uint64_t before = StepsRun(service);
    std::vector<int> order(kTimes * requests);
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random);
    std::vector<Answer> together(order.size());
    std::vector<std::thread> clients;
    for (const int n : order) {
      clients.emplace_back([&, n] {
        together[n] = Generate(service, MixedRequest(n % requests), Patience() * seconds(ByForm(120, 600)));
      });
    }
    for (std::thread& client : clients) client.join();
    for (size_t n = 0; n < together.size(); ++n) {
      ASSERT_TRUE(together[n].status.ok()) << together[n].status.error_message();
      EXPECT_EQ(Identity(together[n].response), alone[n % requests]) << "request " << n % requests;
    }
    shared = static_cast<double>(kTimes * passes) / (StepsRun(service) - before);
    printf("%zu requests at once: %.1f windows a step\n", together.size(), shared);
  }
  EXPECT_GE(shared, 8) << "the windows did not share steps";
  // Another seed is another answer: the comparison can fail.
  v1::GenerateRequest other = MixedRequest(1);
  other.mutable_options()->set_seed(7);
  EXPECT_NE(Identity(Generate(service, other).response), alone[1]);
}

TEST(ClientsTest, ClientsThatVanishMidStreamLeaveNothingBehind) {
  Service service(testing::TinyTpFlags(1, 2));
  ASSERT_FALSE(service.address().empty());
  const int clients = ByForm(200, 1000);
  constexpr int kAtOnce = 20;
  std::atomic<int> next = 0;
  std::atomic<int> vanished = 0;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kAtOnce; ++thread) {
    threads.emplace_back([&, thread] {
      std::minstd_rand random(testing::Seed() + thread);
      while (next++ < clients) {
        grpc::ClientContext context;
        v1::GenerateRequest request = MixedRequest(random() % testing::kKinds);
        request.mutable_options()->set_gen_length(256);  // Far from done when its client goes.
        const auto reader = service.inference().GenerateStream(&context, request);
        v1::GenerateStreamResponse event;
        for (int events = random() % 4; events >= 0 && reader->Read(&event);) --events;
        context.TryCancel();
        vanished += reader->Finish().error_code() == grpc::StatusCode::CANCELLED;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(vanished, clients) << "some were answered before they could vanish";
  EXPECT_TRUE(Eventually(seconds(2), [&] {
    const v1::GetFleetResponse fleet = service.GetFleet();
    return fleet.queued() == 0 && fleet.replicas(0).running() == 0;
  })) << service.GetFleet().ShortDebugString();
  const uint64_t steps = StepsRun(service);
  std::this_thread::sleep_for(milliseconds(300));
  EXPECT_EQ(StepsRun(service), steps) << "it computes for clients that are gone";
  EXPECT_EQ(Metric(service, "unmask_running_requests"), 0);
  EXPECT_EQ(Metric(service, "unmask_queued_requests"), 0);
  EXPECT_TRUE(Eventually(seconds(2), [&] { return service.GetFleet().replicas(0).kv_positions_used() == 0; }));
}

TEST(ClientsTest, SlowReadersGetMergedStepsAndTheRightEndAndHoldNobodyUp) {
  Service service(testing::TinyTpFlags(1, 2));
  ASSERT_FALSE(service.address().empty());
  v1::GenerateRequest request = MixedRequest(0);
  request.mutable_options()->set_gen_length(480);
  request.mutable_options()->set_block_length(32);
  request.mutable_options()->set_steps(480);
  request.mutable_options()->set_cache(v1::CACHE_DUAL);
  request.mutable_options()->set_cfg_scale(0);
  request.mutable_options()->set_reference_parity(true);  // To the last step.
  request.mutable_output()->set_proposals(true);          // More than the transport holds.
  const Answer undisturbed = Generate(service, request);
  ASSERT_TRUE(undisturbed.status.ok()) << undisturbed.status.error_message();

  const int readers = ByForm(4, 200);
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 4096);
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);  // Else the window grows over what is read.
  const auto stub = v1::InferenceService::NewStub(
      grpc::CreateCustomChannel(service.address(), grpc::InsecureChannelCredentials(), arguments));
  struct Reader {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<v1::GenerateStreamResponse>> stream;
  };
  std::vector<std::unique_ptr<Reader>> slow;
  for (int i = 0; i < readers; ++i) {
    slow.push_back(std::make_unique<Reader>());
    slow.back()->context.set_deadline(std::chrono::system_clock::now() + Patience() * seconds(ByForm(120, 600)));
    slow.back()->stream = stub->GenerateStream(&slow.back()->context, request);
  }
  // They do not read; all the same their work is done, and their K/V is free.
  EXPECT_TRUE(Eventually(Patience() * seconds(ByForm(60, 300)), [&] {
    const v1::GetFleetResponse fleet = service.GetFleet();
    return fleet.queued() == 0 && fleet.replicas(0).running() == 0 && fleet.replicas(0).steps() > 480 + 8;
  })) << service.GetFleet().ShortDebugString();
  int merged = 0;
  for (const auto& reader : slow) {
    testing::Streamed streamed;
    for (v1::GenerateStreamResponse event; reader->stream->Read(&event);) {
      if (event.has_step()) merged += event.step().merged() > 1;
      if (event.has_completed()) streamed.completed = event.completed();
      streamed.events.push_back(event);
    }
    streamed.status = reader->stream->Finish();
    ASSERT_TRUE(streamed.status.ok()) << streamed.status.error_message();
    EXPECT_EQ(Identity(streamed.completed), Identity(undisturbed.response));
    EXPECT_EQ(CheckHistory(streamed), "");
  }
  EXPECT_GT(merged, 0) << "nobody was slow enough";
}

TEST(ClientsTest, ADrainingServiceFinishesWhatItHasAccepted) {
  for (int round = 0; round < ByForm(2, 20); ++round) {
    Service service(testing::TinyTpFlags(1, 2));
    ASSERT_FALSE(service.address().empty());
    std::vector<grpc::Status> statuses(8);
    std::atomic<int> accepted = 0;
    std::vector<std::thread> clients;
    for (size_t i = 0; i < statuses.size(); ++i) {
      clients.emplace_back([&, i] {
        grpc::ClientContext context;
        v1::GenerateRequest request = MixedRequest(i);
        request.mutable_options()->set_gen_length(96);
        const auto reader = service.inference().GenerateStream(&context, request);
        v1::GenerateStreamResponse event;
        accepted += reader->Read(&event) && event.has_accepted();
        while (reader->Read(&event)) {
        }
        statuses[i] = reader->Finish();
      });
    }
    EXPECT_TRUE(Eventually(seconds(20), [&] { return accepted == static_cast<int>(statuses.size()); }));
    EXPECT_EQ(service.End(seconds(60)), 0);
    for (std::thread& client : clients) client.join();
    for (const grpc::Status& status : statuses) EXPECT_TRUE(status.ok()) << status.error_message();
  }
}

TEST(ClientsTest, ADrainingReplicaCostsNoRequestAndNoReplay) {
  Service service(testing::TinyTpFlags(1, 2));
  ASSERT_FALSE(service.address().empty());
  Load load(&service, testing::kKinds);
  load.Start(8);
  for (int round = 0; round < ByForm(3, 20); ++round) {
    Process replica({testing::BinaryPath("unmask"), "replica", "--coordinator", service.fleet_address(), "--name",
                     "rolling", "--model", testing::SourcePath("tests/goldens/models/tiny-tp"), "--tensor-parallel",
                     "2", "--threads", "1", "--dtype", "fp32"});
    ASSERT_TRUE(Eventually(seconds(60), [&] {
      const v1::GetFleetResponse fleet = service.GetFleet();
      return std::any_of(fleet.replicas().begin(), fleet.replicas().end(), [](const v1::ReplicaStatus& status) {
        return status.name() == "rolling" && status.running() > 0;
      });
    })) << "the second replica got no work";
    replica.Kill(SIGTERM);
    EXPECT_EQ(replica.Wait(seconds(60)), 0);
  }
  const Load::Report report = load.Stop();
  EXPECT_THAT(report.wrong, IsEmpty());
  EXPECT_EQ(report.replays, 0);
}

}  // namespace
}  // namespace unmask
