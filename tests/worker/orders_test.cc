// What rank 0 is told, all ranks do.
#include "worker/orders.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "tests/support/golden.h"
#include "tests/worker/rank_harness.h"

namespace unmask {
namespace {

using internal::v1::CoordinatorMessage;
using internal::v1::StepResult;
using testing::FullWindow;
using testing::PartWindow;
using testing::RankHarness;
using testing::Ranks;
using testing::SourcePath;

CoordinatorMessage StepMessage(uint64_t id, const internal::v1::Window& window) {
  CoordinatorMessage message;
  message.mutable_step()->set_id(id);
  *message.mutable_step()->add_windows() = window;
  return message;
}

CoordinatorMessage Attached() {
  CoordinatorMessage message;
  message.mutable_attached();
  return message;
}

CoordinatorMessage ReleaseOf(uint64_t sequence) {
  CoordinatorMessage message;
  message.mutable_release()->add_sequences(sequence);
  return message;
}

TEST(OrdersTest, RanksFollowStepsReleasesAndConnectionsToTheEnd) {
  RankHarness rank(SourcePath("tests/goldens/models/tiny-mha"), "fp32", Ranks());
  const std::vector<int32_t> canvas = {1, 2, 3, 4, 5, 6, 7, 8};
  const auto block = PartWindow(1, canvas, 2, 5);
  const std::vector<CoordinatorMessage> script = {
      Attached(),
      StepMessage(1, FullWindow(1, canvas)),
      StepMessage(2, block),
      CoordinatorMessage(),  // Of a newer coordinator: nothing that we know.
      ReleaseOf(1),
      StepMessage(3, block),  // Its K/V is gone.
      StepMessage(4, FullWindow(1, canvas)),
      Attached(),
      StepMessage(5, block),  // Gone again.
  };
  std::vector<StepResult> results;
  if (Ranks()->rank() == 0) {
    size_t next = 0;
    const auto status = LeadRanks(
        [&]() -> std::optional<CoordinatorMessage> {
          return next < script.size() ? std::optional(script[next++]) : std::nullopt;
        },
        [&](const StepResult& result) { results.push_back(result); }, rank->engine(), Ranks());
    EXPECT_TRUE(status.ok()) << status;
    ASSERT_EQ(results.size(), 5);
    for (int i = 0; i < 5; ++i) EXPECT_EQ(results[i].id(), i + 1);
    EXPECT_EQ(results[0].error(), "");
    EXPECT_EQ(results[1].error(), "");
    EXPECT_NE(results[2].error(), "");
    EXPECT_EQ(results[3].error(), "");
    EXPECT_NE(results[4].error(), "");
  } else {
    const auto status = FollowRankZero(rank->engine(), Ranks());
    EXPECT_TRUE(status.ok()) << status;
  }
}

}  // namespace
}  // namespace unmask
