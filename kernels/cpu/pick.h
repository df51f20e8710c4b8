// The head: logits of the sampled rows, a few hundred ids at a time in a worker's own scratch, and their records. The
// logits never exist whole.
#ifndef UNMASK_KERNELS_CPU_PICK_H_
#define UNMASK_KERNELS_CPU_PICK_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "kernels/backend.h"
#include "kernels/cpu/matmul.h"

namespace unmask {

// See Backend::PickCandidates. Each spec's records are merged in ascending order of ids, in ranges fixed by the matrix
// alone.
absl::Status PickCandidates(const KernelTable& kernels, Workers* workers, const Tensor& hidden, const CpuMatrix& head,
                            int32_t first_token, absl::Span<const SampleSpec> specs,
                            absl::Span<CandidateRecord> records);

}  // namespace unmask

#endif  // UNMASK_KERNELS_CPU_PICK_H_
