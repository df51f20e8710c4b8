#include "worker/tensor_plan.h"

#include <iterator>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace unmask {
namespace {

enum class Size { kOne, kHidden, kHeads, kKvHeads, kMlp, kVocabulary };
enum class Cut { kNone, kRows, kColumns };

struct Rule {
  Role role;
  bool per_layer;
  const char* name;  // After "model.transformer." and, for a layer's, "blocks.N.".
  Size rows;         // kOne: a vector.
  Size columns;
  Cut cut;
};

// In the order of the forward pass and of Role.
constexpr Rule kRules[] = {
    {Role::kEmbedding, false, "wte.weight", Size::kVocabulary, Size::kHidden, Cut::kRows},
    {Role::kAttentionNorm, true, "attn_norm.weight", Size::kOne, Size::kHidden, Cut::kNone},
    {Role::kQuery, true, "q_proj.weight", Size::kHeads, Size::kHidden, Cut::kRows},
    {Role::kKey, true, "k_proj.weight", Size::kKvHeads, Size::kHidden, Cut::kRows},
    {Role::kValue, true, "v_proj.weight", Size::kKvHeads, Size::kHidden, Cut::kRows},
    {Role::kAttentionOut, true, "attn_out.weight", Size::kHidden, Size::kHeads, Cut::kColumns},
    {Role::kMlpNorm, true, "ff_norm.weight", Size::kOne, Size::kHidden, Cut::kNone},
    {Role::kGate, true, "ff_proj.weight", Size::kMlp, Size::kHidden, Cut::kRows},
    {Role::kUp, true, "up_proj.weight", Size::kMlp, Size::kHidden, Cut::kRows},
    {Role::kDown, true, "ff_out.weight", Size::kHidden, Size::kMlp, Cut::kColumns},
    {Role::kFinalNorm, false, "ln_f.weight", Size::kOne, Size::kHidden, Cut::kNone},
    {Role::kHead, false, "ff_out.weight", Size::kVocabulary, Size::kHidden, Cut::kRows},
};

const Rule& RuleOf(Role role) { return kRules[static_cast<int>(role)]; }

int64_t Whole(Size size, const Config& config) {
  switch (size) {
    case Size::kOne:
      return 1;
    case Size::kHidden:
      return config.hidden_size;
    case Size::kHeads:
      return int64_t{config.heads} * config.head_dim();
    case Size::kKvHeads:
      return int64_t{config.kv_heads} * config.head_dim();
    case Size::kMlp:
      return config.mlp_size;
    case Size::kVocabulary:
      return config.embedding_size;
  }
  return 0;
}

Range Part(Size size, const Config& config, const Shard& shard) {
  const int64_t head_dim = config.head_dim();
  switch (size) {
    case Size::kHeads:
      return {shard.heads.begin * head_dim, shard.heads.end * head_dim};
    case Size::kKvHeads:
      return {shard.kv_heads.begin * head_dim, shard.kv_heads.end * head_dim};
    case Size::kMlp:
      return shard.columns;
    case Size::kVocabulary:
      return shard.vocabulary;
    case Size::kOne:
    case Size::kHidden:
      break;
  }
  return {0, Whole(size, config)};
}

}  // namespace

std::vector<PlannedTensor> PlanTensors(const Config& config) {
  std::vector<PlannedTensor> plan = {{Role::kEmbedding, 0}};
  for (int layer = 0; layer < config.layers; ++layer) {
    for (const Rule& rule : kRules) {
      if (rule.per_layer) plan.push_back({rule.role, layer});
    }
  }
  plan.push_back({Role::kFinalNorm, 0});
  if (!config.tied) plan.push_back({Role::kHead, 0});
  return plan;
}

std::string TensorName(PlannedTensor tensor) {
  const Rule& rule = RuleOf(tensor.role);
  return rule.per_layer ? absl::StrCat("model.transformer.blocks.", tensor.layer, ".", rule.name)
                        : absl::StrCat("model.transformer.", rule.name);
}

std::vector<int64_t> TensorShape(PlannedTensor tensor, const Config& config) {
  const Rule& rule = RuleOf(tensor.role);
  if (rule.rows == Size::kOne) return {Whole(rule.columns, config)};
  return {Whole(rule.rows, config), Whole(rule.columns, config)};
}

MatrixSlice SliceOf(PlannedTensor tensor, const Config& config, const Shard& shard) {
  const Rule& rule = RuleOf(tensor.role);
  MatrixSlice slice = {{0, Whole(rule.rows, config)}, {0, Whole(rule.columns, config)}};
  if (rule.cut == Cut::kRows) slice.rows = Part(rule.rows, config, shard);
  if (rule.cut == Cut::kColumns) slice.columns = Part(rule.columns, config, shard);
  return slice;
}

int64_t SliceElements(const Config& config, const Shard& shard) {
  int64_t elements = 0;
  for (const PlannedTensor tensor : PlanTensors(config)) elements += SliceOf(tensor, config, shard).elements();
  return elements;
}

absl::Status CheckTensors(const Checkpoint& checkpoint, const Config& config) {
  std::set<std::string> expected;
  for (const PlannedTensor planned : PlanTensors(config)) {
    const std::string name = TensorName(planned);
    const auto stored = checkpoint.tensors().find(name);
    if (stored == checkpoint.tensors().end()) return absl::DataLossError(absl::StrCat("tensor ", name, " is missing"));
    const auto shape = TensorShape(planned, config);
    if (stored->second.shape != shape) {
      return absl::DataLossError(absl::StrCat(stored->second.file->path(), ": ", name, " has shape [",
                                              absl::StrJoin(stored->second.shape, ", "), "], config.json asks for [",
                                              absl::StrJoin(shape, ", "), "]"));
    }
    expected.insert(name);
  }
  for (const auto& [name, stored] : checkpoint.tensors()) {
    if (expected.count(name) == 0) {
      return absl::DataLossError(absl::StrCat(stored.file->path(), ": ", name, " is no tensor of this model"));
    }
  }
  return absl::OkStatus();
}

}  // namespace unmask
