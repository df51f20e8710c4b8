// What every backend refuses: arguments that do not fit each other. INTERNAL, since the model and not a user is at
// fault: nothing outside a tensor or a slot is ever read or written.
#ifndef UNMASK_KERNELS_CHECKS_H_
#define UNMASK_KERNELS_CHECKS_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/backend.h"

namespace unmask {

absl::Status CheckShape(const char* what, const Tensor& tensor, int64_t rows, int64_t columns, DType dtype);
absl::Status CheckSameShape(const Tensor& host, const Tensor& device);
// value in [0, bound).
absl::Status CheckWithin(const char* what, int64_t value, int64_t bound);

// Whether the layout's groups, positions and horizons lie within `rows` rows and within each group's slot, which holds
// layer `layer` of `kv_width` columns (0: any) in `dtype`.
absl::Status CheckLayout(const RowLayout& layout, int layer, int64_t kv_width, DType dtype, int64_t rows);

// What Backend::RotateAndStore refuses; else the positions that it turns by: one more than the largest.
absl::StatusOr<int64_t> CheckRotation(const RowLayout& layout, int layer, int heads, int kv_heads, int head_dim,
                                      DType dtype, const Tensor& qkv);

// The K/V head that each query head reads (see Backend::Attend): empty where there are no groups.
absl::StatusOr<std::vector<int32_t>> KvHeads(const RowLayout& layout, int heads, int head_dim,
                                             absl::Span<const int32_t> kv_map);

// See Backend::PickCandidates.
absl::Status CheckSpecs(const Tensor& hidden, int64_t columns, DType dtype, absl::Span<const SampleSpec> specs,
                        size_t records);

// The rows of all slices together. INVALID_ARGUMENT where they do not stack to a matrix.
absl::StatusOr<int64_t> StackedRows(absl::Span<const Tensor> slices);

}  // namespace unmask

#endif  // UNMASK_KERNELS_CHECKS_H_
