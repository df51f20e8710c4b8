#include "models/random/random_checkpoint.h"

#include <unistd.h>

#include <bit>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "text/tokenizer.h"

namespace unmask {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using ::testing::HasSubstr;

std::string Read(const fs::path& path) {
  std::ostringstream contents;
  contents << std::ifstream(path, std::ios::binary).rdbuf();
  return contents.str();
}

struct Tensor {
  std::string dtype;
  std::vector<int64_t> shape;
  std::string bytes;

  std::vector<float> floats() const {
    std::vector<float> values(bytes.size() / 4);
    bytes.copy(reinterpret_cast<char*>(values.data()), bytes.size());
    return values;
  }
};

// Reads a safetensors file, checking that the header's offsets are gapless and end where the file does.
std::map<std::string, Tensor> ReadSafetensors(const fs::path& path) {
  const std::string file = Read(path);
  uint64_t header_size = 0;
  for (int i = 0; i < 8; ++i) header_size |= uint64_t{static_cast<uint8_t>(file[i])} << 8 * i;
  EXPECT_EQ((8 + header_size) % 8, 0u);
  const Json header = Json::parse(file.substr(8, header_size));
  const std::string data = file.substr(8 + header_size);
  std::map<std::string, Tensor> tensors;
  std::map<size_t, size_t> ranges;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    const size_t begin = entry["data_offsets"][0], end = entry["data_offsets"][1];
    ranges[begin] = end;
    tensors[name] = {entry["dtype"], entry["shape"], data.substr(begin, end - begin)};
  }
  size_t at = 0;
  for (const auto& [begin, end] : ranges) {
    EXPECT_EQ(begin, at);
    at = end;
  }
  EXPECT_EQ(at, data.size());
  return tensors;
}

class RandomCheckpointTest : public testing::Test {
 protected:
  RandomCheckpointTest() {
    std::string pattern = testing::TempDir() + "/unmask-checkpoint-XXXXXX";
    root_ = ::mkdtemp(pattern.data());
  }
  ~RandomCheckpointTest() override { fs::remove_all(root_); }

  static RandomCheckpointOptions Small() {
    RandomCheckpointOptions options;
    options.d_model = 16;
    options.layers = 2;
    options.heads = 4;
    options.kv_heads = 2;
    options.mlp = 24;
    options.vocab = 40;
    options.embedding_size = 48;
    options.tokenizer = false;
    return options;
  }
  fs::path Write(const std::string& name, const RandomCheckpointOptions& options) {
    const auto summary = WriteRandomCheckpoint(root_ / name, options);
    EXPECT_TRUE(summary.ok()) << summary.status();
    return root_ / name;
  }
  absl::Status ErrorOf(const RandomCheckpointOptions& options) {
    return WriteRandomCheckpoint(root_ / "refused", options).status();
  }

  fs::path root_;
};

TEST_F(RandomCheckpointTest, TensorsAreTheReleasedOnesByNameAndShape) {
  const auto tensors = ReadSafetensors(Write("a", Small()) / "model.safetensors");
  std::map<std::string, std::vector<int64_t>> expected = {{"model.transformer.wte.weight", {48, 16}},
                                                          {"model.transformer.ln_f.weight", {16}},
                                                          {"model.transformer.ff_out.weight", {48, 16}}};
  for (const std::string block : {"model.transformer.blocks.0.", "model.transformer.blocks.1."}) {
    expected[block + "attn_norm.weight"] = expected[block + "ff_norm.weight"] = {16};
    expected[block + "q_proj.weight"] = expected[block + "attn_out.weight"] = {16, 16};
    expected[block + "k_proj.weight"] = expected[block + "v_proj.weight"] = {8, 16};
    expected[block + "ff_proj.weight"] = expected[block + "up_proj.weight"] = {24, 16};
    expected[block + "ff_out.weight"] = {16, 24};
  }
  std::map<std::string, std::vector<int64_t>> shapes;
  for (const auto& [name, tensor] : tensors) {
    shapes[name] = tensor.shape;
    EXPECT_EQ(tensor.dtype, "F32");
    for (const float value : tensor.floats()) ASSERT_TRUE(std::isfinite(value));
  }
  EXPECT_EQ(shapes, expected);
}

TEST_F(RandomCheckpointTest, TheSeedDecidesTheWeights) {
  const std::string once = Read(Write("a", Small()) / "model.safetensors");
  EXPECT_EQ(Read(Write("b", Small()) / "model.safetensors"), once);
  RandomCheckpointOptions other = Small();
  other.seed = 1;
  EXPECT_NE(Read(Write("c", other) / "model.safetensors"), once);
}

TEST_F(RandomCheckpointTest, ShardsHoldTheSameTensorsAndTheIndexFindsThem) {
  const auto whole = ReadSafetensors(Write("a", Small()) / "model.safetensors");
  RandomCheckpointOptions options = Small();
  options.shards = 3;
  const fs::path folder = Write("b", options);
  const Json index = Json::parse(Read(folder / "model.safetensors.index.json"));
  size_t found = 0, bytes = 0;
  std::set<std::string> files_of_block_1;
  for (const std::string file :
       {"model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors", "model-00003-of-00003.safetensors"}) {
    for (const auto& [name, tensor] : ReadSafetensors(folder / file)) {
      EXPECT_EQ(index["weight_map"][name], file);
      EXPECT_EQ(tensor.bytes, whole.at(name).bytes) << name;
      if (name.find("blocks.1.") != std::string::npos) files_of_block_1.insert(file);
      bytes += tensor.bytes.size();
      ++found;
    }
  }
  EXPECT_EQ(found, whole.size());
  EXPECT_EQ(index["metadata"]["total_size"], bytes);
  EXPECT_GT(files_of_block_1.size(), 1u);  // As in the released shards, so that no loader may assume otherwise.
}

TEST_F(RandomCheckpointTest, NarrowTypesAreTheSameWeightsRounded) {
  const auto whole = ReadSafetensors(Write("a", Small()) / "model.safetensors");
  for (const auto& [type, name, error] :
       {std::tuple(StoredType::kBf16, "BF16", 0x1p-8f), {StoredType::kF16, "F16", 0x1p-11f}}) {
    RandomCheckpointOptions options = Small();
    options.dtype = type;
    for (const auto& [tensor_name, tensor] : ReadSafetensors(Write(name, options) / "model.safetensors")) {
      EXPECT_EQ(tensor.dtype, name);
      const std::vector<float> exact = whole.at(tensor_name).floats();
      ASSERT_EQ(tensor.bytes.size(), 2 * exact.size());
      for (size_t i = 0; i < exact.size(); ++i) {
        const uint16_t bits = static_cast<uint16_t>(static_cast<uint8_t>(tensor.bytes[2 * i]) |
                                                    static_cast<uint8_t>(tensor.bytes[2 * i + 1]) << 8);
        const float value = type == StoredType::kBf16
                                ? std::bit_cast<float>(uint32_t{bits} << 16)
                                : std::ldexp((bits & 0x7C00) == 0 ? static_cast<float>(bits & 0x3FF)
                                                                  : static_cast<float>((bits & 0x3FF) | 0x400),
                                             std::max(1, bits >> 10 & 0x1F) - 25) *
                                      (bits & 0x8000 ? -1 : 1);
        ASSERT_NEAR(value, exact[i], std::fabs(exact[i]) * error + 0x1p-25f);
      }
    }
  }
}

TEST(NarrowTest, RoundsToNearestAndTiesToEven) {
  EXPECT_EQ(BitsOfBf16(1.0f), 0x3F80);
  EXPECT_EQ(BitsOfBf16(-2.5f), 0xC020);
  EXPECT_EQ(BitsOfBf16(1 + 0x1p-8f), 0x3F80);      // Half-way, down to even.
  EXPECT_EQ(BitsOfBf16(1 + 3 * 0x1p-8f), 0x3F82);  // Half-way, up to even.
  EXPECT_EQ(BitsOfBf16(1 + 0x1.01p-8f), 0x3F81);
  EXPECT_EQ(BitsOfF16(0.0f), 0x0000);
  EXPECT_EQ(BitsOfF16(-0.0f), 0x8000);
  EXPECT_EQ(BitsOfF16(1.0f), 0x3C00);
  EXPECT_EQ(BitsOfF16(-1.5f), 0xBE00);
  EXPECT_EQ(BitsOfF16(65504.0f), 0x7BFF);
  EXPECT_EQ(BitsOfF16(65520.0f), 0x7C00);
  EXPECT_EQ(BitsOfF16(1 + 0x1p-11f), 0x3C00);
  EXPECT_EQ(BitsOfF16(1 + 3 * 0x1p-11f), 0x3C02);
  EXPECT_EQ(BitsOfF16(0x1p-14f), 0x0400);
  EXPECT_EQ(BitsOfF16(0x1.ff8p-15f), 0x03FF);  // The largest subnormal half.
  EXPECT_EQ(BitsOfF16(0x1.fffp-15f), 0x0400);  // Rounds up to the first normal one.
  EXPECT_EQ(BitsOfF16(0x1p-24f), 0x0001);
  EXPECT_EQ(BitsOfF16(0x1p-25f), 0x0000);
  EXPECT_EQ(BitsOfF16(1.5f * 0x1p-24f), 0x0002);
}

TEST_F(RandomCheckpointTest, TheMasksEmbeddingIsSmall) {
  const fs::path folder = Write("a", Small());
  const std::vector<float> wte = ReadSafetensors(folder / "model.safetensors")["model.transformer.wte.weight"].floats();
  const int mask = Json::parse(Read(folder / "config.json"))["mask_token_id"];
  const auto norm = [&](int row) {
    float sum = 0;
    for (int i = 0; i < 16; ++i) sum += wte[16 * row + i] * wte[16 * row + i];
    return std::sqrt(sum / 16);
  };
  for (int row = 0; row < 48; ++row) {
    EXPECT_LT(norm(row), row == mask ? 0.2f : 1.7f);
    EXPECT_GT(norm(row), row == mask ? 0.0f : 0.4f);
  }
}

TEST_F(RandomCheckpointTest, TheConfigHasEveryReleasedKey) {
  const Json config = Json::parse(Read(Write("a", Small()) / "config.json"));
  const std::string keys =
      "activation_type alibi alibi_bias_max architectures attention_dropout attention_layer_norm "
      "attention_layer_norm_with_affine auto_map bias_for_layer_norm block_group_size block_type d_model "
      "embedding_dropout "
      "embedding_size eos_token_id flash_attention include_bias include_qkv_bias init_cutoff_factor init_device "
      "init_fn "
      "init_std input_emb_norm layer_norm_type layer_norm_with_affine mask_token_id max_sequence_length "
      "mlp_hidden_size "
      "mlp_ratio model_type multi_query_attention n_heads n_kv_heads n_layers pad_token_id precision residual_dropout "
      "rms_norm_eps rope rope_full_precision rope_theta scale_logits transformers_version use_cache vocab_size "
      "weight_tying";
  std::istringstream words(keys);
  std::set<std::string> expected, found;
  for (std::string key; words >> key;) expected.insert(key);
  for (const auto& [key, value] : config.items()) found.insert(key);
  EXPECT_EQ(found, expected);
  EXPECT_EQ(config["architectures"], Json({"LLaDAModelLM"}));
  EXPECT_EQ(config["d_model"], 16);
  EXPECT_EQ(config["n_kv_heads"], 2);
  EXPECT_EQ(config["mlp_hidden_size"], 24);
  EXPECT_EQ(config["vocab_size"], 40);
  EXPECT_EQ(config["embedding_size"], 48);
}

TEST_F(RandomCheckpointTest, ControlIdsAreTheTokenizers) {
  const fs::path folder = Write("a", RandomCheckpointOptions());
  const Json config = Json::parse(Read(folder / "config.json"));
  const auto tokenizer = Tokenizer::Load(folder);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_TRUE((*tokenizer)->has_chat_template());
  EXPECT_EQ((*tokenizer)->Piece(config["mask_token_id"]), "<|mdm_mask|>");
  EXPECT_EQ((*tokenizer)->Piece(config["eos_token_id"]), "<|endoftext|>");
  EXPECT_GE(config["vocab_size"], (*tokenizer)->size());
  EXPECT_EQ(int{config["vocab_size"]} % 64, 0);
  EXPECT_LT(fs::file_size(folder / "model.safetensors"), 8 << 20);
}

TEST_F(RandomCheckpointTest, OptionsOutOfBoundsAreRefusedByNameAndValue) {
  const auto expect = [&](const std::string& message, auto change) {
    RandomCheckpointOptions options = Small();
    change(&options);
    const absl::Status status = ErrorOf(options);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << message;
    EXPECT_THAT(std::string(status.message()), HasSubstr(message));
  };
  expect("d_model 0", [](auto* o) { o->d_model = 0; });
  expect("d_model 1152921504606846976", [](auto* o) { o->d_model = int64_t{1} << 60; });
  expect("d_model 12 is not a multiple of 2 * heads = 8", [](auto* o) { o->d_model = 12; });
  expect("heads -1", [](auto* o) { o->heads = -1; });
  expect("kv_heads 3 does not divide heads 4", [](auto* o) { o->kv_heads = 3; });
  expect("kv_heads 5", [](auto* o) { o->kv_heads = 5; });
  expect("layers 0", [](auto* o) { o->layers = 0; });
  expect("vocab 3", [](auto* o) { o->vocab = 3; });
  expect("embedding_size 39", [](auto* o) { o->embedding_size = 39; });
  expect("shards 22", [](auto* o) { o->shards = 22; });
  expect("max_length 0", [](auto* o) { o->max_length = 0; });
  expect("vocab 40", [](auto* o) { o->tokenizer = true; });  // Fewer than the tokenizer has.
  EXPECT_FALSE(fs::exists(root_ / "refused"));
}

TEST_F(RandomCheckpointTest, ACheckpointIsNeverOverwritten) {
  Write("a", Small());
  EXPECT_EQ(WriteRandomCheckpoint(root_ / "a", Small()).status().code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(RandomCheckpointTest, AFolderThatCannotBeMadeIsAnError) {
  std::ofstream(root_ / "file") << "x";
  EXPECT_EQ(WriteRandomCheckpoint(root_ / "file" / "a", Small()).status().code(), absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace unmask
