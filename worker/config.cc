#include "worker/config.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "worker/json.h"
#include "worker/mapped_file.h"

namespace unmask {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxBytes = 1 << 20;
constexpr int kMaxDepth = 16;
// The bytes of a model of the largest sizes, 4 * (7 d^2 layers + ...), are still an int64_t.
constexpr int64_t kMaxDimension = 1 << 24;
constexpr int64_t kMaxLayers = 1'000;

// Keys that choose between architectures, and the one value that is built. An absent or null key passes unless
// `required`: then LLaDA's class would take another default.
struct Choice {
  const char* key;
  Json built;
  bool required;
};

const std::vector<Choice>& Choices() {
  static const auto& choices = *new std::vector<Choice>{
      {"block_type", "llama", true},
      {"layer_norm_type", "rms", true},
      {"activation_type", "silu", true},
      {"rope", true, true},
      {"rope_full_precision", true, false},
      {"rope_scaling", nullptr, false},
      {"alibi", false, false},
      {"block_group_size", 1, false},
      {"layer_norm_with_affine", true, false},
      {"bias_for_layer_norm", false, false},
      {"attention_layer_norm", false, false},
      {"include_bias", false, false},
      {"include_qkv_bias", false, false},
      {"input_emb_norm", false, false},
      {"scale_logits", false, false},
      {"clip_qkv", nullptr, false},
      {"quantization_config", nullptr, false},
  };
  return choices;
}

// Reads keys one after another and keeps the first error.
class Reader {
 public:
  explicit Reader(const Json& json) : json_(json) {}

  bool Has(const char* key) const {
    const auto value = json_.find(key);
    return value != json_.end() && !value->is_null();
  }

  int32_t Integer(const char* key, int64_t low, int64_t high) {
    if (!Required(key)) return 0;
    const Json& value = json_[key];
    if (!value.is_number_integer()) return Fail(key, "is not an integer");
    // nlohmann keeps what exceeds int64_t as unsigned; both ends are checked without wrapping.
    const bool huge = value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(high);
    if (huge || value.get<int64_t>() < low || value.get<int64_t>() > high) {
      return Fail(key, absl::StrCat("is not in [", low, ", ", high, "]"));
    }
    return static_cast<int32_t>(value.get<int64_t>());
  }

  float Positive(const char* key) {
    if (!Required(key)) return 0;
    const Json& value = json_[key];
    const float number = value.is_number() ? value.get<float>() : 0;
    if (!std::isfinite(number) || number <= 0) return Fail(key, "is not a positive number");
    return number;
  }

  bool Boolean(const char* key, bool absent) {
    if (!Has(key)) return absent;
    if (!json_[key].is_boolean()) return Fail(key, "is neither true nor false");
    return json_[key].get<bool>();
  }

  bool Required(const char* key) {
    if (!Has(key)) Keep(absl::DataLossError(absl::StrCat(key, " is missing")));
    return status_.ok();
  }

  void Keep(absl::Status status) {
    if (status_.ok()) status_ = std::move(status);
  }

  const absl::Status& status() const { return status_; }

 private:
  int Fail(const char* key, absl::string_view why) {
    Keep(absl::DataLossError(absl::StrCat(key, " ", json_[key].dump(), " ", why)));
    return 0;
  }

  const Json& json_;
  absl::Status status_;
};

// The family is in `architectures`: LLaDA-MoE has the same model_type.
absl::StatusOr<std::string> Architecture(const Json& json) {
  const auto names = json.find("architectures");
  if (names == json.end() || !names->is_array() || names->size() != 1 || !names->front().is_string()) {
    return absl::DataLossError("architectures is missing or not a list of one name");
  }
  const std::string name = names->front().get<std::string>();
  if (name != "LLaDAModelLM") {
    return absl::UnimplementedError(absl::StrCat("architectures [\"", name, "\"]: only LLaDAModelLM is built"));
  }
  return name;
}

absl::Status CheckChoices(const Json& json) {
  for (const auto& [key, built, required] : Choices()) {
    const auto value = json.find(key);
    if (value == json.end() || value->is_null()) {
      if (required) return absl::DataLossError(absl::StrCat(key, " is missing"));
      continue;
    }
    if (*value != built) {
      return absl::UnimplementedError(absl::StrCat(key, " ", value->dump(), " is not built, only ", built.dump()));
    }
  }
  return absl::OkStatus();
}

int32_t KvHeads(Reader& reader, int32_t heads) {
  const bool one = reader.Boolean("multi_query_attention", false);
  const int32_t kv_heads = reader.Has("n_kv_heads") ? reader.Integer("n_kv_heads", 1, kMaxDimension) : one ? 1 : heads;
  if (one && kv_heads != 1) {
    reader.Keep(absl::DataLossError(absl::StrCat("multi_query_attention true contradicts n_kv_heads ", kv_heads)));
  }
  return kv_heads;
}

int32_t MlpSize(Reader& reader, int32_t hidden_size) {
  if (reader.Has("mlp_hidden_size")) return reader.Integer("mlp_hidden_size", 1, kMaxDimension);
  if (!reader.Has("mlp_ratio")) {
    reader.Keep(absl::DataLossError("mlp_hidden_size and mlp_ratio are missing"));
    return 0;
  }
  const int64_t size = int64_t{reader.Integer("mlp_ratio", 1, 1024)} * hidden_size;
  if (size > kMaxDimension) {
    reader.Keep(
        absl::DataLossError(absl::StrCat("mlp_ratio makes the MLP ", size, " wide, more than ", kMaxDimension)));
  }
  return static_cast<int32_t>(std::min(size, kMaxDimension));
}

absl::Status CheckShape(const Config& config) {
  if (config.hidden_size % config.heads != 0) {
    return absl::DataLossError(absl::StrCat("n_heads ", config.heads, " does not divide d_model ", config.hidden_size));
  }
  if (config.head_dim() % 2 != 0) {
    return absl::DataLossError(
        absl::StrCat("d_model / n_heads = ", config.head_dim(), " is odd, rotary embedding pairs dimensions"));
  }
  if (config.heads % config.kv_heads != 0) {
    return absl::DataLossError(absl::StrCat("n_kv_heads ", config.kv_heads, " does not divide n_heads ", config.heads));
  }
  return absl::OkStatus();
}

absl::StatusOr<Config> ParseConfig(const Json& json) {
  Config config;
  UNMASK_ASSIGN_OR_RETURN(config.architecture, Architecture(json));
  UNMASK_RETURN_IF_ERROR(CheckChoices(json));
  Reader reader(json);
  config.hidden_size = reader.Integer("d_model", 2, kMaxDimension);
  config.layers = reader.Integer("n_layers", 1, kMaxLayers);
  config.heads = reader.Integer("n_heads", 1, kMaxDimension);
  config.kv_heads = KvHeads(reader, config.heads);
  config.mlp_size = MlpSize(reader, config.hidden_size);
  config.vocab_size = reader.Integer("vocab_size", 1, kMaxDimension);
  config.embedding_size = reader.Has("embedding_size")
                              ? reader.Integer("embedding_size", config.vocab_size, kMaxDimension)
                              : config.vocab_size;
  config.max_sequence_length = reader.Integer("max_sequence_length", 1, kMaxDimension);
  config.mask_token_id = reader.Integer("mask_token_id", 0, int64_t{config.embedding_size} - 1);
  config.eos_token_id = reader.Integer("eos_token_id", 0, int64_t{config.embedding_size} - 1);
  config.rope_theta = reader.Positive("rope_theta");
  config.norm_epsilon = reader.Has("rms_norm_eps") ? reader.Positive("rms_norm_eps") : 1e-5f;
  reader.Required("weight_tying");
  config.tied = reader.Boolean("weight_tying", false);
  UNMASK_RETURN_IF_ERROR(reader.status());
  UNMASK_RETURN_IF_ERROR(CheckShape(config));
  return config;
}

}  // namespace

int64_t Config::parameters() const {
  const int64_t d = hidden_size;
  const int64_t kv = int64_t{kv_heads} * head_dim();
  const int64_t layer = 2 * d + 2 * d * d + 2 * kv * d + 3 * d * mlp_size;
  return (tied ? 1 : 2) * int64_t{embedding_size} * d + layers * layer + d;
}

std::string Config::Fingerprint() const {
  const auto bits = [](float value) { return absl::Hex(std::bit_cast<uint32_t>(value)); };
  return absl::StrCat(architecture, " layers:", layers, " hidden:", hidden_size, " heads:", heads, "/", kv_heads,
                      " mlp:", mlp_size, " vocabulary:", vocab_size, "/", embedding_size,
                      " length:", max_sequence_length, " mask:", mask_token_id, " eos:", eos_token_id,
                      " theta:", bits(rope_theta), " epsilon:", bits(norm_epsilon), " tied:", tied);
}

absl::StatusOr<Config> ReadConfig(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/config.json");
  const auto text = ReadFile(path, kMaxBytes);
  if (!text.ok()) return MayPass(text.status()) ? text.status() : absl::DataLossError(text.status().message());
  const auto json = ParseJsonObject(*text, kMaxDepth);
  if (!json.ok()) return Annotate(json.status(), path);
  auto config = ParseConfig(*json);
  if (!config.ok()) return Annotate(config.status(), path);
  return config;
}

}  // namespace unmask
