#include "cli/fleet_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/table.h"

namespace unmask {
namespace {

using testing::HasSubstr;
using testing::Not;

v1::GetFleetResponse SomeFleet() {
  v1::GetFleetResponse fleet;
  v1::ReplicaStatus* replica = fleet.add_replicas();
  replica->set_name("r0");
  replica->set_state(v1::REPLICA_STATE_READY);
  replica->set_model("demo");
  replica->set_kv_positions(100);
  replica->set_kv_positions_used(25);
  replica->set_restarts(2);
  v1::Rank* rank = replica->add_ranks();
  rank->set_host("node-a");
  rank->set_pid(4300);
  rank->set_device("cpu");
  rank->mutable_shard()->set_heads_begin(3);
  rank->mutable_shard()->set_heads_end(5);
  rank->mutable_shard()->set_weight_bytes(3 << 20);
  return fleet;
}

TEST(TableTest, ColumnsAlignByCellsAndNumbersToTheRight) {
  EXPECT_EQ(FormatTable({{"NAME", "N"}, {"文字", "5"}, {"a", "123"}}), "NAME    N\n文字    5\na     123\n");
}

TEST(TableTest, BytesHaveUnits) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(1536), "1.5 KiB");
  EXPECT_EQ(FormatBytes(16.0 * (1 << 30)), "16.0 GiB");
}

TEST(FleetTableTest, ShardsAreShownOnRequest) {
  const std::string plain = FormatFleet(SomeFleet(), false);
  EXPECT_THAT(plain, HasSubstr("r0       ready"));
  EXPECT_THAT(plain, HasSubstr("25/100 (25%)"));
  EXPECT_THAT(plain, HasSubstr("node-a  4300  cpu"));
  EXPECT_THAT(plain, Not(HasSubstr("HEADS")));
  const std::string shards = FormatFleet(SomeFleet(), true);
  EXPECT_THAT(shards, HasSubstr("HEADS"));
  EXPECT_THAT(shards, HasSubstr("3-4 (2)"));
  EXPECT_THAT(shards, HasSubstr("3.0 MiB"));
}

TEST(FleetTableTest, WhatAReplicaDoesASecondIsShownSinceItsOwnConnection) {
  FleetBefore before = {.fleet = SomeFleet(), .seconds = 2};
  v1::GetFleetResponse fleet = SomeFleet();
  fleet.mutable_replicas(0)->set_steps(25);
  fleet.mutable_replicas(0)->set_tokens(101);
  fleet.mutable_replicas(0)->set_running(1);
  const std::string live = FormatFleet(fleet, false, &before);
  EXPECT_THAT(live, HasSubstr("STEPS/S  TOKENS/S"));
  EXPECT_THAT(live, HasSubstr("12.5      50.5"));
  EXPECT_THAT(live,
              HasSubstr("1 of 1 ready, 1 request running, 0 requests queued, 12.5 steps/s, 50.5 tokens/s, 2 restarts"));
  before.fleet.mutable_replicas(0)->set_epoch(7);  // An earlier life: its counts began elsewhere.
  EXPECT_THAT(FormatFleet(fleet, false, &before), HasSubstr("0.0 steps/s"));
  EXPECT_THAT(FormatFleet(fleet, false), Not(HasSubstr("/s")));
}

TEST(FleetTableTest, AnEmptyFleetIsAWord) {
  EXPECT_EQ(FormatFleet({}, true), "no replica has connected yet; 0 queued\n");
}

TEST(FleetTableTest, AStartingReplicaShowsHowFarItIs) {
  v1::GetFleetResponse fleet = SomeFleet();
  fleet.mutable_replicas(0)->set_state(v1::REPLICA_STATE_STARTING);
  fleet.mutable_replicas(0)->mutable_loading()->set_bytes_total(200);
  fleet.mutable_replicas(0)->mutable_loading()->set_bytes_done(50);
  EXPECT_THAT(FormatFleet(fleet, false), HasSubstr("starting 25%"));
}

}  // namespace
}  // namespace unmask
