// The forward pass against the reference's recorded logits and hidden states, for any number of ranks.
// UNMASK_TEST_MODEL keeps to one model's cases.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "tests/support/golden.h"
#include "tests/worker/made_checkpoint.h"
#include "tests/worker/rank_harness.h"
#include "worker/safetensors.h"

namespace unmask {
namespace {

using nlohmann::json;
using testing::FullWindow;
using testing::GoldenNames;
using testing::LoadGolden;
using testing::RankHarness;
using testing::Ranks;
using testing::SourcePath;

constexpr float kTolerance = 2e-4f;  // tests/goldens/README.md: absolute, on fp32 logits.

std::vector<std::string> Cases() {
  const char* model = std::getenv("UNMASK_TEST_MODEL");
  std::vector<std::string> names;
  for (const std::string& name : GoldenNames("forward")) {
    if (model == nullptr || LoadGolden(name)["model"] == model) names.push_back(name);
  }
  return names;
}

// One sequence of a padded batch: its real tokens and the columns of the recording they stand in.
struct RealTokens {
  std::vector<int32_t> tokens;
  std::vector<int> columns;
};

std::vector<RealTokens> Unpadded(const json& golden) {
  std::vector<RealTokens> rows;
  const json& ids = golden["input"]["input_ids"];
  const json& mask = golden["input"]["attention_mask"];
  for (size_t row = 0; row < ids.size(); ++row) {
    rows.emplace_back();
    for (size_t column = 0; column < ids[row].size(); ++column) {
      if (!mask.is_null() && mask[row][column] == 0) continue;
      rows.back().tokens.push_back(ids[row][column]);
      rows.back().columns.push_back(static_cast<int>(column));
    }
  }
  return rows;
}

// The recorded tensors of a case, through our own reader.
class Recording {
 public:
  explicit Recording(const json& golden) {
    const std::string file = golden["expected"]["file"];
    std::filesystem::create_symlink(SourcePath("tests/goldens/cases/" + file), folder_.File("model.safetensors"));
    checkpoint_ = *Checkpoint::Open(folder_.path());
  }

  bool Has(const std::string& tensor) const { return checkpoint_->tensors().count(tensor) > 0; }

  // Row (batch, column) of a (batch, length, width) tensor.
  const float* Row(const std::string& tensor, int64_t batch, int64_t column) const {
    const StoredTensor& stored = checkpoint_->tensors().at(tensor);
    return reinterpret_cast<const float*>(stored.bytes.data()) + (batch * stored.shape[1] + column) * stored.shape[2];
  }

 private:
  testing::TempFolder folder_;
  std::unique_ptr<Checkpoint> checkpoint_;
};

float LargestDifference(const std::vector<float>& ours, const float* theirs) {
  float largest = 0;
  for (size_t i = 0; i < ours.size(); ++i) {
    const float difference = std::abs(ours[i] - theirs[i]);
    largest = std::isnan(difference) ? INFINITY : std::max(largest, difference);
  }
  return largest;
}

class ForwardTest : public ::testing::TestWithParam<std::string> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ForwardTest);
INSTANTIATE_TEST_SUITE_P(Goldens, ForwardTest, ::testing::ValuesIn(Cases()),
                         [](const auto& info) { return info.param; });

TEST_P(ForwardTest, MatchesTheReference) {
  const json golden = LoadGolden(GetParam());
  const std::string model = golden["model"];
  RankHarness rank(SourcePath("tests/goldens/models/" + model), "fp32", Ranks());
  const Recording recording(golden);
  const std::vector<RealTokens> sequences = Unpadded(golden);

  internal::v1::Step step;
  for (size_t i = 0; i < sequences.size(); ++i) *step.add_windows() = FullWindow(i, sequences[i].tokens);
  std::map<int, std::vector<float>> hidden;
  rank->model()->Watch([&](int depth, const Tensor& states) {
    hidden[depth].resize(states.rows * states.columns);
    rank->backend()->Download(states, absl::MakeSpan(hidden[depth]));
  });
  const auto result = rank.Run(step);
  ASSERT_EQ(result.error(), "");
  const auto logits = rank.Logits();

  size_t row = 0;
  float worst = 0;
  for (size_t i = 0; i < sequences.size(); ++i) {
    for (size_t j = 0; j < sequences[i].tokens.size(); ++j, ++row) {
      const int column = sequences[i].columns[j];
      worst = std::max(worst, LargestDifference(logits[row], recording.Row("logits", i, column)));
      ASSERT_LE(worst, kTolerance) << "logits of sequence " << i << ", column " << column;
      EXPECT_EQ(result.candidates(i).tokens(j), golden["expected"]["argmax"][i][column].get<int>())
          << "sequence " << i << ", column " << column;
      const int d = rank->config().hidden_size;
      for (int depth = 0; depth < rank->config().layers;
           ++depth) {  // The recording's last one is after the final norm.
        const std::string name = "hidden_states." + std::to_string(depth);
        if (!recording.Has(name)) continue;
        const std::vector<float> ours(hidden[depth].begin() + row * d, hidden[depth].begin() + (row + 1) * d);
        ASSERT_LE(LargestDifference(ours, recording.Row(name, i, column)), kTolerance) << name << ", column " << column;
      }
    }
  }
  RecordProperty("largest_difference", std::to_string(worst));
}

}  // namespace
}  // namespace unmask
