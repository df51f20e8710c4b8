// Generation over the wire: client, coordinator, and a scripted replica at the end of a real stream.
#include <map>
#include <thread>

#include "gmock/gmock.h"
#include "google/protobuf/util/message_differencer.h"
#include "tests/coordinator/test_service.h"

namespace unmask {
namespace {

using google::protobuf::util::MessageDifferencer;
using ::testing::ElementsAreArray;
using testing::Eventually;
using testing::TestService;
using testing::TinyRequest;

// What must not differ between two runs of one request.
v1::GenerateResponse Essence(v1::GenerateResponse response) {
  response.clear_timing();
  response.clear_request_id();
  response.clear_replays();
  return response;
}

v1::GenerateResponse Undisturbed(const v1::GenerateRequest& request) {
  TestService service;
  const auto replica = service.StartReplica();
  v1::GenerateResponse response;
  EXPECT_TRUE(service.Generate(request, &response).ok());
  return Essence(response);
}

TEST(ServicesGenerationTest, AStreamCompletesWithWhatTheUnaryCallReturns) {
  TestService service;
  const auto replica = service.StartReplica();
  const v1::GenerateRequest request = TinyRequest(24, 8);
  v1::GenerateResponse unary;
  const grpc::Status status = service.Generate(request, &unary);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(unary.token_ids_size(), 24);
  EXPECT_EQ(unary.usage().steps(), 24);
  EXPECT_EQ(unary.model(), "tiny");
  EXPECT_EQ(unary.numerics(), "scripted");

  const auto events = service.GenerateStream(request);
  ASSERT_TRUE(events.back().has_completed());
  const v1::GenerateResponse streamed = Essence(events.back().completed());
  EXPECT_TRUE(MessageDifferencer::Equals(streamed, Essence(unary))) << streamed.DebugString() << unary.DebugString();
}

TEST(ServicesGenerationTest, EveryCommitIsStreamedOnceAndInTheOrderOfItsBlocks) {
  TestService service;
  const auto replica = service.StartReplica();
  const auto events = service.GenerateStream(TinyRequest(32, 8));
  ASSERT_TRUE(events.front().has_accepted());
  const v1::Accepted& accepted = events.front().accepted();
  EXPECT_EQ(accepted.canvas_length(), 35);
  EXPECT_EQ(accepted.blocks(), 4);
  EXPECT_EQ(accepted.prompt_length(), 3);
  EXPECT_EQ(accepted.options().steps(), 32);

  std::vector<int32_t> canvas(accepted.canvas().begin(), accepted.canvas().end());
  int block = 0;
  int steps = 0;
  for (const auto& event : events) {
    if (event.has_block()) {
      EXPECT_EQ(event.block().block(), block++);
    }
    if (!event.has_step()) continue;
    EXPECT_EQ(event.step().block(), block);
    steps += event.step().merged();
    for (const v1::Commit& commit : event.step().commits()) {
      EXPECT_EQ(canvas[commit.position()], 99) << "committed twice: " << commit.position();
      canvas[commit.position()] = commit.token_id();
    }
  }
  EXPECT_EQ(block, 4);
  EXPECT_EQ(steps, 32);
  ASSERT_TRUE(events.back().has_completed());
  EXPECT_THAT(canvas, ElementsAreArray(events.back().completed().canvas()));
}

TEST(ServicesGenerationTest, InfillComesUnaryAndStreamed) {
  TestService service;
  const auto replica = service.StartReplica();
  v1::InfillRequest request;
  request.add_segments()->mutable_token_ids()->add_ids(5);
  request.add_segments()->set_masks(4);
  request.add_segments()->mutable_token_ids()->add_ids(6);
  request.mutable_options()->set_seed(1);
  request.mutable_output()->set_canvas(true);
  grpc::ClientContext unary_context;
  v1::GenerateResponse unary;
  const grpc::Status status = service.inference->Infill(&unary_context, request, &unary);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(unary.spans_size(), 1);
  EXPECT_EQ(unary.spans(0).token_ids_size(), 4);
  EXPECT_EQ(unary.canvas(0), 5);
  EXPECT_EQ(unary.canvas(5), 6);

  grpc::ClientContext context;
  auto reader = service.inference->InfillStream(&context, request);
  v1::GenerateStreamResponse event;
  v1::GenerateStreamResponse last;
  while (reader->Read(&event)) last = event;
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_TRUE(MessageDifferencer::Equals(Essence(last.completed()), Essence(unary)));
}

TEST(ServicesGenerationTest, TimingIsFilledInAndItsPartsAddUp) {
  TestService service;
  testing::ScriptedReplicaOptions options;
  options.step_time = std::chrono::milliseconds(20);
  const auto replica = service.StartReplica(options);
  v1::GenerateResponse response;
  ASSERT_TRUE(service.Generate(TinyRequest(4, 4), &response).ok());
  const auto seconds = [](const google::protobuf::Duration& d) { return d.seconds() + d.nanos() * 1e-9; };
  EXPECT_GE(seconds(response.timing().compute()), 4 * 0.02);
  EXPECT_NEAR(seconds(response.timing().queue()) + seconds(response.timing().compute()),
              seconds(response.timing().total()), 1e-6);
}

TEST(ServicesGenerationTest, UnsetSeedsAndRequestIdsAreDrawnAndEchoed) {
  TestService service;
  const auto replica = service.StartReplica();
  v1::GenerateRequest request = TinyRequest(4, 4);
  request.mutable_options()->clear_seed();
  v1::GenerateResponse one;
  v1::GenerateResponse two;
  ASSERT_TRUE(service.Generate(request, &one).ok());
  ASSERT_TRUE(service.Generate(request, &two).ok());
  EXPECT_TRUE(one.options().has_seed());
  EXPECT_NE(one.options().seed(), two.options().seed());
  EXPECT_EQ(one.request_id().size(), 16u);
  EXPECT_NE(one.request_id(), two.request_id());
  request.set_request_id("mine/7");
  ASSERT_TRUE(service.Generate(request, &one).ok());
  EXPECT_EQ(one.request_id(), "mine/7");
}

TEST(ServicesGenerationTest, ACancelledCallFreesItsSequence) {
  TestService service;
  const auto replica = service.StartReplica();
  replica->Hold();
  for (const bool first_started : {true, false}) {
    grpc::ClientContext context;
    auto reader = service.inference->GenerateStream(&context, TinyRequest(8, 8));
    v1::GenerateStreamResponse event;
    ASSERT_TRUE(reader->Read(&event));
    if (first_started) {
      EXPECT_TRUE(Eventually([&] { return replica->steps().size() == 1; }));
    }
    EXPECT_EQ(service.server->fleet().open_sequences(), 1);
    context.TryCancel();
    EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
    EXPECT_TRUE(Eventually([&] { return service.server->fleet().open_sequences() == 0; }));
  }
  EXPECT_TRUE(Eventually([&] { return service.server->idle(); }));
  replica->Go();  // The late result hurts nobody, and the next request is served.
  v1::GenerateResponse response;
  EXPECT_TRUE(service.Generate(TinyRequest(8, 8), &response).ok());
}

TEST(ServicesGenerationTest, APassedDeadlineFreesTheSequence) {
  TestService service;
  const auto replica = service.StartReplica();
  replica->Hold();
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(100));
  v1::GenerateResponse response;
  EXPECT_EQ(service.inference->Generate(&context, TinyRequest(8, 8), &response).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(Eventually([&] { return service.server->fleet().open_sequences() == 0 && service.server->idle(); }));
}

// How exactly the steps are chosen, under load and noise, is load_test's.
TEST(ServicesGenerationTest, StepsAreFittedToTheDeadlineOnRequest) {
  TestService service;
  testing::ScriptedReplicaOptions options;
  options.step_time = std::chrono::milliseconds(20);
  const auto replica = service.StartReplica(options);
  v1::GenerateResponse response;
  v1::GenerateRequest request = TinyRequest(64, 32);
  request.mutable_options()->set_steps(16);
  ASSERT_TRUE(service.Generate(request, &response).ok()) << "steps are measured";
  EXPECT_EQ(response.options().deadline_policy(), v1::DEADLINE_POLICY_NONE);
  const auto within = [&](std::chrono::milliseconds deadline, const v1::GenerateRequest& request) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + deadline);
    response.Clear();
    return service.inference->Generate(&context, request, &response);
  };
  request.mutable_options()->clear_steps();
  const std::chrono::milliseconds deadline(1000);  // 64 steps take 1280 ms at least.
  EXPECT_EQ(within(deadline, request).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  request.mutable_options()->set_deadline_policy(v1::DEADLINE_POLICY_FIT);
  const grpc::Status fitted = within(deadline, request);
  ASSERT_TRUE(fitted.ok()) << fitted.error_message();
  EXPECT_EQ(response.options().deadline_policy(), v1::DEADLINE_POLICY_FIT);
  const int32_t steps = response.options().steps();
  EXPECT_LT(steps, 50);
  EXPECT_GE(steps, 20);
  EXPECT_EQ(steps % 2, 0) << "the same number for both blocks";
  EXPECT_EQ(response.usage().steps(), steps);
  EXPECT_EQ(response.token_ids_size(), 64);

  // The text is the one of so many steps, whoever chose them.
  const v1::GenerateResponse chosen = Essence(response);
  v1::GenerateRequest same = TinyRequest(64, 32);
  same.mutable_options()->set_steps(steps);
  ASSERT_TRUE(service.Generate(same, &response).ok());
  EXPECT_THAT(response.token_ids(), ElementsAreArray(chosen.token_ids()));

  EXPECT_EQ(within(std::chrono::milliseconds(30), request).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED)
      << "not even a step a block is in time";
  v1::GenerateRequest small = TinyRequest(8, 8);
  small.mutable_options()->set_deadline_policy(v1::DEADLINE_POLICY_FIT);
  ASSERT_TRUE(within(std::chrono::seconds(30), small).ok());
  EXPECT_EQ(response.usage().steps(), 8) << "no more than asked for";
}

TEST(ServicesGenerationTest, BeforeTheFirstReplicaTheModelIsLoading) {
  TestService service;
  v1::GenerateResponse response;
  const grpc::Status status = service.Generate(TinyRequest(8, 8), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(testing::DetailsOf(status).reason, "MODEL_LOADING");
  EXPECT_EQ(testing::DetailsOf(status).domain, "unmask");
  EXPECT_TRUE(testing::DetailsOf(status).retry);
}

TEST(ServicesGenerationTest, ARequestWaitsWhileItsOnlyReplicaIsGone) {
  TestService service;
  auto replica = service.StartReplica();
  replica.reset();
  EXPECT_TRUE(Eventually([&] { return service.StateOf("a") == v1::REPLICA_STATE_DOWN; }));
  v1::GenerateResponse response;
  grpc::Status status;
  std::thread client([&] { status = service.Generate(TinyRequest(8, 8), &response); });
  EXPECT_TRUE(Eventually([&] { return service.server->fleet().open_sequences() == 1; }));
  replica = service.StartReplica();
  client.join();
  EXPECT_TRUE(status.ok()) << status.error_message();
}

// Every policy, since each rebuilds its K/V in its own way.
TEST(ServicesGenerationTest, ADeathInAStepGoesUnnoticed) {
  for (const v1::Cache cache : {v1::CACHE_NONE, v1::CACHE_PREFIX, v1::CACHE_DUAL}) {
    v1::GenerateRequest request = TinyRequest(16, 8);
    request.mutable_options()->set_cache(cache);
    const v1::GenerateResponse expected = Undisturbed(request);
    for (const int death : {1, 3, 8, 9, 13}) {
      TestService service;
      testing::ScriptedReplicaOptions options;
      options.dies_at_step = death;
      auto mortal = service.StartReplica(options);
      std::vector<v1::GenerateStreamResponse> events;
      std::thread client([&] { events = service.GenerateStream(request); });
      EXPECT_TRUE(Eventually([&] { return service.StateOf("a") == v1::REPLICA_STATE_DOWN; }));
      options.dies_at_step = 0;
      options.description = testing::DescribeReplica("b", 1);
      const auto heir = service.StartReplica(options);
      client.join();
      ASSERT_TRUE(events.back().has_completed());
      EXPECT_EQ(events.back().completed().replays(), 1);
      EXPECT_TRUE(MessageDifferencer::Equals(Essence(events.back().completed()), expected))
          << v1::Cache_Name(cache) << " died at step " << death;
      int steps = 0;
      std::map<int, int> commits;
      for (const auto& event : events) {
        steps += event.step().merged();
        for (const auto& commit : event.step().commits()) ++commits[commit.position()];
      }
      EXPECT_EQ(steps, 16);
      EXPECT_EQ(commits.size(), 16u);
      for (const auto& [position, count] : commits) EXPECT_EQ(count, 1) << position;
    }
  }
}

TEST(ServicesGenerationTest, AReaderThatPausesGetsEveryCommitInFewerEvents) {
  TestService service;
  const auto replica = service.StartReplica();
  v1::GenerateRequest request = TinyRequest(480, 480);
  request.mutable_output()->set_proposals(true);  // Large events and a small window: the transport's buffers fill up.
  grpc::ChannelArguments narrow;
  narrow.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  narrow.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  narrow.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 1 << 16);
  const auto stub = v1::InferenceService::NewStub(
      grpc::CreateCustomChannel(service.server->grpc_address(), grpc::InsecureChannelCredentials(), narrow));
  grpc::ClientContext context;
  auto reader = stub->GenerateStream(&context, request);
  v1::GenerateStreamResponse event;
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_TRUE(
      Eventually([&] { return service.server->fleet().open_sequences() == 0; }));  // Nobody waits for the reader.
  std::vector<int32_t> canvas(event.accepted().canvas().begin(), event.accepted().canvas().end());
  int steps = 0;
  int most_merged = 0;
  while (reader->Read(&event)) {
    steps += event.step().merged();
    most_merged = std::max(most_merged, event.step().merged());
    for (const auto& commit : event.step().commits()) canvas[commit.position()] = commit.token_id();
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(steps, 480);
  EXPECT_GT(most_merged, 1);
  EXPECT_THAT(canvas, ElementsAreArray(event.completed().canvas()));
}

TEST(ServicesGenerationTest, ManyClientsShareOneReplica) {
  TestService service;
  const auto replica = service.StartReplica();
  const v1::GenerateResponse expected = Undisturbed(TinyRequest(16, 4));
  std::vector<std::thread> clients;
  for (int i = 0; i < 16; ++i) {
    clients.emplace_back([&] {
      v1::GenerateResponse response;
      EXPECT_TRUE(service.Generate(TinyRequest(16, 4), &response).ok());
      EXPECT_TRUE(MessageDifferencer::Equals(Essence(response), expected));
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_TRUE(Eventually([&] { return service.server->idle(); }));
  EXPECT_EQ(service.server->fleet().open_sequences(), 0);
}

TEST(ServicesGenerationTest, DrainingRefusesWhatComesAndFinishesWhatRuns) {
  TestService service;
  const auto replica = service.StartReplica();
  replica->Hold();
  v1::GenerateResponse running;
  grpc::Status running_status;
  std::thread client([&] { running_status = service.Generate(TinyRequest(8, 8), &running); });
  EXPECT_TRUE(Eventually([&] { return service.server->fleet().open_sequences() == 1; }));
  service.server->Drain();
  v1::GenerateResponse response;
  const grpc::Status refused = service.Generate(TinyRequest(8, 8), &response);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(testing::DetailsOf(refused).reason, "DRAINING");
  EXPECT_TRUE(testing::DetailsOf(refused).retry);
  EXPECT_FALSE(service.server->idle());
  replica->Go();
  client.join();
  EXPECT_TRUE(running_status.ok()) << running_status.error_message();
  EXPECT_TRUE(Eventually([&] { return service.server->idle(); }));
}

TEST(ServicesGenerationTest, AStoppedServerCutsOffWhatRuns) {
  TestService service;
  const auto replica = service.StartReplica();
  replica->Hold();
  v1::GenerateResponse response;
  grpc::Status status;
  std::thread client([&] { status = service.Generate(TinyRequest(8, 8), &response); });
  EXPECT_TRUE(Eventually([&] { return replica->steps().size() == 1; }));
  service.server.reset();
  client.join();
  EXPECT_FALSE(status.ok());
}

}  // namespace
}  // namespace unmask
