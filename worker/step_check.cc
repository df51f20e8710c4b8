#include "worker/step_check.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace unmask {
namespace {

using google::protobuf::RepeatedField;
using internal::v1::Sampling;
using internal::v1::Window;

template <typename... Parts>
absl::Status Broken(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

absl::Status CheckEach(absl::string_view field, const RepeatedField<int32_t>& values, int32_t low, int32_t high) {
  for (int i = 0; i < values.size(); ++i) {
    if (values[i] < low || values[i] > high) {
      return Broken(field, "[", i, "] ", values[i], " is not in [", low, ", ", high, "]");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckSampling(const Sampling& sampling, const StepLimits& limits) {
  constexpr float kLeast = 1e-30f;  // Logits that are divided by less would be infinite.
  if (!std::isfinite(sampling.temperature()) || (sampling.temperature() != 0 && sampling.temperature() < kLeast)) {
    return Broken("temperature ", sampling.temperature(), " is neither 0 nor a finite number of at least ", kLeast);
  }
  if (sampling.token_bound() < 0 || sampling.token_bound() > limits.embedding_size) {
    return Broken("token_bound ", sampling.token_bound(), " is not in [0, ", limits.embedding_size, "]");
  }
  UNMASK_RETURN_IF_ERROR(CheckEach("suppressed", sampling.suppressed(), 0, limits.embedding_size - 1));
  return CheckEach("unconfident", sampling.unconfident(), 0, limits.embedding_size - 1);
}

absl::Status CheckSample(const Window& window, int64_t end) {
  int32_t last = window.begin() - 1;
  for (int i = 0; i < window.sample_size(); ++i) {
    if (window.sample(i) <= last || window.sample(i) >= end) {
      return Broken("sample[", i, "] ", window.sample(i), " is not in [", last + 1, ", ", end, ")");
    }
    last = window.sample(i);
  }
  return absl::OkStatus();
}

// Against the K/V that the sequence holds: `entry` may be null.
absl::Status CheckKv(const Window& window, int64_t end, const KvEntry* entry) {
  const int32_t filled = entry == nullptr ? 0 : entry->filled;
  if (entry != nullptr) {
    if (entry->request.length != window.length()) {
      return Broken("length ", window.length(), " is not the ", entry->request.length,
                    " of the sequence's first window");
    }
    if (entry->request.guided != (window.unconditional_tokens_size() > 0)) {
      return Broken("unconditional_tokens are ", entry->request.guided ? "missing" : "given",
                    ", unlike in the sequence's first window");
    }
  }
  if (window.begin() > filled) {
    return Broken("begin ", window.begin(), " leaves a gap after the ", filled, " positions that have K/V");
  }
  return CheckEach("horizons", window.horizons(), 1, static_cast<int32_t>(std::max<int64_t>(filled, end)));
}

absl::Status CheckWindow(const Window& window, const StepLimits& limits, const KvEntry* entry) {
  if (window.length() < 1 || window.length() > limits.max_sequence_length) {
    return Broken("length ", window.length(), " is not in [1, ", limits.max_sequence_length, "]");
  }
  const int rows = window.tokens_size();
  const int64_t end = int64_t{window.begin()} + rows;
  if (rows == 0) return Broken("tokens are missing");
  if (window.begin() < 0 || end > window.length()) {
    return Broken("positions [", window.begin(), ", ", end, ") are not in [0, ", window.length(), ")");
  }
  UNMASK_RETURN_IF_ERROR(CheckEach("tokens", window.tokens(), 0, limits.embedding_size - 1));
  if (window.horizons_size() != 1 && window.horizons_size() != rows) {
    return Broken("horizons has ", window.horizons_size(), " entries, not 1 or ", rows);
  }
  if (window.unconditional_tokens_size() != 0 && window.unconditional_tokens_size() != rows) {
    return Broken("unconditional_tokens has ", window.unconditional_tokens_size(), " entries, not 0 or ", rows);
  }
  UNMASK_RETURN_IF_ERROR(
      CheckEach("unconditional_tokens", window.unconditional_tokens(), 0, limits.embedding_size - 1));
  if (!std::isfinite(window.cfg_scale()) || window.cfg_scale() < 0) {
    return Broken("cfg_scale ", window.cfg_scale(), " is not a finite number >= 0");
  }
  UNMASK_RETURN_IF_ERROR(CheckSample(window, end));
  if (window.asked_size() != 0 && window.asked_size() != window.sample_size()) {
    return Broken("asked has ", window.asked_size(), " entries, not 0 or ", window.sample_size());
  }
  UNMASK_RETURN_IF_ERROR(CheckEach("asked", window.asked(), 0, limits.embedding_size - 1));
  UNMASK_RETURN_IF_ERROR(CheckSampling(window.sampling(), limits));
  return CheckKv(window, end, entry);
}

}  // namespace

std::vector<KvRequest> NewSequences(const internal::v1::Step& step, const KvCache& kv) {
  std::vector<KvRequest> requests;
  for (const Window& window : step.windows()) {
    if (kv.Find(window.sequence()) != nullptr) continue;
    requests.push_back({window.sequence(), window.length(), window.unconditional_tokens_size() > 0});
  }
  return requests;
}

absl::Status CheckStep(const internal::v1::Step& step, const StepLimits& limits, const KvCache& kv) {
  std::set<uint64_t> sequences;
  int64_t rows = 0;
  for (int i = 0; i < step.windows_size(); ++i) {
    const Window& window = step.windows(i);
    const std::string where = absl::StrCat("windows[", i, "]");
    if (!sequences.insert(window.sequence()).second)
      return Broken(where, ": sequence ", window.sequence(), " appears twice");
    const KvEntry* entry = kv.Find(window.sequence());
    UNMASK_RETURN_IF_ERROR(Annotate(CheckWindow(window, limits, entry), where));
    const bool guided = window.unconditional_tokens_size() > 0;
    rows += window.tokens_size() * (guided ? 2 : 1);
  }
  if (rows > limits.max_rows) return Broken("the step has ", rows, " rows, more than ", limits.max_rows);
  int64_t reserved = kv.used();
  for (const KvRequest& request : NewSequences(step, kv)) reserved += request.positions();
  if (reserved > kv.capacity()) {
    return Broken("the step's sequences take the K/V to ", reserved, " positions, more than ", kv.capacity());
  }
  return absl::OkStatus();
}

}  // namespace unmask
