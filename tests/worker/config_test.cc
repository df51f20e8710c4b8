// What config.json may say, and what is refused by the key.
#include "worker/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <string>

#include "tests/support/golden.h"
#include "tests/worker/made_checkpoint.h"

namespace unmask {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using testing::RaggedConfig;
using testing::SourcePath;
using testing::TempFolder;

struct BrokenConfig {
  const char* name;
  std::function<void(json*)> spoil;
  const char* error;
  absl::StatusCode code = absl::StatusCode::kDataLoss;
};

class BrokenConfigTest : public ::testing::TestWithParam<BrokenConfig> {};

TEST_P(BrokenConfigTest, IsRefusedByKey) {
  const TempFolder folder;
  json config = RaggedConfig();
  GetParam().spoil(&config);
  folder.Write("config.json", config.dump());
  const auto parsed = ReadConfig(folder.path());
  ASSERT_FALSE(parsed.ok());
  EXPECT_EQ(parsed.status().code(), GetParam().code) << parsed.status();
  EXPECT_THAT(std::string(parsed.status().message()), HasSubstr(GetParam().error));
  EXPECT_THAT(std::string(parsed.status().message()), HasSubstr("config.json: "));
}

BrokenConfig Without(const char* key) {
  return {key, [key](json* c) { c->erase(key); }, key};
}

BrokenConfig Unbuilt(const char* key, json value) {
  return {key, [key, value](json* c) { (*c)[key] = value; }, key, absl::StatusCode::kUnimplemented};
}

BrokenConfig Bad(const char* name, const char* key, json value, const char* error) {
  return {name, [key, value](json* c) { (*c)[key] = value; }, error};
}

INSTANTIATE_TEST_SUITE_P(Missing, BrokenConfigTest,
                         ::testing::Values(Without("architectures"), Without("d_model"), Without("n_layers"),
                                           Without("n_heads"), Without("vocab_size"), Without("block_type"),
                                           Without("layer_norm_type"), Without("activation_type"), Without("rope"),
                                           Without("rope_theta"), Without("weight_tying"),
                                           Without("max_sequence_length"), Without("mask_token_id"),
                                           Without("eos_token_id"), Without("mlp_hidden_size")),
                         [](const auto& info) { return std::string(info.param.name); });

INSTANTIATE_TEST_SUITE_P(Unbuilt, BrokenConfigTest,
                         ::testing::Values(Unbuilt("architectures", {"LLaDAMoEModelLM"}), Unbuilt("alibi", true),
                                           Unbuilt("block_type", "sequential"), Unbuilt("block_group_size", 2),
                                           Unbuilt("layer_norm_type", "default"), Unbuilt("activation_type", "swiglu"),
                                           Unbuilt("layer_norm_with_affine", false),
                                           Unbuilt("bias_for_layer_norm", true), Unbuilt("attention_layer_norm", true),
                                           Unbuilt("include_bias", true), Unbuilt("include_qkv_bias", true),
                                           Unbuilt("input_emb_norm", true), Unbuilt("scale_logits", true),
                                           Unbuilt("rope", false), Unbuilt("rope_full_precision", false),
                                           Unbuilt("rope_scaling", {{"type", "linear"}}), Unbuilt("clip_qkv", 8.0),
                                           Unbuilt("quantization_config", {{"bits", 4}})),
                         [](const auto& info) { return std::string(info.param.name); });

INSTANTIATE_TEST_SUITE_P(
    Bad, BrokenConfigTest,
    ::testing::Values(Bad("Text", "d_model", "80", "d_model \"80\" is not an integer"),
                      Bad("Fraction", "d_model", 80.5, "d_model 80.5 is not an integer"),
                      Bad("Zero", "n_heads", 0, "n_heads 0 is not in [1, "),
                      Bad("Negative", "n_layers", -3, "n_layers -3 is not in [1, 1000]"),
                      Bad("Huge", "d_model", uint64_t{18446744073709551615u}, "d_model 18446744073709551615 is not in"),
                      Bad("HeadsDoNotDivide", "n_heads", 7, "n_heads 7 does not divide d_model 80"),
                      Bad("OddHead", "n_heads", 16, "d_model / n_heads = 5 is odd"),
                      Bad("KvHeadsDoNotDivide", "n_kv_heads", 3, "n_kv_heads 3 does not divide n_heads 5"),
                      Bad("MqaContradicts", "multi_query_attention", "yes",
                          "multi_query_attention \"yes\" is neither true nor false"),
                      Bad("EmbeddingTooSmall", "embedding_size", 769, "embedding_size 769 is not in [770, "),
                      Bad("MaskOutside", "mask_token_id", 777, "mask_token_id 777 is not in [0, 776]"),
                      Bad("EosOutside", "eos_token_id", -1, "eos_token_id -1 is not in [0, 776]"),
                      Bad("Theta", "rope_theta", 0, "rope_theta 0 is not a positive number"),
                      Bad("Epsilon", "rms_norm_eps", "small", "rms_norm_eps \"small\" is not a positive number"),
                      Bad("TwoArchitectures", "architectures", {"LLaDAModelLM", "x"},
                          "architectures is missing or not"),
                      Bad("Tying", "weight_tying", 1, "weight_tying 1 is neither true nor false")),
    [](const auto& info) { return std::string(info.param.name); });

TEST(ConfigTest, ReadsWhatTheReferenceMeans) {
  const auto gqa = ReadConfig(SourcePath("tests/goldens/models/tiny-gqa"));
  ASSERT_TRUE(gqa.ok()) << gqa.status();
  EXPECT_EQ(gqa->heads, 6);
  EXPECT_EQ(gqa->kv_heads, 2);
  EXPECT_EQ(gqa->head_dim(), 16);
  EXPECT_EQ(gqa->mlp_size, 160);
  EXPECT_EQ(gqa->mask_token_id, 496);
  EXPECT_FLOAT_EQ(gqa->rope_theta, 500000);
}

// 10,000 layers used to be allowed: the parameters of the largest model were then more than an int64_t holds.
TEST(ConfigTest, TheLargestModelHasBytesThatCanBeCounted) {
  const TempFolder folder;
  json config = RaggedConfig();
  for (const char* key : {"d_model", "mlp_hidden_size", "vocab_size", "embedding_size"}) config[key] = 1 << 24;
  config["n_heads"] = 1 << 23;
  config["n_kv_heads"] = 1 << 23;
  config["n_layers"] = 1000;
  folder.Write("config.json", config.dump());
  const auto largest = ReadConfig(folder.path());
  ASSERT_TRUE(largest.ok()) << largest.status();
  EXPECT_GT(largest->parameters(), 0);
  EXPECT_LE(largest->parameters(), INT64_MAX / 4);
  config["n_layers"] = 1001;
  folder.Write("config.json", config.dump());
  EXPECT_THAT(std::string(ReadConfig(folder.path()).status().message()),
              HasSubstr("n_layers 1001 is not in [1, 1000]"));
}

TEST(ConfigTest, NullsTakeTheMeaningOfTheReference) {
  const TempFolder folder;
  json config = RaggedConfig();
  config["n_kv_heads"] = nullptr;
  config["mlp_hidden_size"] = nullptr;
  config["mlp_ratio"] = 4;
  config["embedding_size"] = nullptr;
  folder.Write("config.json", config.dump());
  auto parsed = ReadConfig(folder.path());
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->kv_heads, 5);
  EXPECT_EQ(parsed->mlp_size, 320);
  EXPECT_EQ(parsed->embedding_size, 770);
  config["multi_query_attention"] = true;
  folder.Write("config.json", config.dump());
  EXPECT_EQ(ReadConfig(folder.path())->kv_heads, 1);
  config["n_kv_heads"] = 5;
  folder.Write("config.json", config.dump());
  EXPECT_THAT(std::string(ReadConfig(folder.path()).status().message()), HasSubstr("contradicts n_kv_heads 5"));
}

TEST(ConfigTest, CountsParametersAsTheReleaseDoes) {
  Config config;  // LLaDA-8B: 8,015,581,184.
  config.layers = 32;
  config.hidden_size = 4096;
  config.heads = config.kv_heads = 32;
  config.mlp_size = 12288;
  config.embedding_size = config.vocab_size = 126464;
  EXPECT_EQ(config.parameters(), 8'015'581'184);
}

TEST(ConfigTest, AMissingOrOversizedFileIsRefused) {
  const TempFolder folder;
  EXPECT_THAT(std::string(ReadConfig(folder.path()).status().message()), HasSubstr("config.json"));
  folder.Write("config.json", std::string((1 << 20) + 1, ' '));
  EXPECT_THAT(std::string(ReadConfig(folder.path()).status().message()), HasSubstr("more than 1048576"));
}

}  // namespace
}  // namespace unmask
