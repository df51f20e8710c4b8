// Scores over the wire: client, coordinator, and scripted replicas at the ends of real streams.
#include <algorithm>
#include <cmath>
#include <thread>

#include "gmock/gmock.h"
#include "google/protobuf/util/message_differencer.h"
#include "tests/coordinator/test_service.h"

namespace unmask {
namespace {

using google::protobuf::util::MessageDifferencer;
using testing::DetailsOf;
using testing::Eventually;
using testing::ScriptedReplicaOptions;
using testing::TestService;
using testing::TinyRequest;

constexpr int32_t kMask = 99;

// After the prompt 1, 2, 3.
v1::ScoreRequest TinyScore(const std::vector<std::vector<int32_t>>& targets) {
  v1::ScoreRequest request;
  for (const int id : {1, 2, 3}) request.mutable_prompt()->mutable_token_ids()->add_ids(id);
  for (const auto& ids : targets) {
    request.add_targets()->mutable_token_ids()->mutable_ids()->Add(ids.begin(), ids.end());
  }
  request.set_seed(5);
  return request;
}

std::vector<int32_t> Ids(int count) {
  std::vector<int32_t> ids(count);
  for (int i = 0; i < count; ++i) ids[i] = 10 + i * 7 % 80;
  return ids;
}

grpc::Status Score(const TestService& service, const v1::ScoreRequest& request, v1::ScoreResponse* response,
                   std::chrono::milliseconds deadline = std::chrono::seconds(30)) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + deadline);
  response->Clear();
  return service.inference->Score(&context, request, response);
}

// What must not differ between two runs of one request.
v1::ScoreResponse Essence(v1::ScoreResponse response) {
  response.clear_timing();
  response.clear_request_id();
  response.clear_replays();
  return response;
}

v1::ScoreResponse Undisturbed(const v1::ScoreRequest& request) {
  TestService service;
  const auto replica = service.StartReplica();
  v1::ScoreResponse response;
  EXPECT_TRUE(Score(service, request, &response).ok());
  return Essence(response);
}

// How many of a step's windows ask for log-probabilities.
int Asking(const internal::v1::Step& step) {
  return std::count_if(step.windows().begin(), step.windows().end(),
                       [](const auto& window) { return window.asked_size() > 0; });
}

// What the model says of one sample: L / masks * sum of log-probabilities.
double Sample(const v1::ScoreRequest& request, const std::vector<int32_t>& masked) {
  internal::v1::Step step;
  internal::v1::Window* window = step.add_windows();
  window->set_sequence(1);
  for (const int32_t id : request.prompt().token_ids().ids()) {
    window->add_tokens(id);
    if (request.cfg_scale() > 0) window->add_unconditional_tokens(kMask);
  }
  for (const int32_t id : request.targets(0).token_ids().ids()) {
    const bool here = std::count(masked.begin(), masked.end(), window->tokens_size()) > 0;
    if (here) {
      window->add_sample(window->tokens_size());
      window->add_asked(id);
    }
    window->add_tokens(here ? kMask : id);
    if (request.cfg_scale() > 0) window->add_unconditional_tokens(here ? kMask : id);
  }
  window->set_cfg_scale(request.cfg_scale());
  window->set_length(window->tokens_size());
  window->add_horizons(window->tokens_size());
  double sum = 0;
  const internal::v1::StepResult result = testing::ScriptedModel().Execute(step);
  for (const float log_probability : result.candidates(0).log_probabilities()) sum += log_probability;
  return sum * request.targets(0).token_ids().ids_size() / masked.size();
}

TEST(ServicesScoreTest, AScoreIsTheMeanOfItsSamples) {
  TestService service;
  const auto replica = service.StartReplica();
  for (const float cfg_scale : {0.0f, 1.5f}) {
    v1::ScoreRequest request = TinyScore({Ids(3)});
    request.set_cfg_scale(cfg_scale);
    request.set_greedy_match(false);
    const std::vector<std::vector<int32_t>> sets = {{3, 5}, {4}};
    for (const auto& set : sets) request.add_masked()->mutable_positions()->Add(set.begin(), set.end());
    v1::ScoreResponse response;
    const grpc::Status status = Score(service, request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    ASSERT_EQ(response.scores_size(), 1);
    const double a = Sample(request, sets[0]), b = Sample(request, sets[1]);
    EXPECT_NE(a, b);
    EXPECT_DOUBLE_EQ(response.scores(0).log_likelihood(), (a + b) / 2);
    EXPECT_DOUBLE_EQ(response.scores(0).standard_error(), std::abs(a - b) / 2);
    EXPECT_EQ(response.scores(0).samples(), 2);
    EXPECT_EQ(response.scores(0).tokens(), 3);
    EXPECT_FALSE(response.scores(0).has_greedy_match());
    EXPECT_EQ(response.forward_passes(), 2);
    EXPECT_EQ(response.prompt_tokens(), 3);
    EXPECT_EQ(response.model(), "tiny");
    EXPECT_EQ(response.numerics(), "scripted");
    EXPECT_TRUE(response.exactness().exact());
    EXPECT_EQ(response.request_id().size(), 16u);
    EXPECT_EQ(response.seed(), 5u);
    EXPECT_EQ(response.cfg_scale(), cfg_scale);
  }
}

TEST(ServicesScoreTest, TheSameSeedGivesTheSameNumbersWhateverElseIsScored) {
  TestService service;
  const auto replica = service.StartReplica();
  v1::ScoreResponse alone;
  v1::ScoreResponse response;
  ASSERT_TRUE(Score(service, TinyScore({Ids(20)}), &alone).ok());
  EXPECT_GT(alone.scores(0).standard_error(), 0);
  EXPECT_EQ(alone.scores(0).samples(), 128);
  ASSERT_TRUE(Score(service, TinyScore({Ids(31), Ids(20), Ids(1)}), &response).ok());
  EXPECT_TRUE(MessageDifferencer::Equals(response.scores(1), alone.scores(0))) << response.DebugString();
  EXPECT_EQ(response.scores(2).samples(), 1) << "nothing is drawn of one token";
  EXPECT_EQ(response.scores(2).standard_error(), 0);
  v1::ScoreRequest other = TinyScore({Ids(20)});
  other.set_seed(6);
  ASSERT_TRUE(Score(service, other, &response).ok());
  EXPECT_NE(response.scores(0).log_likelihood(), alone.scores(0).log_likelihood());
  other.clear_seed();
  ASSERT_TRUE(Score(service, other, &response).ok());
  const uint64_t drawn = response.seed();
  ASSERT_TRUE(Score(service, other, &response).ok());
  EXPECT_NE(response.seed(), drawn);
}

TEST(ServicesScoreTest, GreedyMatchIsWhatLowConfidenceDecodingGives) {
  TestService service;
  const auto replica = service.StartReplica();
  v1::GenerateResponse generated;
  ASSERT_TRUE(service.Generate(TinyRequest(6, 6), &generated).ok());
  std::vector<int32_t> text(generated.token_ids().begin(), generated.token_ids().end());
  std::vector<int32_t> other = text;
  other[5] = other[5] == 7 ? 8 : 7;
  v1::ScoreResponse response;
  ASSERT_TRUE(Score(service, TinyScore({text, other}), &response).ok());
  EXPECT_TRUE(response.scores(0).greedy_match());
  EXPECT_TRUE(response.scores(1).has_greedy_match());
  EXPECT_FALSE(response.scores(1).greedy_match());
  // A difference ends it: no pass is wasted on the rest. 63 sets of 6 positions at the most for each target.
  v1::ScoreRequest first_only = TinyScore({other});
  first_only.set_samples(1);
  ASSERT_TRUE(Score(service, first_only, &response).ok());
  EXPECT_LE(response.forward_passes(), 1 + 6);
}

TEST(ServicesScoreTest, SamplesShareStepsWithEachOtherAndWithGenerations) {
  TestService service;
  const auto replica = service.StartReplica();
  replica->Hold();
  v1::GenerateResponse generated;
  v1::ScoreResponse scored;
  std::thread generates([&] { EXPECT_TRUE(service.Generate(TinyRequest(8, 8), &generated).ok()); });
  EXPECT_TRUE(Eventually([&] { return replica->steps().size() == 1; }));
  std::thread scores([&] { EXPECT_TRUE(Score(service, TinyScore({Ids(20), Ids(12)}), &scored).ok()); });
  EXPECT_TRUE(Eventually([&] { return service.server->fleet().open_sequences() == 1 + 32; }));
  replica->Go();
  generates.join();
  scores.join();
  int with_many = 0, with_both = 0;
  for (const auto& step : replica->steps()) {
    with_many += Asking(step) >= 8;
    const auto denoises = [](const auto& window) { return window.tokens_size() == 3 + 8; };
    with_both += Asking(step) > 0 && std::count_if(step.windows().begin(), step.windows().end(), denoises) > 0;
  }
  EXPECT_GT(with_many, 0);
  EXPECT_GT(with_both, 0);
  EXPECT_TRUE(MessageDifferencer::Equals(Essence(scored), Undisturbed(TinyScore({Ids(20), Ids(12)}))))
      << "and neighbours do not matter";
}

TEST(ServicesScoreTest, ADeathInAStepGoesUnnoticed) {
  v1::ScoreRequest request = TinyScore({Ids(20), Ids(5)});
  request.set_samples(64);
  request.set_cfg_scale(0.5f);
  const v1::ScoreResponse expected = Undisturbed(request);
  for (const int death : {1, 2, 3}) {
    TestService service;
    ScriptedReplicaOptions options;
    options.dies_at_step = death;
    auto mortal = service.StartReplica(options);
    v1::ScoreResponse response;
    grpc::Status status;
    std::thread client([&] { status = Score(service, request, &response); });
    EXPECT_TRUE(Eventually([&] { return service.StateOf("a") == v1::REPLICA_STATE_DOWN; }));
    options.dies_at_step = 0;
    options.description = testing::DescribeReplica("b", 1);
    const auto heir = service.StartReplica(options);
    client.join();
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(response.replays(), 1);
    EXPECT_TRUE(MessageDifferencer::Equals(Essence(response), expected)) << "died at step " << death;
  }
}

TEST(ServicesScoreTest, TwoReplicasShareAScore) {
  TestService service;
  ScriptedReplicaOptions options;
  const auto one = service.StartReplica(options);
  options.description = testing::DescribeReplica("b", 1);
  const auto two = service.StartReplica(options);
  options.description = testing::DescribeReplica("c", 1);
  options.numerics = "another";
  const auto stranger = service.StartReplica(options);
  const v1::ScoreRequest request = TinyScore({Ids(20)});
  v1::ScoreResponse response;
  ASSERT_TRUE(Score(service, request, &response).ok());
  EXPECT_TRUE(MessageDifferencer::Equals(Essence(response), Undisturbed(request)));
  EXPECT_FALSE(one->steps().empty());
  EXPECT_FALSE(two->steps().empty());
  EXPECT_TRUE(stranger->steps().empty()) << "one score is not computed by replicas that differ";
}

TEST(ServicesScoreTest, WhoGivesUpFreesEverySequence) {
  TestService service;
  const auto replica = service.StartReplica();
  replica->Hold();
  const auto all_free = [&] { return service.server->fleet().open_sequences() == 0 && service.server->idle(); };
  v1::ScoreResponse response;
  EXPECT_EQ(Score(service, TinyScore({Ids(20)}), &response, std::chrono::milliseconds(100)).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(Eventually(all_free));
  grpc::ClientContext context;
  grpc::Status status;
  std::thread client([&] { status = service.inference->Score(&context, TinyScore({Ids(20)}), &response); });
  EXPECT_TRUE(Eventually([&] { return service.server->fleet().open_sequences() == 32; }));
  context.TryCancel();
  client.join();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(Eventually(all_free));
  replica->Go();
  EXPECT_TRUE(Score(service, TinyScore({Ids(20)}), &response).ok());
}

TEST(ServicesScoreTest, AScoreThatWouldBeLateIsRefusedAtOnce) {
  TestService service;
  ScriptedReplicaOptions options;
  options.step_time = std::chrono::milliseconds(30);
  const auto replica = service.StartReplica(options);
  v1::ScoreResponse response;
  ASSERT_TRUE(Score(service, TinyScore({Ids(5)}), &response).ok()) << "steps are measured";
  v1::ScoreRequest large = TinyScore({Ids(60)});
  large.set_samples(2048);  // 64 windows one after the other at least, 2 s.
  const size_t steps = replica->steps().size();
  const grpc::Status status = Score(service, large, &response, std::chrono::milliseconds(1000));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << status.error_message();
  EXPECT_EQ(DetailsOf(status).reason, "OVERLOADED");
  EXPECT_TRUE(DetailsOf(status).retry);
  EXPECT_LE(replica->steps().size(), steps + 2) << "it hardly began";
  EXPECT_TRUE(Eventually([&] { return service.server->fleet().open_sequences() == 0; }));
}

TEST(ServicesScoreTest, LogitsThatAreNotFiniteEndTheWholeScore) {
  TestService service;
  ScriptedReplicaOptions options;
  options.tamper = [](internal::v1::StepResult* result) { result->mutable_candidates(0)->set_not_finite(true); };
  const auto replica = service.StartReplica(options);
  v1::ScoreResponse response;
  const grpc::Status status = Score(service, TinyScore({Ids(20)}), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_EQ(DetailsOf(status).reason, "NUMERICS_FAULT");
  EXPECT_TRUE(Eventually([&] { return service.server->fleet().open_sequences() == 0 && service.server->idle(); }));
}

TEST(ServicesScoreTest, AReplicaThatAnswersWithoutLogProbabilitiesIsDropped) {
  TestService service;
  ScriptedReplicaOptions options;
  options.tamper = [](internal::v1::StepResult* result) {
    for (auto& candidates : *result->mutable_candidates()) candidates.clear_log_probabilities();
  };
  const auto broken = service.StartReplica(options);
  const v1::ScoreRequest request = TinyScore({Ids(20)});
  v1::ScoreResponse response;
  std::thread client([&] { EXPECT_TRUE(Score(service, request, &response).ok()); });
  EXPECT_TRUE(Eventually([&] { return service.StateOf("a") == v1::REPLICA_STATE_DOWN; }));
  ScriptedReplicaOptions healthy;
  healthy.description = testing::DescribeReplica("b", 1);
  const auto replica = service.StartReplica(healthy);
  client.join();
  EXPECT_TRUE(MessageDifferencer::Equals(Essence(response), Undisturbed(request)));
}

TEST(ServicesScoreTest, ErrorsAreThoseOfEveryMethod) {
  TestService service;
  v1::ScoreResponse response;
  EXPECT_EQ(DetailsOf(Score(service, TinyScore({Ids(3)}), &response)).reason, "MODEL_LOADING");
  const auto replica = service.StartReplica();
  const grpc::Status empty = Score(service, TinyScore({}), &response);
  EXPECT_EQ(empty.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(DetailsOf(empty).field, "targets");
  v1::ScoreRequest named = TinyScore({Ids(3)});
  named.set_request_id("mine/7");
  ASSERT_TRUE(Score(service, named, &response).ok());
  EXPECT_EQ(response.request_id(), "mine/7");
  EXPECT_GT(response.timing().total().seconds() + response.timing().total().nanos(), 0);
}

}  // namespace
}  // namespace unmask
