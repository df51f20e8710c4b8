// Sameness: one seed, one text, whatever else happens.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/golden.h"
#include "tests/support/service.h"

namespace unmask {
namespace {

using testing::Identity;
using testing::Service;

std::vector<std::string> TinyTp(int replicas, int ranks) {
  return {"--model",           testing::SourcePath("tests/goldens/models/tiny-tp"),
          "--tensor-parallel", std::to_string(ranks),
          "--replicas",        std::to_string(replicas),
          "--threads",         "1",
          "--dtype",           "fp32"};
}

// Requests of all strategies, cache policies and lengths, each with a seed of its own.
v1::GenerateRequest MixedRequest(int i) {
  v1::GenerateRequest request;
  std::minstd_rand random(i + 1);
  for (int n = 0; n < 5 + i % 11; ++n) request.mutable_token_ids()->add_ids(random() % 1000);
  v1::GenerationOptions* options = request.mutable_options();
  options->set_gen_length(32 + 16 * (i % 3));
  options->set_block_length(16);
  options->set_remasking(static_cast<v1::Remasking>(1 + i % v1::Remasking_MAX));
  options->set_cache(static_cast<v1::Cache>(1 + i % 3));
  options->set_temperature(i % 2 ? 0.7f : 0);
  options->set_cfg_scale(i % 4 == 0 ? 0.5f : 0);
  options->set_seed(1000 + i);
  request.mutable_output()->set_canvas(true);
  request.mutable_output()->set_confidences(true);
  return request;
}

v1::GenerateResponse Generate(Service& service, const v1::GenerateRequest& request) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(100));
  v1::GenerateResponse response;
  const grpc::Status status = service.inference().Generate(&context, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response;
}

// All at once, in an order of `seed`.
std::vector<v1::GenerateResponse> GenerateTogether(Service& service, int count, int seed) {
  std::vector<int> order(count);
  for (int i = 0; i < count; ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), std::minstd_rand(seed));
  std::vector<v1::GenerateResponse> responses(count);
  std::vector<std::thread> clients;
  for (int i : order) clients.emplace_back([&, i] { responses[i] = Generate(service, MixedRequest(i)); });
  for (std::thread& client : clients) client.join();
  return responses;
}

uint64_t StepsRun(Service& service) {
  uint64_t steps = 0;
  const auto fleet = service.GetFleet();
  for (const auto& replica : fleet.replicas()) steps += replica.steps();
  return steps;
}

TEST(SamenessTest, NeitherCompanyNorOrderNorARestartChangesAText) {
  constexpr int kRequests = 24;
  Service service(TinyTp(1, 2));
  ASSERT_FALSE(service.address().empty());
  std::vector<std::string> alone;
  int64_t passes = 0;
  for (int i = 0; i < kRequests; ++i) {
    const v1::GenerateResponse response = Generate(service, MixedRequest(i));
    passes += response.usage().forward_passes();
    alone.push_back(Identity(response));
  }
  const uint64_t steps_alone = StepsRun(service);
  EXPECT_EQ(steps_alone, passes);

  const auto together = GenerateTogether(service, kRequests, 1);
  const uint64_t steps_together = StepsRun(service) - steps_alone;
  EXPECT_LT(steps_together * 4, static_cast<uint64_t>(passes)) << "the windows did not share steps";
  for (int i = 0; i < kRequests; ++i) EXPECT_EQ(Identity(together[i]), alone[i]) << "request " << i << " in company";

  // Another process of the replica, between two runs.
  auto fleet = service.GetFleet();
  const uint64_t epoch = fleet.replicas(0).epoch();
  ASSERT_EQ(kill(fleet.replicas(0).ranks(1).pid(), SIGKILL), 0);
  for (int i = 0; i < 500 && service.GetFleet().replicas(0).epoch() == epoch; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  ASSERT_TRUE(service.WaitForReady(1));
  ASSERT_GT(service.GetFleet().replicas(0).epoch(), epoch);
  const auto restarted = GenerateTogether(service, kRequests, 2);
  for (int i = 0; i < kRequests; ++i)
    EXPECT_EQ(Identity(restarted[i]), alone[i]) << "request " << i << " after a restart";
}

TEST(SamenessTest, AReplicasDeathUnderLoadLosesNothingAndChangesNothing) {
  constexpr int kRequests = 18;
  Service service(TinyTp(2, 2));
  ASSERT_FALSE(service.address().empty());
  ASSERT_TRUE(service.WaitForReady(2));
  std::vector<std::string> undisturbed;
  for (int i = 0; i < kRequests; ++i) undisturbed.push_back(Identity(Generate(service, MixedRequest(i))));

  // Kill a rank of a busy replica again and again while the requests run.
  std::atomic<bool> running = true;
  int busy_kills = 0;
  std::thread killer([&] {
    std::minstd_rand random(5);
    while (running && busy_kills < 3) {
      const auto fleet = service.GetFleet();
      for (const auto& replica : fleet.replicas()) {
        if (replica.running() > 0 && replica.ranks_size() == 2 && replica.state() == v1::REPLICA_STATE_READY) {
          busy_kills += kill(replica.ranks(random() % 2).pid(), SIGKILL) == 0;
          break;
        }
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(30));
    }
  });
  std::vector<v1::GenerateResponse> responses;
  int replays = 0;
  for (int round = 0; round < 20 && replays == 0; ++round) {
    responses = GenerateTogether(service, kRequests, round);
    for (int i = 0; i < kRequests; ++i) {
      EXPECT_EQ(Identity(responses[i]), undisturbed[i]) << "request " << i;
      replays += responses[i].replays();
    }
  }
  running = false;
  killer.join();
  EXPECT_GT(busy_kills, 0);
  EXPECT_GT(replays, 0) << "no request was under way on a killed replica";
}

TEST(SamenessTest, ANumericsClassNamesTheRanks) {
  std::map<int, std::string> numerics;
  for (int ranks : {1, 2}) {
    Service service(TinyTp(1, ranks));
    ASSERT_FALSE(service.address().empty());
    numerics[ranks] = Generate(service, MixedRequest(0)).numerics();
    EXPECT_NE(numerics[ranks].find("ranks:" + std::to_string(ranks)), std::string::npos) << numerics[ranks];
  }
  EXPECT_NE(numerics[1], numerics[2]);
}

}  // namespace
}  // namespace unmask
