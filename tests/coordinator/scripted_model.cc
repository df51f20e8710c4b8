#include "tests/coordinator/scripted_model.h"

#include <algorithm>

#include "coordinator/options.h"

namespace unmask::testing {

using internal::v1::Candidates;
using internal::v1::Step;
using internal::v1::StepResult;
using internal::v1::Window;

namespace {

uint64_t Mix(uint64_t hash, uint64_t value) {
  hash ^= value + 0x9E3779B97F4A7C15 + (hash << 6) + (hash >> 2);
  hash *= 0xBF58476D1CE4E5B9;
  return hash ^ (hash >> 29);
}

}  // namespace

std::shared_ptr<const ServedModel> TinyModel() {
  auto model = std::make_shared<ServedModel>();
  model->name = "tiny";
  model->shape = DescribeReplica("any", 1).shape();
  model->eot = 97;
  return model;
}

internal::v1::ReplicaDescription DescribeReplica(const std::string& name, int ranks) {
  internal::v1::ReplicaDescription description;
  description.set_name(name);
  description.set_model("tiny");
  internal::v1::ModelShape* shape = description.mutable_shape();
  shape->set_layers(2);
  shape->set_hidden_size(32);
  shape->set_heads(4);
  shape->set_kv_heads(2);
  shape->set_mlp_size(64);
  shape->set_vocab_size(100);
  shape->set_embedding_size(104);
  shape->set_max_sequence_length(512);
  shape->set_mask_token_id(99);
  shape->set_eos_token_id(98);
  shape->set_parameters(20000);
  for (int r = 0; r < ranks; ++r) {
    v1::Rank* rank = description.add_ranks();
    rank->set_rank(r);
    v1::Shard* shard = rank->mutable_shard();
    shard->set_heads_begin(4 * r / ranks);
    shard->set_heads_end(4 * (r + 1) / ranks);
    shard->set_kv_heads_begin(shard->heads_begin() / 2);
    shard->set_kv_heads_end((shard->heads_end() - 1) / 2 + 1);
    shard->set_columns_begin(64 * r / ranks);
    shard->set_columns_end(64 * (r + 1) / ranks);
    shard->set_vocabulary_begin(104 * r / ranks);
    shard->set_vocabulary_end(104 * (r + 1) / ranks);
  }
  return description;
}

StepResult ScriptedModel::Execute(const Step& step) {
  StepResult result;
  result.set_id(step.id());
  result.set_epoch(step.epoch());
  for (uint64_t sequence : step.release()) kv_.erase(sequence);
  for (const Window& window : step.windows()) *result.add_candidates() = Predict(window);
  return result;
}

Candidates ScriptedModel::Predict(const Window& window) {
  Slot& slot = kv_[window.sequence()];
  const int branches = window.unconditional_tokens().empty() ? 1 : 2;
  uint64_t seen = 0;
  for (int branch = 0; branch < branches; ++branch) {
    const auto& tokens = branch == 0 ? window.tokens() : window.unconditional_tokens();
    slot.layer1[branch].resize(window.length(), 0);
    slot.layer2[branch].resize(window.length(), 0);
    for (int i = 0; i < tokens.size(); ++i) slot.layer1[branch][window.begin() + i] = tokens[i] + 1;
    const int horizon = window.horizons(0);  // Of all rows.
    uint64_t context = 0;
    for (int p = 0; p < horizon; ++p) context = Mix(context, slot.layer1[branch][p]);
    for (int i = 0; i < tokens.size(); ++i) slot.layer2[branch][window.begin() + i] = Mix(context, tokens[i] + 1);
    for (int p = 0; p < horizon; ++p) seen = Mix(seen, slot.layer2[branch][p]);
  }
  const internal::v1::Sampling& sampling = window.sampling();
  const auto allowed = [&](int32_t token) {
    const auto& suppressed = sampling.suppressed();
    return (sampling.token_bound() == 0 || token < sampling.token_bound()) && never.count(token) == 0 &&
           std::find(suppressed.begin(), suppressed.end(), token) == suppressed.end();
  };
  Candidates candidates;
  for (int i = 0; i < window.sample_size(); ++i) {
    uint64_t hash = Mix(seen, window.sample(i));
    if (window.asked_size() > 0) {
      candidates.add_log_probabilities(-0.01f * static_cast<float>(1 + Mix(hash, window.asked(i)) % 1000));
    }
    if (sampling.temperature() > 0) hash = Mix(Mix(hash, sampling.seed()), sampling.noise_step());
    int32_t token = hash % 100;
    while (!allowed(token)) token = (token + 1) % 100;
    candidates.add_tokens(token);
    candidates.add_confidences(static_cast<float>((hash >> 8) % 1000) / 1000);
    if (sampling.margin()) candidates.add_margins(static_cast<float>((hash >> 20) % 1000) / 1000);
    if (sampling.entropy()) candidates.add_entropies(static_cast<float>((hash >> 32) % 1000) / 250);
  }
  return candidates;
}

int RunAlone(Sequence* sequence, ScriptedModel* model) {
  int windows = 0;
  while (!sequence->done()) {
    Step step;
    *step.add_windows() = sequence->PlanWindow();
    const auto advanced = sequence->Advance(model->Execute(step).candidates(0));
    if (!advanced.ok()) return -1;
    ++windows;
  }
  return windows;
}

SequenceSpec TinySpec(int prompt, v1::GenerationOptions options) {
  SequenceSpec spec;
  spec.model = TinyModel();
  spec.options = ResolveOptions(options, *spec.model, prompt, /*drawn_seed=*/7).value();
  for (int i = 0; i < prompt; ++i) spec.canvas.push_back(1 + i % 90);
  spec.prompt_length = prompt;
  spec.canvas.resize(prompt + spec.options.gen_length(), spec.model->mask());
  spec.output.set_canvas(true);
  spec.output.set_confidences(true);
  return spec;
}

}  // namespace unmask::testing
