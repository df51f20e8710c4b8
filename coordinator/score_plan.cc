#include "coordinator/score_plan.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/philox.h"
#include "base/status.h"
#include "coordinator/errors.h"
#include "coordinator/mask_counts.h"
#include "coordinator/options.h"
#include "coordinator/request.h"

namespace unmask {
namespace {

constexpr int kMostTargets = 64;
constexpr int32_t kMostSamples = 4096;
// Samples of all targets' tokens: what the drawn positions take of memory.
constexpr int64_t kMostPositions = 1 << 22;

absl::StatusOr<std::vector<int32_t>> Ids(const v1::ScoreInput& input, const std::string& field, bool parity,
                                         const ServedModel& model) {
  switch (input.content_case()) {
    case v1::ScoreInput::kText:
      if (input.text().empty()) return std::vector<int32_t>();
      return EncodeText(input.text(), absl::StrCat(field, ".text"), model);
    case v1::ScoreInput::kChat:
      return EncodeChat(input.chat(), model);
    case v1::ScoreInput::kTokenIds: {
      const auto& ids = input.token_ids().ids();
      UNMASK_RETURN_IF_ERROR(CheckIds(ids, absl::StrCat(field, ".token_ids.ids"), parity, model));
      return std::vector<int32_t>(ids.begin(), ids.end());
    }
    case v1::ScoreInput::CONTENT_NOT_SET:
      break;
  }
  return std::vector<int32_t>();
}

absl::Status ReadTexts(const v1::ScoreRequest& request, ScorePlan* plan) {
  const ServedModel& model = *plan->model;
  UNMASK_ASSIGN_OR_RETURN(plan->prompt, Ids(request.prompt(), "prompt", plan->reference_parity, model));
  if (request.targets().empty()) return InvalidField(kInputMissing, "targets", "targets is empty");
  if (request.targets_size() > kMostTargets) {
    return InvalidField(kOptionInvalid, "targets",
                        absl::StrCat("targets has ", request.targets_size(), " entries, more than ", kMostTargets));
  }
  for (int i = 0; i < request.targets_size(); ++i) {
    const std::string field = absl::StrCat("targets[", i, "]");
    if (request.targets(i).has_chat()) {
      return InvalidField(kChatInvalid, field, absl::StrCat(field, " is a chat, which only the prompt may be"));
    }
    UNMASK_ASSIGN_OR_RETURN(std::vector<int32_t> ids, Ids(request.targets(i), field, plan->reference_parity, model));
    if (ids.empty()) return InvalidField(kInputMissing, field, absl::StrCat(field, " is empty"));
    UNMASK_RETURN_IF_ERROR(CheckLength(field.c_str(), plan->prompt.size(), ids.size(), model));
    plan->targets.push_back(std::move(ids));
  }
  return absl::OkStatus();
}

absl::Status ReadCounts(const v1::ScoreRequest& request, ScorePlan* plan) {
  const int32_t given = request.masked_size();
  plan->samples = request.has_samples() ? request.samples() : given > 0 ? given : 128;
  if (given > 0 && plan->samples != given) {
    return InvalidField(kOptionInvalid, "samples",
                        absl::StrCat("samples ", plan->samples, " is not the number of masked, ", given));
  }
  if (plan->samples < 1 || plan->samples > kMostSamples) {
    return InvalidField(kOptionInvalid, given > 0 ? "masked" : "samples",
                        absl::StrCat("samples ", plan->samples, " is not in [1, ", kMostSamples, "]"));
  }
  plan->strata = request.has_strata() ? request.strata() : plan->samples % 16 == 0 ? 16 : plan->samples;
  if (plan->strata < 1 || plan->samples % plan->strata != 0) {
    return InvalidField(kOptionInvalid, "strata",
                        absl::StrCat("strata ", plan->strata, " does not divide samples ", plan->samples));
  }
  int64_t tokens = 0;
  for (const auto& target : plan->targets) tokens += target.size();
  if (tokens * plan->samples > kMostPositions) {
    return InvalidField(kOptionInvalid, "samples",
                        absl::StrCat("samples ", plan->samples, " of targets of ", tokens, " tokens are more than ",
                                     kMostPositions, " positions"));
  }
  return absl::OkStatus();
}

absl::Status CheckMasked(const v1::ScoreRequest& request, const ScorePlan& plan) {
  int32_t shortest = plan.TargetLength(0);
  for (const auto& target : plan.targets) shortest = std::min<int32_t>(shortest, target.size());
  const int32_t end = static_cast<int32_t>(plan.prompt.size()) + shortest;
  for (int i = 0; i < request.masked_size(); ++i) {
    const auto& positions = request.masked(i).positions();
    const std::string field = absl::StrCat("masked[", i, "].positions");
    if (positions.empty()) return InvalidField(kOptionInvalid, field, absl::StrCat(field, " is empty"));
    int32_t least = plan.prompt.size();
    for (int j = 0; j < positions.size(); ++j) {
      if (positions[j] < least || positions[j] >= end) {
        const std::string entry = absl::StrCat(field, "[", j, "]");
        return InvalidField(kOptionInvalid, entry,
                            absl::StrCat(entry, " ", positions[j], " is not in [", least, ", ", end, ")"));
      }
      least = positions[j] + 1;
    }
  }
  return absl::OkStatus();
}

// The `count` of `length` offsets that have the lowest random words of this sample.
std::vector<int32_t> DrawOffsets(uint64_t seed, int32_t sample, int32_t length, int32_t count) {
  std::vector<std::pair<uint64_t, int32_t>> order(length);
  for (int32_t i = 0; i < length; ++i) {
    const PhiloxWords words = Noise(seed, NoiseStream::kScoring, sample, i, 0);
    order[i] = {uint64_t{words[0]} << 32 | words[1], i};
  }
  std::nth_element(order.begin(), order.begin() + (count - 1), order.end());
  std::vector<int32_t> offsets(count);
  for (int32_t i = 0; i < count; ++i) offsets[i] = order[i].second;
  std::sort(offsets.begin(), offsets.end());
  return offsets;
}

// The positions that each sample of a target masks.
std::vector<std::vector<int32_t>> DrawMasked(const ScorePlan& plan, int32_t length) {
  const int32_t first = plan.prompt.size();
  std::vector<std::vector<int32_t>> drawn;
  if (length == 1) return {{first}};  // There is no other.
  for (int32_t batch = 0; batch < plan.samples / plan.strata; ++batch) {
    const uint64_t word = Noise(plan.seed, NoiseStream::kScoring, batch, 0, 1)[0];
    const int32_t k = 1 + static_cast<int32_t>(word * length >> 32);
    for (const int count : plan.reference_parity ? ReferenceMaskCounts(length, plan.strata, k)
                                                 : UnbiasedMaskCounts(length, plan.strata, k)) {
      drawn.push_back(DrawOffsets(plan.seed, static_cast<int32_t>(drawn.size()), length, count));
      for (int32_t& position : drawn.back()) position += first;
    }
  }
  return drawn;
}

}  // namespace

std::vector<int32_t> ScorePlan::Canvas(int32_t target) const {
  std::vector<int32_t> canvas = prompt;
  canvas.insert(canvas.end(), targets[target].begin(), targets[target].end());
  return canvas;
}

absl::StatusOr<ScorePlan> ParseScore(const v1::ScoreRequest& request, const std::shared_ptr<const ServedModel>& model,
                                     uint64_t drawn_seed) {
  UNMASK_RETURN_IF_ERROR(CheckModelName(request.model(), *model));
  UNMASK_RETURN_IF_ERROR(CheckPriority(request.priority()));
  if (!std::isfinite(request.cfg_scale()) || request.cfg_scale() < 0) {
    return InvalidField(kOptionInvalid, "cfg_scale",
                        absl::StrCat("cfg_scale ", request.cfg_scale(), " is not a finite number >= 0"));
  }
  ScorePlan plan;
  plan.model = model;
  plan.seed = request.has_seed() ? request.seed() : drawn_seed;
  plan.cfg_scale = request.cfg_scale();
  plan.reference_parity = request.reference_parity();
  plan.priority = request.priority();
  plan.request_id = request.request_id();
  UNMASK_RETURN_IF_ERROR(ReadTexts(request, &plan));
  UNMASK_RETURN_IF_ERROR(ReadCounts(request, &plan));
  UNMASK_RETURN_IF_ERROR(CheckMasked(request, plan));

  plan.tasks_of.resize(plan.targets.size());
  const auto add = [&plan](ScoreTask task) {
    plan.tasks.push_back(std::move(task));
    return static_cast<int32_t>(plan.tasks.size()) - 1;
  };
  for (int32_t target = 0; target < static_cast<int32_t>(plan.targets.size()); ++target) {
    ScorePlan::Tasks& tasks = plan.tasks_of[target];
    std::vector<std::vector<int32_t>> masked;
    for (const auto& set : request.masked()) masked.emplace_back(set.positions().begin(), set.positions().end());
    if (masked.empty()) masked = DrawMasked(plan, plan.TargetLength(target));
    std::map<std::vector<int32_t>, int32_t> known;  // One task for all samples that mask the same.
    for (std::vector<int32_t>& positions : masked) {
      const auto [at, is_new] = known.emplace(std::move(positions), 0);
      if (is_new) at->second = add({target, at->first});
      tasks.samples.push_back(at->second);
    }
    if (!request.has_greedy_match() || request.greedy_match()) tasks.greedy = add({target, {}});
  }
  return plan;
}

std::vector<std::vector<int32_t>> DealTasks(const ScorePlan& plan, int hands) {
  std::vector<int32_t> order(plan.tasks.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int32_t>(i);
  // Those of most windows first, each to whoever has the least.
  std::stable_sort(order.begin(), order.end(),
                   [&plan](int32_t a, int32_t b) { return plan.Windows(plan.tasks[a]) > plan.Windows(plan.tasks[b]); });
  std::vector<std::vector<int32_t>> dealt(std::min<size_t>(hands, order.size()));
  std::vector<int64_t> windows(dealt.size(), 0);
  for (const int32_t task : order) {
    const size_t least = std::min_element(windows.begin(), windows.end()) - windows.begin();
    dealt[least].push_back(task);
    windows[least] += plan.Windows(plan.tasks[task]);
  }
  return dealt;
}

}  // namespace unmask
