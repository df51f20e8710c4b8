// GenerationOptions as used: every rule checked, every default filled in.
#ifndef UNMASK_COORDINATOR_OPTIONS_H_
#define UNMASK_COORDINATOR_OPTIONS_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/served_model.h"
#include "unmask/v1/options.pb.h"

namespace unmask {

// The options of a request, every scalar set but the knobs of other strategies: sent again, they resolve to themselves.
// prompt_length: positions before the answer. drawn_seed: used where none is set. INVALID_ARGUMENT names the field
// ("options.steps"), its value and the bound.
absl::StatusOr<v1::GenerationOptions> ResolveOptions(const v1::GenerationOptions& asked, const ServedModel& model,
                                                     int64_t prompt_length, uint64_t drawn_seed);

// The same for infilling, where the segments decide the length: answer holds their tokens, masks included. Blocks need
// not divide it, the last may be shorter; unset, one block holds all. Unset steps reveal one token each.
absl::StatusOr<v1::GenerationOptions> ResolveInfillOptions(const v1::GenerationOptions& asked, const ServedModel& model,
                                                           const std::vector<int32_t>& answer, uint64_t drawn_seed);

// SEQUENCE_TOO_LONG unless `prompt` + `answer` positions fit the model. field: which one to blame.
absl::Status CheckLength(const char* field, int64_t prompt, int64_t answer, const ServedModel& model);

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_OPTIONS_H_
