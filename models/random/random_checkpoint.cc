#include "models/random/random_checkpoint.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/philox.h"
#include "base/status.h"
#include "models/random/small_tokenizer.h"

namespace unmask {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

// A tensor and how its elements are drawn: uniformly, around `mean`, with the standard deviation `deviation`.
struct RandomTensor {
  StoredTensor stored;
  float mean;
  float deviation;
};

struct ControlIds {
  int32_t mask, eos, eot;
  int64_t tokens;  // Ids of the tokenizer; 0 without one.
};

ControlIds ControlIdsOfTokenizer() {
  ControlIds ids{};
  const Json tokenizer = Json::parse(kSmallTokenizerJson);
  for (const Json& token : tokenizer["added_tokens"]) {
    const int32_t id = token["id"];
    ids.tokens = std::max<int64_t>(ids.tokens, id + 1);
    if (token["content"] == "<|mdm_mask|>") ids.mask = id;
    if (token["content"] == "<|endoftext|>") ids.eos = id;
    if (token["content"] == "<|eot_id|>") ids.eot = id;
  }
  return ids;
}

absl::Status CheckRange(absl::string_view name, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(name, " ", value, " is outside [", low, ", ", high, "]"));
}

// Fills the defaults that depend on other options, and checks all.
absl::StatusOr<ControlIds> Resolve(RandomCheckpointOptions* options) {
  ControlIds ids = ControlIdsOfTokenizer();
  if (options->vocab == 0) options->vocab = (ids.tokens + 63) / 64 * 64;
  if (options->kv_heads == 0) options->kv_heads = options->heads;
  if (options->embedding_size == 0) options->embedding_size = options->vocab;
  if (!options->tokenizer) {
    const int32_t vocab = static_cast<int32_t>(std::min<int64_t>(options->vocab, INT32_MAX));
    ids = {.mask = vocab - 2, .eos = vocab - 3, .eot = vocab - 1, .tokens = 0};
  }
  // Bounds far beyond any model, so that no product below overflows.
  UNMASK_RETURN_IF_ERROR(CheckRange("d_model", options->d_model, 2, 1 << 16));
  UNMASK_RETURN_IF_ERROR(CheckRange("layers", options->layers, 1, 1 << 10));
  UNMASK_RETURN_IF_ERROR(CheckRange("heads", options->heads, 1, options->d_model / 2));
  UNMASK_RETURN_IF_ERROR(CheckRange("kv_heads", options->kv_heads, 1, options->heads));
  UNMASK_RETURN_IF_ERROR(CheckRange("mlp", options->mlp, 1, 1 << 18));
  UNMASK_RETURN_IF_ERROR(CheckRange("vocab", options->vocab, std::max<int64_t>(ids.tokens, 4), 1 << 22));
  UNMASK_RETURN_IF_ERROR(CheckRange("embedding_size", options->embedding_size, options->vocab, 1 << 22));
  UNMASK_RETURN_IF_ERROR(CheckRange("max_length", options->max_length, 1, 1 << 24));
  UNMASK_RETURN_IF_ERROR(CheckRange("shards", options->shards, 1, 9 * options->layers + 3));
  if (options->d_model % (2 * options->heads) != 0) {
    return absl::InvalidArgumentError(absl::StrCat("d_model ", options->d_model, " is not a multiple of 2 * heads = ",
                                                   2 * options->heads, " (rotary embedding needs even heads)"));
  }
  if (options->heads % options->kv_heads != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("kv_heads ", options->kv_heads, " does not divide heads ", options->heads));
  }
  return ids;
}

// In the order of the released checkpoints' forward pass. Deviations keep every activation near 1: 1/sqrt(inputs), but
// for queries and keys, which make scores of deviation 3, so that a position attends to a few others rather than to
// all.
std::vector<RandomTensor> TensorsOf(const RandomCheckpointOptions& options) {
  const int64_t d = options.d_model, kv = d / options.heads * options.kv_heads, mlp = options.mlp;
  const float linear = 1 / std::sqrt(static_cast<float>(d)), sharp = std::sqrt(3.0f) * linear;
  const std::string prefix = "model.transformer.";
  std::vector<RandomTensor> tensors;
  tensors.push_back({{prefix + "wte.weight", {options.embedding_size, d}}, 0, 1});
  for (int64_t i = 0; i < options.layers; ++i) {
    const std::string block = absl::StrCat(prefix, "blocks.", i, ".");
    tensors.push_back({{block + "attn_norm.weight", {d}}, 1, 0.1f});
    tensors.push_back({{block + "q_proj.weight", {d, d}}, 0, sharp});
    tensors.push_back({{block + "k_proj.weight", {kv, d}}, 0, sharp});
    tensors.push_back({{block + "v_proj.weight", {kv, d}}, 0, linear});
    tensors.push_back({{block + "attn_out.weight", {d, d}}, 0, linear});
    tensors.push_back({{block + "ff_norm.weight", {d}}, 1, 0.1f});
    tensors.push_back({{block + "ff_proj.weight", {mlp, d}}, 0, linear});
    tensors.push_back({{block + "up_proj.weight", {mlp, d}}, 0, linear});
    tensors.push_back({{block + "ff_out.weight", {d, mlp}}, 0, 1 / std::sqrt(static_cast<float>(mlp))});
  }
  tensors.push_back({{prefix + "ln_f.weight", {d}}, 1, 0.1f});
  tensors.push_back({{prefix + "ff_out.weight", {options.embedding_size, d}}, 0, 3 * linear});
  return tensors;
}

// Elements [begin, begin + values.size()) of tensor number `tensor`: uniform in mean ± sqrt(3) * deviation. `begin` is
// a multiple of 4, the words of a draw.
void Draw(uint64_t seed, uint32_t tensor, const RandomTensor& random, int64_t begin, absl::Span<float> values) {
  const float scale = 2 * std::sqrt(3.0f) * random.deviation;
  for (size_t i = 0; i < values.size(); i += 4) {
    const uint64_t draw = (static_cast<uint64_t>(begin) + i) / 4;
    const PhiloxWords words = Philox4x32({static_cast<uint32_t>(draw), static_cast<uint32_t>(draw >> 32), tensor, 0},
                                         static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
    for (size_t j = 0; j < std::min<size_t>(4, values.size() - i); ++j) {
      values[i + j] = random.mean + scale * (static_cast<float>(words[j] >> 8) * 0x1p-24f - 0.5f);
    }
  }
}

// Makes row `row` of a [rows, d] matrix a tenth of itself where it lies in [begin, begin + values.size()).
void Shrink(int64_t row, int64_t d, int64_t begin, absl::Span<float> values) {
  const int64_t end = begin + static_cast<int64_t>(values.size());
  for (int64_t i = std::max(begin, row * d); i < std::min(end, (row + 1) * d); ++i) values[i - begin] *= 0.1f;
}

// Every key of the released config.json.
Json ConfigOf(const RandomCheckpointOptions& options, const ControlIds& ids) {
  return {
      {"activation_type", "silu"},
      {"alibi", false},
      {"alibi_bias_max", 8.0},
      {"architectures", {"LLaDAModelLM"}},
      {"attention_dropout", 0.0},
      {"attention_layer_norm", false},
      {"attention_layer_norm_with_affine", true},
      {"auto_map",
       {{"AutoConfig", "configuration_llada.LLaDAConfig"},
        {"AutoModelForCausalLM", "modeling_llada.LLaDAModelLM"},
        {"AutoModel", "modeling_llada.LLaDAModelLM"}}},
      {"bias_for_layer_norm", false},
      {"block_group_size", 1},
      {"block_type", "llama"},
      {"d_model", options.d_model},
      {"embedding_dropout", 0.0},
      {"embedding_size", options.embedding_size},
      {"eos_token_id", ids.eos},
      {"flash_attention", false},
      {"include_bias", false},
      {"include_qkv_bias", false},
      {"init_cutoff_factor", nullptr},
      {"init_device", "meta"},
      {"init_fn", "mitchell"},
      {"init_std", 0.02},
      {"input_emb_norm", false},
      {"layer_norm_type", "rms"},
      {"layer_norm_with_affine", true},
      {"mask_token_id", ids.mask},
      {"max_sequence_length", options.max_length},
      {"mlp_hidden_size", options.mlp},
      {"mlp_ratio", 4},
      {"model_type", "llada"},
      {"multi_query_attention", nullptr},
      {"n_heads", options.heads},
      {"n_kv_heads", options.kv_heads},
      {"n_layers", options.layers},
      {"pad_token_id", ids.eos},
      {"precision", "amp_bf16"},
      {"residual_dropout", 0.0},
      {"rms_norm_eps", 1e-5},
      {"rope", true},
      {"rope_full_precision", true},
      {"rope_theta", 500000.0},
      {"scale_logits", false},
      {"transformers_version", "4.46.3"},
      {"use_cache", false},
      {"vocab_size", options.vocab},
      {"weight_tying", false},
  };
}

absl::Status WriteText(const fs::path& path, absl::string_view text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (!file) return absl::InternalError(absl::StrCat(path.string(), ": cannot be written"));
  return absl::OkStatus();
}

// Tensors to files: each to the emptiest so far, which spreads a layer over several, as the released shards do.
std::vector<std::vector<StoredTensor>> Distribute(const std::vector<RandomTensor>& tensors, int64_t shards) {
  std::vector<std::vector<StoredTensor>> files(shards);
  std::vector<int64_t> elements(shards, 0);
  for (const RandomTensor& tensor : tensors) {
    const size_t emptiest = std::min_element(elements.begin(), elements.end()) - elements.begin();
    files[emptiest].push_back(tensor.stored);
    elements[emptiest] += tensor.stored.elements();
  }
  return files;
}

}  // namespace

absl::StatusOr<RandomCheckpointSummary> WriteRandomCheckpoint(const std::string& folder,
                                                              RandomCheckpointOptions options) {
  UNMASK_ASSIGN_OR_RETURN(const ControlIds ids, Resolve(&options));
  const fs::path path(folder);
  std::error_code error;
  fs::create_directories(path, error);
  if (error) return absl::InternalError(absl::StrCat(folder, ": ", error.message()));
  if (fs::exists(path / "config.json", error)) {
    return absl::AlreadyExistsError(absl::StrCat(folder, ": has a config.json already"));
  }

  const std::vector<RandomTensor> tensors = TensorsOf(options);
  const ElementSource source = [&](const StoredTensor& tensor, int64_t begin, absl::Span<float> values) {
    const auto found = std::find_if(tensors.begin(), tensors.end(),
                                    [&](const RandomTensor& random) { return random.stored.name == tensor.name; });
    Draw(options.seed, static_cast<uint32_t>(found - tensors.begin()), *found, begin, values);
    if (found == tensors.begin()) Shrink(ids.mask, options.d_model, begin, values);
  };

  RandomCheckpointSummary summary{.mask_id = ids.mask, .eos_id = ids.eos, .eot_id = ids.eot};
  for (const RandomTensor& tensor : tensors) summary.parameters += tensor.stored.elements();
  summary.bytes = summary.parameters * ElementSize(options.dtype);

  const std::vector<std::vector<StoredTensor>> files = Distribute(tensors, options.shards);
  Json index = {{"metadata", {{"total_size", summary.bytes}}}, {"weight_map", Json::object()}};
  for (size_t i = 0; i < files.size(); ++i) {
    const std::string name = files.size() == 1 ? "model.safetensors"
                                               : absl::StrFormat("model-%05d-of-%05d.safetensors", i + 1, files.size());
    UNMASK_RETURN_IF_ERROR(WriteSafetensors((path / name).string(), files[i], options.dtype, source));
    for (const StoredTensor& tensor : files[i]) index["weight_map"][tensor.name] = name;
  }
  if (files.size() > 1) {
    UNMASK_RETURN_IF_ERROR(WriteText(path / "model.safetensors.index.json", index.dump(2) + "\n"));
  }
  if (options.tokenizer) {
    UNMASK_RETURN_IF_ERROR(WriteText(path / "tokenizer.json", kSmallTokenizerJson));
    UNMASK_RETURN_IF_ERROR(WriteText(path / "tokenizer_config.json", kSmallTokenizerConfigJson));
  }
  UNMASK_RETURN_IF_ERROR(WriteText(path / "config.json", ConfigOf(options, ids).dump(2) + "\n"));
  return summary;
}

}  // namespace unmask
