// Tensors against the config, and the weights themselves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <string>

#include "tests/worker/made_checkpoint.h"
#include "worker/config.h"
#include "worker/rank.h"

namespace unmask {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using testing::RaggedConfig;
using testing::TempFolder;

absl::Status Load(const TempFolder& folder, int64_t* elements = nullptr) {
  const auto ranks = SoloCommunicator();
  RankOptions options;
  options.model = folder.path();
  options.dtype = "fp32";
  options.threads = 1;
  auto rank = Rank::Open(options, ranks.get());
  if (!rank.ok()) return rank.status();
  return (*rank)->Load([&](int64_t done, int64_t) {
    if (elements != nullptr) *elements = done / 4;
    return absl::OkStatus();
  });
}

TEST(TensorsTest, AMissingAMisshapenAndALeftOverTensorAreNamed) {
  const TempFolder folder;
  const json config = RaggedConfig();
  auto tensors = testing::RandomTensors(config);
  const auto down = tensors.extract("model.transformer.blocks.1.ff_out.weight");
  testing::WriteCheckpoint(folder, config, tensors);
  EXPECT_THAT(std::string(Load(folder).message()), HasSubstr("model.transformer.blocks.1.ff_out.weight is missing"));

  tensors = testing::RandomTensors(config);
  tensors["model.transformer.blocks.2.k_proj.weight"].shape = {80, 16};  // As many bytes, but turned.
  testing::WriteCheckpoint(folder, config, tensors);
  EXPECT_THAT(std::string(Load(folder).message()),
              HasSubstr("model.transformer.blocks.2.k_proj.weight has shape [80, 16], config.json asks for [16, 80]"));

  tensors = testing::RandomTensors(config);
  tensors["model.transformer.blocks.0.q_proj.bias"] = {{1}, {0.5f}};
  testing::WriteCheckpoint(folder, config, tensors);
  EXPECT_THAT(std::string(Load(folder).message()),
              HasSubstr("model.transformer.blocks.0.q_proj.bias is no tensor of this model"));

  json tied = config;
  tied["weight_tying"] = true;  // Then there is no head.
  testing::WriteCheckpoint(folder, tied, testing::RandomTensors(config));
  EXPECT_THAT(std::string(Load(folder).message()), HasSubstr("model.transformer.ff_out.weight is no tensor of"));
}

class NotFiniteTest : public ::testing::TestWithParam<std::tuple<DType, float>> {};
INSTANTIATE_TEST_SUITE_P(All, NotFiniteTest,
                         ::testing::Combine(::testing::Values(DType::kF32, DType::kBf16),
                                            ::testing::Values(NAN, INFINITY, -INFINITY)));

TEST_P(NotFiniteTest, AWeightIsRefusedByTensor) {
  const auto& [dtype, value] = GetParam();
  for (const char* name : {"model.transformer.wte.weight", "model.transformer.blocks.1.attn_norm.weight",
                           "model.transformer.blocks.2.ff_out.weight", "model.transformer.ff_out.weight"}) {
    const TempFolder folder;
    auto tensors = testing::RandomTensors(RaggedConfig());
    tensors[name].values[tensors[name].values.size() / 2] = value;
    testing::WriteCheckpoint(folder, RaggedConfig(), tensors, dtype);
    const absl::Status status = Load(folder);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(std::string(status.message()), HasSubstr(std::string(name) + " holds NaN or infinity in row "));
  }
}

TEST(WeightsTest, ProgressEndsAtTheWhole) {
  const TempFolder folder;
  testing::WriteCheckpoint(folder, RaggedConfig(), testing::RandomTensors(RaggedConfig()));
  int64_t elements = 0;
  ASSERT_TRUE(Load(folder, &elements).ok());
  EXPECT_EQ(elements, ReadConfig(folder.path())->parameters());
}

// Or why there is none.
std::string Numerics(const TempFolder& folder, const std::string& digest = "") {
  const auto ranks = SoloCommunicator();
  RankOptions options;
  options.model = folder.path();
  options.weights_digest = digest;
  options.dtype = "fp32";
  options.threads = 1;
  auto rank = Rank::Open(options, ranks.get());
  if (!rank.ok()) return rank.status().ToString();
  const absl::Status loaded = (*rank)->Load([](int64_t, int64_t) { return absl::OkStatus(); });
  if (!loaded.ok()) return loaded.ToString();
  return (*rank)->ready().numerics();
}

TEST(WeightsTest, TheDigestTellsOneBitApartAndNotWhereAFileKeepsItsTensors) {
  const TempFolder one, other, unaligned, eos;
  auto tensors = testing::RandomTensors(RaggedConfig());
  testing::WriteCheckpoint(one, RaggedConfig(), tensors);
  unaligned.Write("config.json", RaggedConfig().dump());
  unaligned.Write("model.safetensors", testing::SafetensorsOf(tensors, DType::kF32, /*padding=*/3));
  json config = RaggedConfig();
  config["eos_token_id"] = 751;
  testing::WriteCheckpoint(eos, config, tensors);
  float& weight = tensors["model.transformer.blocks.1.up_proj.weight"].values[77];
  weight = std::nextafter(weight, 2.0f);
  testing::WriteCheckpoint(other, RaggedConfig(), tensors);

  EXPECT_THAT(Numerics(one), ::testing::MatchesRegex("weights:[0-9a-f]{32} dtype:fp32 ranks:1 cpu .* unmask:[0-9]+"));
  EXPECT_EQ(Numerics(one), Numerics(one));
  EXPECT_EQ(Numerics(one), Numerics(unaligned));
  EXPECT_NE(Numerics(one), Numerics(other));
  EXPECT_NE(Numerics(one), Numerics(eos));

  const std::string expected = Numerics(one).substr(8, 32), found = Numerics(other).substr(8, 32);
  EXPECT_EQ(Numerics(one, expected), Numerics(one));
  EXPECT_EQ(Numerics(other, found), Numerics(other));
  EXPECT_EQ(Numerics(other, expected),
            absl::StrCat("DATA_LOSS: ", other.File("model.safetensors"), " with config.json: weights digest ", found,
                         " over 1 rank(s), expected ", expected));
}

}  // namespace
}  // namespace unmask
