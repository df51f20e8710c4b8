// The fleet port: what replicas may do there, and what becomes of those that do something else.
#include <thread>

#include "gtest/gtest.h"
#include "tests/coordinator/test_service.h"

namespace unmask {
namespace {

using internal::v1::ReplicaMessage;
using testing::DescribeReplica;
using testing::Eventually;
using testing::ScriptedReplica;
using testing::ScriptedReplicaOptions;
using testing::TestService;
using testing::TinyRequest;

void ExpectServed(const TestService& service) {
  v1::GenerateResponse response;
  const grpc::Status status = service.Generate(TinyRequest(8, 8), &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST(FleetLinkTest, AReplicaIsStartingThenReadyThenDown) {
  TestService service;
  ScriptedReplicaOptions options;
  options.becomes_ready = false;
  auto replica = ScriptedReplica::Start(service.fleet_address(), options);
  EXPECT_TRUE(Eventually([&] { return service.StateOf("a") == v1::REPLICA_STATE_STARTING; }));
  ReplicaMessage loading;
  loading.mutable_loading()->set_bytes_done(5);
  loading.mutable_loading()->set_bytes_total(10);
  replica->Send(loading);
  EXPECT_TRUE(Eventually([&] { return service.server->fleet().Describe().replicas(0).loading().bytes_done() == 5; }));
  replica.reset();
  EXPECT_TRUE(Eventually([&] { return service.StateOf("a") == v1::REPLICA_STATE_DOWN; }));
  replica = service.StartReplica();
  EXPECT_EQ(replica->epoch(), 2u);
}

TEST(FleetLinkTest, AStrangerIsRefused) {
  TestService service;
  const auto first = service.StartReplica();
  ScriptedReplicaOptions options;
  options.description = DescribeReplica("b", 1);
  options.description.set_model("other");
  EXPECT_EQ(ScriptedReplica::Start(service.fleet_address(), options)->End().code(),
            absl::StatusCode::kFailedPrecondition);
  options.description = DescribeReplica("b", 1);
  options.description.mutable_shape()->set_vocab_size(77);
  EXPECT_EQ(ScriptedReplica::Start(service.fleet_address(), options)->End().code(),
            absl::StatusCode::kFailedPrecondition);
  options.description = DescribeReplica("b", 2);
  options.description.mutable_ranks(1)->mutable_shard()->set_columns_begin(40);  // A gap.
  EXPECT_EQ(ScriptedReplica::Start(service.fleet_address(), options)->End().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ScriptedReplica::Start(service.fleet_address())->End().code(), absl::StatusCode::kAlreadyExists) << "name";
  EXPECT_EQ(service.StateOf("a"), v1::REPLICA_STATE_READY);
  ExpectServed(service);
}

TEST(FleetLinkTest, AReplicaThatBreaksTheProtocolIsDropped) {
  ReplicaMessage empty;
  ReplicaMessage description;
  *description.mutable_description() = DescribeReplica("a", 1);
  ReplicaMessage ready;
  ready.mutable_ready()->set_numerics("n");
  ready.mutable_ready()->set_kv_positions(100);
  ready.mutable_ready()->set_max_rows(100);
  ReplicaMessage poor;
  poor.mutable_ready();
  ReplicaMessage loading;
  loading.mutable_loading();
  ReplicaMessage result;
  result.mutable_result()->set_id(1);
  result.mutable_result()->set_epoch(1);
  const std::vector<std::pair<const char*, std::vector<ReplicaMessage>>> scripts = {
      {"nothing set", {empty}},
      {"ready before a description", {ready}},
      {"a result before a description", {result}},
      {"a second description", {description, description}},
      {"an empty message", {description, empty}},
      {"a result before it is ready", {description, result}},
      {"ready without memory", {description, poor}},
      {"ready twice", {description, ready, ready}},
      {"loading when ready", {description, ready, loading}},
      {"a result for no step", {description, ready, result}},
  };
  for (const auto& [name, messages] : scripts) {
    TestService service;
    ScriptedReplicaOptions options;
    options.introduces_itself = options.becomes_ready = false;
    options.heartbeat = std::chrono::milliseconds(0);
    const auto replica = ScriptedReplica::Start(service.fleet_address(), options);
    for (const ReplicaMessage& message : messages) replica->Send(message);
    EXPECT_FALSE(replica->End().ok()) << name;
    EXPECT_TRUE(Eventually([&] {
      const v1::ReplicaState state = service.StateOf("a");
      return state == v1::REPLICA_STATE_UNSPECIFIED || state == v1::REPLICA_STATE_DOWN;
    })) << name;
    const auto good = service.StartReplica();
    ExpectServed(service);
  }
}

TEST(FleetLinkTest, ABadResultDropsItsReplicaAndTheRequestGoesOnElsewhere) {
  const std::vector<std::function<void(internal::v1::StepResult*)>> lies = {
      [](auto* result) { result->clear_candidates(); },
      [](auto* result) { result->mutable_candidates(0)->clear_tokens(); },
      [](auto* result) { result->mutable_candidates(0)->clear_confidences(); },
      [](auto* result) { result->mutable_candidates(0)->set_tokens(0, -1); },
      [](auto* result) { result->mutable_candidates(0)->set_tokens(0, 1 << 30); },
      [](auto* result) { result->set_id(result->id() + 1); },
      [](auto* result) { result->add_candidates(); },
      [](auto* result) { result->set_error("the window is cut"); },
  };
  for (size_t i = 0; i < lies.size(); ++i) {
    TestService service;
    ScriptedReplicaOptions options;
    options.tamper = lies[i];
    const auto liar = service.StartReplica(options);
    v1::GenerateResponse response;
    grpc::Status status;
    std::thread client([&] { status = service.Generate(TinyRequest(8, 8), &response); });
    EXPECT_FALSE(liar->End().ok()) << i;
    options.tamper = nullptr;
    options.description = DescribeReplica("b", 1);
    const auto honest = service.StartReplica(options);
    client.join();
    EXPECT_TRUE(status.ok()) << i << ": " << status.error_message();
  }
}

TEST(FleetLinkTest, ALateResultOfAnOldEpochChangesNothing) {
  TestService service;
  auto replica = service.StartReplica();
  replica.reset();
  EXPECT_TRUE(Eventually([&] { return service.StateOf("a") == v1::REPLICA_STATE_DOWN; }));
  replica = service.StartReplica();
  ASSERT_EQ(replica->epoch(), 2u);
  ReplicaMessage late;
  late.mutable_result()->set_epoch(1);
  late.mutable_result()->set_id(1);
  replica->Send(late);
  ExpectServed(service);
  EXPECT_EQ(service.StateOf("a"), v1::REPLICA_STATE_READY);
}

TEST(FleetLinkTest, ASilentReplicaLosesItsLeaseAndItsRequestGoesOn) {
  ServerOptions server_options;
  server_options.lease = absl::Milliseconds(300);
  TestService service(server_options);
  ScriptedReplicaOptions options;
  options.heartbeat = std::chrono::milliseconds(0);
  const auto silent = service.StartReplica(options);
  silent->Hold();
  v1::GenerateResponse response;
  grpc::Status status;
  std::thread client([&] { status = service.Generate(TinyRequest(8, 8), &response); });
  EXPECT_TRUE(Eventually([&] { return service.StateOf("a") == v1::REPLICA_STATE_DOWN; }));
  const auto lively = service.StartReplica();
  silent->Go();  // Its late result goes nowhere.
  EXPECT_FALSE(silent->End().ok());
  client.join();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.replays(), 1);
}

TEST(FleetLinkTest, AHeartbeatKeepsTheLease) {
  ServerOptions server_options;
  server_options.lease = absl::Milliseconds(300);
  TestService service(server_options);
  const auto replica = service.StartReplica();
  std::this_thread::sleep_for(std::chrono::milliseconds(900));
  EXPECT_EQ(service.StateOf("a"), v1::REPLICA_STATE_READY);
}

TEST(FleetLinkTest, AConnectionThatSaysNothingLosesItsLease) {
  ServerOptions server_options;
  server_options.lease = absl::Milliseconds(200);
  TestService service(server_options);
  ScriptedReplicaOptions options;
  options.introduces_itself = false;
  options.heartbeat = std::chrono::milliseconds(0);
  EXPECT_FALSE(ScriptedReplica::Start(service.fleet_address(), options)->End().ok());
}

TEST(FleetLinkTest, ADrainingReplicaFinishesWhatItHasAndGetsNothingNew) {
  TestService service;
  const auto old_one = service.StartReplica();
  old_one->Hold();
  v1::GenerateResponse response;
  grpc::Status status;
  std::thread client([&] { status = service.Generate(TinyRequest(8, 8), &response); });
  EXPECT_TRUE(Eventually([&] { return old_one->steps().size() == 1; }));
  old_one->Drain();
  EXPECT_TRUE(Eventually([&] { return service.StateOf("a") == v1::REPLICA_STATE_DRAINING; }));
  ScriptedReplicaOptions options;
  options.description = DescribeReplica("b", 1);
  const auto new_one = service.StartReplica(options);
  ExpectServed(service);
  EXPECT_EQ(new_one->steps().size(), 8u);
  EXPECT_EQ(old_one->steps().size(), 1u);
  old_one->Go();
  client.join();
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(response.replays(), 0);
  EXPECT_TRUE(old_one->End().ok());
  EXPECT_TRUE(Eventually([&] { return service.StateOf("a") == v1::REPLICA_STATE_DOWN; }));
}

TEST(FleetLinkTest, AnIdleReplicaDrainsAtOnce) {
  TestService service;
  const auto replica = service.StartReplica();
  replica->Drain();
  EXPECT_TRUE(replica->End().ok());
}

TEST(FleetLinkTest, AReplicaWithOtherNumericsDoesNotInheritARequest) {
  TestService service;
  ScriptedReplicaOptions options;
  options.dies_at_step = 3;
  const auto mortal = service.StartReplica(options);
  v1::GenerateResponse response;
  grpc::Status status;
  std::thread client([&] { status = service.Generate(TinyRequest(8, 8), &response); });
  EXPECT_TRUE(Eventually([&] { return service.StateOf("a") == v1::REPLICA_STATE_DOWN; }));
  options.dies_at_step = 0;
  options.numerics = "other";
  options.description = DescribeReplica("b", 1);
  const auto other = service.StartReplica(options);
  ExpectServed(service);                                   // New ones may go there ...
  EXPECT_EQ(service.server->fleet().open_sequences(), 1);  // ... the old one waits for its equal.
  options.numerics = "scripted";
  options.description = DescribeReplica("a", 1);
  const auto equal = service.StartReplica(options);
  client.join();
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(response.numerics(), "scripted");
}

}  // namespace
}  // namespace unmask
