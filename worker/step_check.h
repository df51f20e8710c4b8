// A Step comes from a peer: everything in it is checked before anything is done.
#ifndef UNMASK_WORKER_STEP_CHECK_H_
#define UNMASK_WORKER_STEP_CHECK_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "unmask/internal/v1/replica.pb.h"
#include "worker/kv_cache.h"

namespace unmask {

struct StepLimits {
  int32_t embedding_size = 0;       // Tokens are below it.
  int32_t max_sequence_length = 0;  // Of a canvas.
  int32_t max_rows = 0;             // Of a step; both branches of guidance count.
};

// The slots that the step's new sequences need, in the order of its windows.
std::vector<KvRequest> NewSequences(const internal::v1::Step& step, const KvCache& kv);

// The rules of proto/unmask/internal/v1/replica.proto. INVALID_ARGUMENT naming window, field, value and bound:
// "windows[2]: tokens[5] 512 is not in [0, 383]".
absl::Status CheckStep(const internal::v1::Step& step, const StepLimits& limits, const KvCache& kv);

}  // namespace unmask

#endif  // UNMASK_WORKER_STEP_CHECK_H_
