#include "coordinator/fleet.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <map>

#include "coordinator/errors.h"
#include "coordinator/shard_plan.h"
#include "tests/coordinator/scripted_model.h"

namespace unmask {
namespace {

using internal::v1::CoordinatorMessage;
using internal::v1::ReplicaDescription;
using internal::v1::ReplicaReady;
using testing::DescribeReplica;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ScriptedModel;
using testing::TinySpec;

class Sink : public SequenceSink {
 public:
  void OnStarted() override { ++started; }
  void OnEvents(std::vector<v1::GenerateStreamResponse> more) override {
    for (auto& event : more) events.push_back(std::move(event));
  }
  void OnDone(absl::StatusOr<v1::GenerateResponse> response) override { done.push_back(std::move(response)); }

  bool Abandoned() const override { return abandoned; }

  int started = 0;
  bool abandoned = false;
  std::vector<v1::GenerateStreamResponse> events;
  std::vector<absl::StatusOr<v1::GenerateResponse>> done;
};

// A replica whose messages are kept until Run.
struct Connected {
  uint64_t epoch = 0;
  std::shared_ptr<Replica> replica;
  std::shared_ptr<std::vector<CoordinatorMessage>> inbox = std::make_shared<std::vector<CoordinatorMessage>>();
  ScriptedModel model;

  // Answers up to `steps` steps; how many it answered.
  int Run(int steps = 1 << 20) {
    int answered = 0;
    while (answered < steps && !inbox->empty()) {
      const CoordinatorMessage message = inbox->front();
      inbox->erase(inbox->begin());
      if (!message.has_step()) continue;
      EXPECT_TRUE(replica->OnResult(model.Execute(message.step())).ok());
      ++answered;
    }
    return answered;
  }
};

class FleetTest : public ::testing::Test {
 protected:
  Connected Connect(const std::string& name, const std::string& numerics = "n1", int ranks = 1,
                    int kv_positions = 1000) {
    Connected connected;
    auto description = DescribeReplica(name, ranks);
    description.set_restarts(life_);
    const auto epoch = fleet_.Attach(description);
    EXPECT_TRUE(epoch.ok()) << epoch.status();
    connected.epoch = *epoch;
    ReplicaReady ready;
    ready.set_numerics(numerics);
    ready.set_kv_positions(kv_positions);
    ready.set_max_rows(1000);
    auto inbox = connected.inbox;
    const auto replica =
        fleet_.Ready(connected.epoch, ready, [inbox](const CoordinatorMessage& message) { inbox->push_back(message); });
    EXPECT_TRUE(replica.ok()) << replica.status();
    connected.replica = *replica;
    return connected;
  }

  std::shared_ptr<Sink> Submit(uint64_t seed = 1) {
    v1::GenerationOptions options;
    options.set_gen_length(16);
    options.set_block_length(8);
    options.set_cache(v1::CACHE_DUAL);
    options.set_temperature(1);
    options.set_seed(seed);
    SequenceSpec spec = TinySpec(4, options);
    spec.events = true;
    auto sequence = std::make_unique<DenoisingSequence>(fleet_.NextSequenceId(), std::move(spec));
    auto sink = std::make_shared<Sink>();
    sequence->sink = sink;
    last_id_ = sequence->id();
    EXPECT_TRUE(fleet_.Submit(std::move(sequence)).ok());
    return sink;
  }

  Fleet fleet_{{.model_name = "tiny", .eot = 97}};
  uint64_t last_id_ = 0;
  int life_ = 0;  // Of replicas that connect.
};

TEST_F(FleetTest, SequencesWaitForTheFirstReplica) {
  EXPECT_EQ(fleet_.model(), nullptr);
  auto sink = Submit();
  EXPECT_EQ(fleet_.open_sequences(), 1);
  Connected a = Connect("a");
  EXPECT_NE(fleet_.model(), nullptr);
  a.Run();
  ASSERT_EQ(sink->done.size(), 1);
  EXPECT_TRUE(sink->done[0].ok());
  EXPECT_EQ(sink->started, 1);
  EXPECT_EQ((*sink->done[0]).numerics(), "n1");
  EXPECT_EQ(fleet_.open_sequences(), 0);
}

TEST_F(FleetTest, WorkGoesToTheReplicaWithLeast) {
  Connected a = Connect("a");
  Connected b = Connect("b");
  for (int i = 0; i < 6; ++i) Submit(i);
  EXPECT_EQ(a.replica->load().running + a.replica->load().waiting, 3);
  EXPECT_EQ(b.replica->load().running + b.replica->load().waiting, 3);
}

TEST_F(FleetTest, ADeathAtAnyStepIsInvisibleButForReplays) {
  std::string undisturbed;
  std::vector<std::string> undisturbed_events;
  for (int death = -1; death < 16; ++death) {
    Fleet fleet({.model_name = "tiny", .eot = 97});
    Connected a = Connect("a" + std::to_string(death));
    auto sink = Submit(11);
    if (death >= 0) {
      a.Run(death);
      fleet_.Detach(a.epoch);
      EXPECT_EQ(fleet_.open_sequences(), sink->done.empty() ? 1 : 0);
      Connected b = Connect("b" + std::to_string(death));
      b.Run();
      // A late result of the dead one changes nothing.
      EXPECT_TRUE(a.replica->OnResult(internal::v1::StepResult()).ok());
      fleet_.Detach(b.epoch);
    } else {
      a.Run();
      fleet_.Detach(a.epoch);
    }
    ASSERT_EQ(sink->done.size(), 1) << death;
    v1::GenerateResponse response = *sink->done[0];
    EXPECT_EQ(response.replays(), death >= 0 ? 1 : 0);
    response.clear_replays();
    std::vector<std::string> events;
    for (const auto& event : sink->events) events.push_back(event.SerializeAsString());
    if (death < 0) {
      undisturbed = response.SerializeAsString();
      undisturbed_events = events;
    }
    EXPECT_EQ(response.SerializeAsString(), undisturbed) << death;
    EXPECT_EQ(events, undisturbed_events) << death;
  }
}

TEST_F(FleetTest, AStartedSequenceMovesOnlyToEqualNumerics) {
  Connected a = Connect("a", "n1");
  auto sink = Submit();
  a.Run(2);
  Connected other = Connect("other", "n2");
  fleet_.Detach(a.epoch);
  EXPECT_THAT(*other.inbox, IsEmpty());
  EXPECT_EQ(fleet_.Describe().queued(), 1);
  Connected again = Connect("a", "n1");
  again.Run();
  ASSERT_EQ(sink->done.size(), 1);
  EXPECT_EQ((*sink->done[0]).numerics(), "n1");
}

TEST_F(FleetTest, ARequestThatKillsThreeReplicasAloneIsPoison) {
  auto sink = Submit();
  for (int i = 0; i < 3; ++i) {
    ASSERT_THAT(sink->done, IsEmpty()) << i;
    Connected a = Connect("a");
    ASSERT_FALSE(a.inbox->empty());
    fleet_.Detach(a.epoch);
    ++life_;
  }
  ASSERT_EQ(sink->done.size(), 1);
  EXPECT_EQ(sink->done[0].status().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(ErrorReason(sink->done[0].status()), "POISON_REQUEST");
}

TEST_F(FleetTest, AReplicaThatIsCutOffAgainAndAgainConvictsNobody) {
  auto sink = Submit();
  for (int i = 0; i < 10; ++i) {
    Connected a = Connect("a");  // The same processes.
    ASSERT_FALSE(a.inbox->empty());
    fleet_.Detach(a.epoch);
  }
  Connected a = Connect("a");
  a.Run();
  ASSERT_EQ(sink->done.size(), 1);
  EXPECT_TRUE(sink->done[0].ok()) << sink->done[0].status();
  EXPECT_EQ((*sink->done[0]).replays(), 10);
}

TEST_F(FleetTest, ANeighbourOfPoisonIsClearedByAStepOfItsOwn) {
  auto first = Submit(1);
  auto second = Submit(2);
  for (int i = 0; i < 5; ++i) {  // Deaths enough to convict, were they at one step.
    Connected a = Connect("a");
    a.Run(4);  // Time for both to rebuild and do a step, so that no two deaths come at the same step.
    fleet_.Detach(a.epoch);
    ++life_;
  }
  EXPECT_THAT(first->done, IsEmpty());
  EXPECT_THAT(second->done, IsEmpty());
  Connected a = Connect("a");
  a.Run();
  EXPECT_TRUE(first->done.at(0).ok());
  EXPECT_TRUE(second->done.at(0).ok());
}

TEST_F(FleetTest, WhatOneReplicaRefusesAnotherMayTake) {
  Connected small = Connect("a", "n1", 1, /*kv_positions=*/10);
  Connected large = Connect("b");
  auto sink = Submit();  // To the one with the least work, of equals the first.
  EXPECT_THAT(*small.inbox, IsEmpty());
  large.Run();
  ASSERT_EQ(sink->done.size(), 1);
  EXPECT_TRUE(sink->done[0].ok());
}

TEST_F(FleetTest, ACancelledSequenceIsGoneWhereverItIs) {
  auto waiting = Submit();
  EXPECT_TRUE(fleet_.Cancel(last_id_));
  EXPECT_FALSE(fleet_.Cancel(last_id_));
  Connected a = Connect("a");
  EXPECT_THAT(*a.inbox, IsEmpty());
  auto running = Submit();
  EXPECT_TRUE(fleet_.Cancel(last_id_));
  a.Run();
  EXPECT_EQ(fleet_.open_sequences(), 0);
  EXPECT_THAT(running->done, IsEmpty());
}

TEST_F(FleetTest, ADrainingReplicaFinishesAndGetsNothingNew) {
  Connected a = Connect("a");
  auto running = Submit();
  fleet_.Drain(a.epoch);
  EXPECT_FALSE(fleet_.AnyReady());
  auto waiting = Submit();
  EXPECT_FALSE(fleet_.Idle(a.epoch));
  a.Run();
  EXPECT_TRUE(fleet_.Idle(a.epoch));
  EXPECT_EQ(running->done.size(), 1);
  EXPECT_EQ(waiting->started, 0);
}

TEST_F(FleetTest, ARequestThatWouldWaitPastItsDeadlineIsRefusedAtOnce) {
  Connected a = Connect("a");
  // Work that cannot all run: K/V for 1000 positions, 20 a sequence.
  for (int i = 0; i < 200; ++i) Submit(i);
  const auto submit = [&](absl::Duration time_left) {
    v1::GenerationOptions options;
    options.set_gen_length(16);
    return fleet_.Submit(std::make_unique<DenoisingSequence>(fleet_.NextSequenceId(), TinySpec(4, options)), time_left);
  };
  EXPECT_TRUE(submit(absl::Seconds(10)).ok()) << "nothing is measured yet";
  a.Run(3);
  ASSERT_GT(a.replica->load().waiting, 0);
  ASSERT_GT(a.replica->load().throughput, 0);
  const absl::Status refused = submit(absl::ZeroDuration());
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ErrorReason(refused), "OVERLOADED");
  EXPECT_TRUE(submit(absl::Hours(1)).ok());
  EXPECT_TRUE(submit(absl::InfiniteDuration()).ok());
  const int open = fleet_.open_sequences();
  EXPECT_EQ(open, 203);
}

TEST_F(FleetTest, AnAbandonedSequenceIsNotPlacedAgain) {
  Connected a = Connect("a");
  auto sink = Submit();
  a.Run(1);
  sink->abandoned = true;  // Its cancellation comes while the sequence is on its way.
  fleet_.Detach(a.epoch);
  EXPECT_EQ(fleet_.open_sequences(), 0);
}

TEST_F(FleetTest, AStuckStepIsOverdueAndOthersAreNot) {
  Connected a = Connect("a");
  const auto now = std::chrono::steady_clock::now();
  EXPECT_FALSE(fleet_.Overdue(a.epoch, now + std::chrono::hours(1))) << "nothing is in flight";
  Submit();
  EXPECT_FALSE(fleet_.Overdue(a.epoch, now + std::chrono::seconds(29)));
  EXPECT_TRUE(fleet_.Overdue(a.epoch, now + std::chrono::seconds(31)));
}

TEST_F(FleetTest, AnIdleReplicaTakesWorkFromTheBusiestAtABlocksEnd) {
  Connected a = Connect("a");
  std::vector<std::shared_ptr<Sink>> sinks;
  for (int i = 0; i < 4; ++i) sinks.push_back(Submit(i));
  Connected b = Connect("b");
  auto own = Submit(9);  // b has least work; when it is through, it asks.
  while (b.Run(1) > 0) fleet_.Rebalance(b.epoch);
  ASSERT_EQ(own->done.size(), 1);
  EXPECT_EQ(b.replica->load().running, 0);
  for (int i = 0; i < 40 && b.inbox->empty(); ++i) a.Run(1);
  EXPECT_FALSE(b.inbox->empty()) << "nothing moved";
  EXPECT_GE(a.replica->load().running, 2) << "no more than half";
  EXPECT_LE(a.replica->load().running, 3);
  a.Run();
  b.Run();
  for (int i = 0; i < 4; ++i) {
    ASSERT_EQ(sinks[i]->done.size(), 1) << i;
    EXPECT_EQ((*sinks[i]->done[0]).replays(), 0) << "a move is no death";
    DenoisingSequence alone(1, TinySpec(4, (*sinks[i]->done[0]).options()));
    ScriptedModel model;
    testing::RunAlone(&alone, &model);
    EXPECT_EQ((*sinks[i]->done[0]).text(), alone.Response().text());
    EXPECT_THAT((*sinks[i]->done[0]).canvas(), ::testing::ElementsAreArray(alone.Response().canvas()));
  }
}

TEST_F(FleetTest, AReplicaThatBecomesReadyTakesItsShare) {
  Connected a = Connect("a");
  std::vector<std::shared_ptr<Sink>> sinks;
  for (int i = 0; i < 12; ++i) sinks.push_back(Submit(i));
  a.Run(1);
  EXPECT_EQ(a.replica->load().running, 12);
  Connected b = Connect("b");
  a.Run(8);  // All reach the start of a block.
  EXPECT_EQ(b.replica->load().running + b.replica->load().waiting, 6);
  EXPECT_EQ(a.replica->load().running, 6);
  while (a.Run(1) + b.Run(1) > 0) {
  }
  for (const auto& sink : sinks) {
    ASSERT_EQ(sink->done.size(), 1);
    EXPECT_TRUE(sink->done[0].ok());
  }
}

TEST_F(FleetTest, AReplicaThatDrainsAsksForNothing) {
  Connected a = Connect("a");
  for (int i = 0; i < 4; ++i) Submit(i);
  Connected b = Connect("b");
  auto own = Submit(9);
  fleet_.Drain(b.epoch);
  while (b.Run(1) > 0) fleet_.Rebalance(b.epoch);
  EXPECT_EQ(own->done.size(), 1);
  a.Run();
  EXPECT_THAT(*b.inbox, IsEmpty());
  EXPECT_EQ(fleet_.open_sequences(), 0);
}

TEST_F(FleetTest, ABoundedQueueRefusesWhatItCannotHold) {
  Fleet fleet({.model_name = "tiny", .eot = 97, .queue = {.positions = 64}});
  const auto submit = [&] {
    v1::GenerationOptions options;
    options.set_gen_length(16);
    return fleet.Submit(std::make_unique<DenoisingSequence>(fleet.NextSequenceId(), TinySpec(4, options)));
  };
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(submit().ok());
  const absl::Status refused = submit();
  EXPECT_EQ(ErrorReason(refused), "OVERLOADED");
  ReplicaReady ready;
  ready.set_numerics("n1");
  ready.set_kv_positions(40);
  ready.set_max_rows(1000);
  const auto epoch = fleet.Attach(DescribeReplica("a", 1));
  ASSERT_TRUE(fleet.Ready(*epoch, ready, [](const CoordinatorMessage&) {}).ok());
  EXPECT_EQ(fleet.Describe().queued(), 2) << "one is in the first step";
  EXPECT_TRUE(submit().ok());
  EXPECT_EQ(ErrorReason(submit()), "OVERLOADED");
}

TEST_F(FleetTest, AReplicaThatNeverAnswersAStepIsFailedUntilItDoes) {
  Connected healthy = Connect("healthy");
  for (int i = 0; i < 5; ++i) {
    EXPECT_FALSE(fleet_.AllFailed());
    const auto epoch = fleet_.Attach(DescribeReplica("broken", 1));
    ASSERT_TRUE(epoch.ok());
    fleet_.Detach(*epoch);
  }
  EXPECT_EQ(fleet_.Describe().replicas(0).state(), v1::REPLICA_STATE_FAILED);
  EXPECT_FALSE(fleet_.AllFailed()) << "another is there";
  Submit();
  healthy.Run(1);
  fleet_.Detach(healthy.epoch);
  EXPECT_EQ(fleet_.Describe().replicas(1).state(), v1::REPLICA_STATE_DOWN) << "it had answered";
  EXPECT_FALSE(fleet_.AllFailed());
  Connected back = Connect("broken");
  back.Run(1);
  fleet_.Detach(back.epoch);
  EXPECT_EQ(fleet_.Describe().replicas(0).state(), v1::REPLICA_STATE_DOWN);
}

TEST_F(FleetTest, AReplicaThatHadNothingToDoIsNotFailedHoweverOftenItGoes) {
  for (int i = 0; i < 7; ++i) fleet_.Detach(Connect("idle").epoch);
  EXPECT_EQ(fleet_.Describe().replicas(0).state(), v1::REPLICA_STATE_DOWN);
  auto sink = Submit();
  for (int i = 0; i < 5; ++i) {
    Connected silent = Connect("idle");
    ASSERT_FALSE(silent.inbox->empty()) << "it has a step, which it never answers";
    fleet_.Detach(silent.epoch);
  }
  EXPECT_EQ(fleet_.Describe().replicas(0).state(), v1::REPLICA_STATE_FAILED);
}

TEST_F(FleetTest, WhatWasAcceptedWaitsForAReplicaThatCanHoldIt) {
  Connected large = Connect("large");
  auto sink = Submit();
  large.Run(2);
  Connected small = Connect("small", "n1", 1, /*kv_positions=*/10);
  fleet_.Detach(large.epoch);
  EXPECT_THAT(sink->done, IsEmpty()) << sink->done[0].status();
  EXPECT_EQ(fleet_.open_sequences(), 1);
  EXPECT_TRUE(small.inbox->empty());
  Connected back = Connect("large");
  back.Run();
  ASSERT_EQ(sink->done.size(), 1u);
  EXPECT_TRUE(sink->done[0].ok()) << sink->done[0].status();
}

TEST_F(FleetTest, ANewcomerGoesToTheOneReplicaThatCanHoldIt) {
  std::vector<Connected> small;
  for (int i = 0; i < 6; ++i) small.push_back(Connect(absl::StrCat("a", i), "n1", 1, /*kv_positions=*/10));
  Connected large = Connect("z");
  auto sink = Submit();  // Fails where it is refused.
  EXPECT_FALSE(large.inbox->empty());
}

TEST_F(FleetTest, OneThatDrainsBeforeItIsReadyGetsNothing) {
  auto sink = Submit();
  const auto epoch = fleet_.Attach(DescribeReplica("a", 1));
  fleet_.Drain(*epoch);
  ReplicaReady ready;
  ready.set_numerics("n1");
  ready.set_kv_positions(1000);
  ready.set_max_rows(1000);
  int messages = 0;
  ASSERT_TRUE(fleet_.Ready(*epoch, ready, [&](const CoordinatorMessage&) { ++messages; }).ok());
  EXPECT_EQ(fleet_.Describe().replicas(0).state(), v1::REPLICA_STATE_DRAINING);
  EXPECT_EQ(messages, 0);
  EXPECT_TRUE(fleet_.Idle(*epoch));
  EXPECT_EQ(fleet_.open_sequences(), 1);
}

TEST_F(FleetTest, TheFleetShowsWhoIsThere) {
  Connected a = Connect("a", "n1", 2);
  auto shown = fleet_.Describe();
  ASSERT_EQ(shown.replicas_size(), 1);
  EXPECT_EQ(shown.replicas(0).state(), v1::REPLICA_STATE_READY);
  EXPECT_EQ(shown.replicas(0).ranks_size(), 2);
  EXPECT_EQ(shown.replicas(0).ranks(1).shard().heads_begin(), 2);
  fleet_.Detach(a.epoch);
  shown = fleet_.Describe();
  EXPECT_EQ(shown.replicas(0).state(), v1::REPLICA_STATE_DOWN);
  EXPECT_EQ(shown.replicas(0).ranks_size(), 0) << "ranks are the processes alive";
  const uint64_t before = a.epoch;
  EXPECT_GT(Connect("a", "n1", 2).epoch, before);
}

TEST_F(FleetTest, ReplicasThatDoNotBelongAreRefused) {
  Connect("a");
  const auto refused = [&](const std::function<void(ReplicaDescription*)>& spoil) {
    ReplicaDescription description = DescribeReplica("b", 2);
    spoil(&description);
    return std::string(fleet_.Attach(description).status().message());
  };
  EXPECT_THAT(refused([](auto* d) { d->set_model("other"); }), HasSubstr("other"));
  EXPECT_THAT(refused([](auto* d) { d->clear_name(); }), HasSubstr("no name"));
  EXPECT_THAT(refused([](auto* d) { d->set_name("a"); }), HasSubstr("is connected"));
  EXPECT_THAT(refused([](auto* d) { d->mutable_shape()->set_layers(9); }), HasSubstr("another shape"));
  EXPECT_THAT(refused([](auto* d) { d->mutable_shape()->set_mask_token_id(1000); }), HasSubstr("out of bounds"));
  EXPECT_THAT(refused([](auto* d) { d->mutable_shape()->set_vocab_size(105); }), HasSubstr("out of bounds"));
  EXPECT_THAT(refused([](auto* d) { d->mutable_shape()->set_max_sequence_length(INT32_MAX); }),
              HasSubstr("out of bounds"));
  EXPECT_THAT(refused([](auto* d) { d->mutable_ranks(1)->mutable_shard()->set_heads_begin(3); }), HasSubstr("heads"));
  EXPECT_THAT(refused([](auto* d) { d->mutable_ranks(1)->mutable_shard()->set_columns_end(63); }),
              HasSubstr("columns"));
  EXPECT_THAT(refused([](auto* d) { d->mutable_ranks(0)->mutable_shard()->set_vocabulary_end(51); }),
              HasSubstr("vocabulary rows"));
  EXPECT_THAT(refused([](auto* d) { d->mutable_ranks(1)->mutable_shard()->set_kv_heads_begin(0); }),
              HasSubstr("K/V heads"));
  EXPECT_THAT(refused([](auto* d) { d->mutable_ranks()->RemoveLast(); }), HasSubstr("heads"));
  EXPECT_THAT(refused([](auto* d) { d->mutable_ranks(1)->set_rank(0); }), HasSubstr("stands at place 1"));
  EXPECT_EQ(refused([](auto*) {}), "");
}

}  // namespace
}  // namespace unmask
