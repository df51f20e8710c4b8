#include "coordinator/options.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "coordinator/errors.h"
#include "coordinator/remasking.h"

namespace unmask {
namespace {

using v1::GenerationOptions;

constexpr int kMaxStops = 4;
constexpr size_t kMaxStopBytes = 64;

absl::Status Invalid(absl::string_view option, const std::string& message) {
  return InvalidField(kOptionInvalid, absl::StrCat("options.", option), message);
}

absl::Status CheckFloat(absl::string_view option, float value, float min, float max) {
  if (std::isfinite(value) && value >= min && value <= max) return absl::OkStatus();
  const std::string bound =
      std::isinf(max) ? absl::StrCat("a finite number >= ", min) : absl::StrCat("in [", min, ", ", max, "]");
  return Invalid(option, absl::StrCat(option, " ", value, " is not ", bound));
}

// A knob that the chosen strategy does not read is an error, not a silent nothing.
absl::Status CheckOnlyWith(absl::string_view option, bool set, v1::Remasking strategy, v1::Remasking chosen) {
  if (!set || strategy == chosen) return absl::OkStatus();
  return Invalid(option, absl::StrCat(option, " is set but remasking is ", v1::Remasking_Name(chosen), ", not ",
                                      v1::Remasking_Name(strategy)));
}

absl::Status ResolveStrategy(GenerationOptions* options) {
  if (options->remasking() == v1::REMASKING_UNSPECIFIED) options->set_remasking(v1::REMASKING_LOW_CONFIDENCE);
  const v1::Remasking chosen = options->remasking();
  if (FindStrategy(chosen) == nullptr) {
    return Invalid("remasking", absl::StrCat("remasking ", static_cast<int>(chosen), " is no strategy; the last is ",
                                             static_cast<int>(v1::Remasking_MAX)));
  }
  UNMASK_RETURN_IF_ERROR(
      CheckOnlyWith("threshold", options->has_threshold(), v1::REMASKING_CONFIDENCE_THRESHOLD, chosen));
  UNMASK_RETURN_IF_ERROR(CheckOnlyWith("factor", options->has_factor(), v1::REMASKING_FACTOR, chosen));
  UNMASK_RETURN_IF_ERROR(
      CheckOnlyWith("entropy_bound", options->has_entropy_bound(), v1::REMASKING_ENTROPY_BOUND, chosen));
  // Only the knob that is used is filled in, so that what is echoed may be sent again.
  switch (chosen) {
    case v1::REMASKING_CONFIDENCE_THRESHOLD:
      if (!options->has_threshold()) options->set_threshold(0.9f);
      return CheckFloat("threshold", options->threshold(), 0, 1);
    case v1::REMASKING_FACTOR:
      if (!options->has_factor()) options->set_factor(1.0f);
      return CheckFloat("factor", options->factor(), 0, HUGE_VALF);
    case v1::REMASKING_ENTROPY_BOUND:
      if (!options->has_entropy_bound()) options->set_entropy_bound(0.1f);
      return CheckFloat("entropy_bound", options->entropy_bound(), 0, HUGE_VALF);
    default:
      return absl::OkStatus();
  }
}

absl::Status CheckStops(const GenerationOptions& options, const ServedModel& model, bool infill) {
  if (options.stop().empty()) return absl::OkStatus();
  if (infill) return Invalid("stop", "stop does not apply to infilling: the text around the gaps is given");
  if (options.reference_parity()) return Invalid("stop", "stop is set but reference_parity stops nothing early");
  if (!model.tokenizer) {
    return InvalidField(kTokenizerMissing, "options.stop", "stop is text but the checkpoint has no tokenizer");
  }
  if (options.stop_size() > kMaxStops) {
    return InvalidField(kTooManyStops, "options.stop",
                        absl::StrCat(options.stop_size(), " stop strings are more than ", kMaxStops));
  }
  for (int i = 0; i < options.stop_size(); ++i) {
    const size_t bytes = options.stop(i).size();
    if (bytes == 0 || bytes > kMaxStopBytes) {
      return Invalid(absl::StrCat("stop[", i, "]"),
                     absl::StrCat("stop[", i, "] has ", bytes, " bytes, not 1 to ", kMaxStopBytes));
    }
  }
  return absl::OkStatus();
}

// Everything that does not depend on lengths.
absl::Status ResolveRest(const ServedModel& model, bool infill, uint64_t drawn_seed, GenerationOptions* options) {
  UNMASK_RETURN_IF_ERROR(ResolveStrategy(options));
  if (options->cache() == v1::CACHE_UNSPECIFIED) options->set_cache(v1::CACHE_NONE);
  if (!v1::Cache_IsValid(options->cache())) {
    return Invalid("cache", absl::StrCat("cache ", static_cast<int>(options->cache()), " is no policy; the last is ",
                                         static_cast<int>(v1::Cache_MAX)));
  }
  if (options->deadline_policy() == v1::DEADLINE_POLICY_UNSPECIFIED) {
    options->set_deadline_policy(v1::DEADLINE_POLICY_NONE);
  }
  if (!v1::DeadlinePolicy_IsValid(options->deadline_policy())) {
    return Invalid("deadline_policy",
                   absl::StrCat("deadline_policy ", static_cast<int>(options->deadline_policy()),
                                " is no policy; the last is ", static_cast<int>(v1::DeadlinePolicy_MAX)));
  }
  UNMASK_RETURN_IF_ERROR(CheckFloat("temperature", options->temperature(), 0, HUGE_VALF));
  // Logits that are divided by less would be infinite.
  if (constexpr float kLeast = 1e-30f; options->temperature() > 0 && options->temperature() < kLeast) {
    return Invalid("temperature",
                   absl::StrCat("temperature ", options->temperature(), " is neither 0 nor at least ", kLeast));
  }
  UNMASK_RETURN_IF_ERROR(CheckFloat("cfg_scale", options->cfg_scale(), 0, HUGE_VALF));
  UNMASK_RETURN_IF_ERROR(CheckStops(*options, model, infill));
  options->set_temperature(options->temperature());  // Marks defaults as set, so that they are echoed.
  options->set_cfg_scale(options->cfg_scale());
  options->set_logits_eos_inf(options->logits_eos_inf());
  options->set_confidence_eos_eot_inf(options->confidence_eos_eot_inf());
  options->set_reference_parity(options->reference_parity());
  if (!options->has_seed()) options->set_seed(drawn_seed);
  return absl::OkStatus();
}

absl::Status CheckSteps(int32_t steps, int32_t blocks) {
  if (steps >= blocks && steps % blocks == 0) return absl::OkStatus();
  return Invalid("steps", absl::StrCat("steps ", steps, " is not a positive multiple of the ", blocks, " blocks"));
}

}  // namespace

absl::Status CheckLength(const char* field, int64_t prompt, int64_t answer, const ServedModel& model) {
  const int64_t limit = model.shape.max_sequence_length();
  if (prompt + answer <= limit) return absl::OkStatus();
  return InvalidField(kSequenceTooLong, field,
                      absl::StrCat("prompt of ", prompt, " and answer of ", answer,
                                   " tokens exceed the model's max_sequence_length ", limit));
}

absl::StatusOr<GenerationOptions> ResolveOptions(const GenerationOptions& asked, const ServedModel& model,
                                                 int64_t prompt_length, uint64_t drawn_seed) {
  GenerationOptions options = asked;
  if (!options.has_gen_length()) options.set_gen_length(128);
  const int32_t gen_length = options.gen_length();
  if (gen_length < 1) return Invalid("gen_length", absl::StrCat("gen_length ", gen_length, " is less than 1"));
  UNMASK_RETURN_IF_ERROR(CheckLength("options.gen_length", prompt_length, gen_length, model));

  if (!options.has_block_length()) options.set_block_length(gen_length % 32 == 0 ? 32 : gen_length);
  const int32_t block_length = options.block_length();
  if (block_length < 1 || block_length > gen_length) {
    return Invalid("block_length",
                   absl::StrCat("block_length ", block_length, " is not in [1, gen_length ", gen_length, "]"));
  }
  if (gen_length % block_length != 0) {
    return Invalid("block_length",
                   absl::StrCat("block_length ", block_length, " does not divide gen_length ", gen_length));
  }
  if (!options.has_steps()) options.set_steps(gen_length);
  UNMASK_RETURN_IF_ERROR(CheckSteps(options.steps(), gen_length / block_length));
  UNMASK_RETURN_IF_ERROR(ResolveRest(model, /*infill=*/false, drawn_seed, &options));
  return options;
}

absl::StatusOr<GenerationOptions> ResolveInfillOptions(const GenerationOptions& asked, const ServedModel& model,
                                                       const std::vector<int32_t>& answer, uint64_t drawn_seed) {
  GenerationOptions options = asked;
  if (options.has_gen_length()) {
    return Invalid("gen_length", absl::StrCat("gen_length ", options.gen_length(),
                                              " is set but the segments decide the length of an infilling"));
  }
  const int32_t length = answer.size();
  if (!options.has_block_length()) options.set_block_length(length);
  const int32_t block_length = options.block_length();
  if (block_length < 1 || block_length > length) {
    return Invalid("block_length",
                   absl::StrCat("block_length ", block_length, " is not in [1, the segments' ", length, " tokens]"));
  }
  const int32_t blocks = (length + block_length - 1) / block_length;
  if (!options.has_steps()) {
    int64_t most_masks = 1;
    for (int32_t begin = 0; begin < length; begin += block_length) {
      const auto end = answer.begin() + std::min(begin + block_length, length);
      most_masks = std::max<int64_t>(most_masks, std::count(answer.begin() + begin, end, model.mask()));
    }
    options.set_steps(most_masks * blocks);
  }
  UNMASK_RETURN_IF_ERROR(CheckSteps(options.steps(), blocks));
  UNMASK_RETURN_IF_ERROR(ResolveRest(model, /*infill=*/true, drawn_seed, &options));
  return options;
}

}  // namespace unmask
