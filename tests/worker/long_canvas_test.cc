// One step over a canvas of 4096 positions against the reference's recorded logits
// (bench/reference/long_canvas.py): the far end of the rotary angles, and attention over 64 blocks of keys.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "tests/support/long_model.h"
#include "tests/worker/made_checkpoint.h"
#include "tests/worker/rank_harness.h"

namespace unmask {
namespace {

constexpr float kTolerance = 2e-4f;  // tests/goldens/README.md

class LongCanvasTest : public ::testing::Test {
 protected:
  LongCanvasTest() : canvas_(testing::MakeLongModel(folder_.path())), rank_(folder_.path(), "fp32", testing::Ranks()) {}

  // The largest difference to the recording where every row attends to [0, horizon).
  float Difference(int32_t horizon) {
    internal::v1::Step step;
    internal::v1::Window& window = *step.add_windows();
    window = testing::FullWindow(horizon, canvas_.tokens);  // A sequence of its own.
    window.set_horizons(0, horizon);
    window.clear_sample();
    for (const auto& position : canvas_.golden.at("positions")) window.add_sample(position.get<int32_t>());
    const auto result = rank_.Run(step);
    EXPECT_EQ(result.error(), "");
    const auto logits = rank_.Logits();
    EXPECT_EQ(logits.size(), canvas_.golden.at("positions").size());
    float largest = 0;
    for (size_t row = 0; row < logits.size(); ++row) {
      const auto recorded = canvas_.golden.at("logits").at(row).get<std::vector<float>>();
      EXPECT_EQ(logits[row].size(), recorded.size());
      for (size_t i = 0; i < recorded.size(); ++i) {
        const float difference = std::abs(logits[row][i] - recorded[i]);
        largest = std::isnan(difference) ? INFINITY : std::max(largest, difference);
      }
    }
    return largest;
  }

  testing::TempFolder folder_;
  testing::LongCanvas canvas_;
  testing::RankHarness rank_;
};

TEST_F(LongCanvasTest, AStepOver4096PositionsMatchesTheReference) {
  ASSERT_EQ(canvas_.tokens.size(), 4096);
  EXPECT_LE(Difference(4096), kTolerance);
  EXPECT_GT(Difference(3072), kTolerance) << "a quarter of the keys left out was not told apart";
}

}  // namespace
}  // namespace unmask
