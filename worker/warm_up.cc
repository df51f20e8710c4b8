#include "worker/warm_up.h"

#include <algorithm>
#include <cstdint>
#include <limits>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace unmask {
namespace {

constexpr int32_t kRows = 64;  // Enough to load the device, little enough to be over soon.
constexpr uint64_t kSequence = std::numeric_limits<uint64_t>::max();  // No coordinator counts so far.

}  // namespace

absl::StatusOr<std::chrono::nanoseconds> WarmUp(const Config& config, Engine* engine) {
  const int32_t rows = std::min(kRows, config.max_sequence_length);
  internal::v1::Step step;
  internal::v1::Window* window = step.add_windows();
  window->set_sequence(kSequence);
  window->set_length(rows);
  window->add_horizons(rows);
  for (int32_t position = 0; position < rows; ++position) {
    window->add_tokens(config.mask_token_id);
    window->add_sample(position);
  }
  std::chrono::nanoseconds time(0);
  for (int run = 0; run < 2; ++run) {
    const auto begin = std::chrono::steady_clock::now();
    UNMASK_ASSIGN_OR_RETURN(const internal::v1::StepResult result, engine->Run(step));
    time = std::chrono::steady_clock::now() - begin;
    if (!result.error().empty()) return absl::InternalError(absl::StrCat("the warm-up step: ", result.error()));
  }
  internal::v1::Release release;
  release.add_sequences(kSequence);
  engine->Release(release);
  return time / rows;
}

}  // namespace unmask
