// Attention over ragged rows, cut into tasks of one head and some rows of one K/V slot.
#ifndef UNMASK_KERNELS_CPU_ATTENTION_H_
#define UNMASK_KERNELS_CPU_ATTENTION_H_

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "kernels/backend.h"
#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/workers.h"

namespace unmask {

// See Backend::Attend. The layout has been checked.
absl::Status AttendRows(const KernelTable& kernels, Workers* workers, const RowLayout& layout, int layer, int heads,
                        int head_dim, absl::Span<const int32_t> kv_map, const Tensor& q, const Tensor& out);

}  // namespace unmask

#endif  // UNMASK_KERNELS_CPU_ATTENTION_H_
