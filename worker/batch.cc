#include "worker/batch.h"

#include <algorithm>

namespace unmask {
namespace {

using google::protobuf::RepeatedField;
using internal::v1::Sampling;
using internal::v1::Window;

int32_t Horizon(const Window& window, int row) { return window.horizons(window.horizons_size() == 1 ? 0 : row); }

// Appends one branch of a window and returns where its sampled rows begin in batch->sampled.
int32_t AppendBranch(const Window& window, const RepeatedField<int32_t>& tokens, const KvSlot* slot, Batch* batch) {
  const int32_t first_row = static_cast<int32_t>(batch->tokens.size());
  batch->tokens.insert(batch->tokens.end(), tokens.begin(), tokens.end());
  for (int row = 0; row < tokens.size(); ++row) {
    batch->rows.positions.push_back(window.begin() + row);
    batch->rows.horizons.push_back(Horizon(window, row));
  }
  batch->rows.groups.push_back({first_row, first_row + tokens.size(), slot});

  const int32_t first_sampled = static_cast<int32_t>(batch->sampled.size());
  for (const int32_t position : window.sample()) {
    batch->sampled.push_back(first_row + position - window.begin());
    batch->sampled_rows.positions.push_back(position);
    batch->sampled_rows.horizons.push_back(Horizon(window, position - window.begin()));
  }
  if (window.sample_size() > 0) {
    batch->sampled_rows.groups.push_back({first_sampled, first_sampled + window.sample_size(), slot});
  }
  return first_sampled;
}

void AppendWindow(const Window& window, KvEntry* entry, Batch* batch) {
  const bool guided = window.unconditional_tokens_size() > 0;
  const int32_t conditional = AppendBranch(window, window.tokens(), &entry->conditional, batch);
  const int32_t unconditional =
      guided ? AppendBranch(window, window.unconditional_tokens(), &entry->unconditional, batch) : -1;
  entry->filled = std::max(entry->filled, window.begin() + window.tokens_size());

  const Sampling& sampling = window.sampling();
  for (int i = 0; i < window.sample_size(); ++i) {
    SampleSpec spec;
    spec.row = conditional + i;
    if (guided) spec.unconditional_row = unconditional + i;
    spec.cfg_scale = window.cfg_scale();
    spec.temperature = sampling.temperature();
    spec.seed = sampling.seed();
    spec.noise_step = sampling.noise_step();
    spec.position = static_cast<uint32_t>(window.sample(i));
    spec.suppressed = absl::MakeConstSpan(sampling.suppressed().data(), sampling.suppressed_size());
    spec.token_bound = sampling.token_bound();
    spec.unconfident = absl::MakeConstSpan(sampling.unconfident().data(), sampling.unconfident_size());
    if (window.asked_size() > 0) spec.asked = window.asked(i);
    batch->specs.push_back(spec);
  }
}

}  // namespace

Batch MakeBatch(const internal::v1::Step& step, int begin, int end, KvCache* kv) {
  Batch batch;
  for (int i = begin; i < end; ++i) AppendWindow(step.windows(i), kv->Find(step.windows(i).sequence()), &batch);
  return batch;
}

}  // namespace unmask
