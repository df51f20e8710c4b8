#include "kernels/checks.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace unmask {
namespace {

absl::Status CheckSlot(const KvSlot& slot, int layer, int64_t kv_width, DType dtype) {
  for (const Tensor* tensor : {&slot.keys, &slot.values}) {
    if (tensor->dtype != dtype || (kv_width != 0 && tensor->columns != kv_width) ||
        tensor->rows < (int64_t{layer} + 1) * slot.length) {
      return absl::InternalError(absl::StrCat("K/V of ", tensor->rows, " rows of ", tensor->columns, " ",
                                              Name(tensor->dtype), " cannot hold layer ", layer, " of ", slot.length,
                                              " positions of ", kv_width, " ", Name(dtype)));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckShape(const char* what, const Tensor& tensor, int64_t rows, int64_t columns, DType dtype) {
  if (tensor.rows == rows && tensor.columns == columns && tensor.dtype == dtype) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(what, " is (", tensor.rows, ", ", tensor.columns, ") ", Name(tensor.dtype),
                                          ", not (", rows, ", ", columns, ") ", Name(dtype)));
}

absl::Status CheckSameShape(const Tensor& host, const Tensor& device) {
  return CheckShape("device", device, host.rows, host.columns, device.dtype);
}

absl::Status CheckWithin(const char* what, int64_t value, int64_t bound) {
  if (value >= 0 && value < bound) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(what, " ", value, " is not in [0, ", bound, ")"));
}

absl::Status CheckLayout(const RowLayout& layout, int layer, int64_t kv_width, DType dtype, int64_t rows) {
  const int64_t known = static_cast<int64_t>(std::min(layout.positions.size(), layout.horizons.size()));
  if (known < rows) return absl::InternalError(absl::StrCat("a layout of ", known, " rows for a tensor of ", rows));
  if (layer < 0) return absl::InternalError(absl::StrCat("layer ", layer));
  for (const RowLayout::Group& group : layout.groups) {
    if (group.begin < 0 || group.end < group.begin || group.end > rows || group.slot == nullptr) {
      return absl::InternalError(absl::StrCat("group [", group.begin, ", ", group.end, ") of ", rows, " rows"));
    }
    UNMASK_RETURN_IF_ERROR(CheckSlot(*group.slot, layer, kv_width, dtype));
    for (int64_t r = group.begin; r < group.end; ++r) {
      if (layout.positions[r] < 0 || layout.positions[r] >= group.slot->length || layout.horizons[r] < 0 ||
          layout.horizons[r] > group.slot->length) {
        return absl::InternalError(absl::StrCat("row ", r, ": position ", layout.positions[r], ", horizon ",
                                                layout.horizons[r], " in a sequence of ", group.slot->length));
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> CheckRotation(const RowLayout& layout, int layer, int heads, int kv_heads, int head_dim,
                                      DType dtype, const Tensor& qkv) {
  UNMASK_RETURN_IF_ERROR(
      CheckShape("qkv", qkv, qkv.rows, (int64_t{heads} + 2 * int64_t{kv_heads}) * head_dim, DType::kF32));
  UNMASK_RETURN_IF_ERROR(CheckLayout(layout, layer, int64_t{kv_heads} * head_dim, dtype, qkv.rows));
  if (head_dim < 2 || head_dim % 2 != 0) {
    return absl::InternalError(absl::StrCat("head_dim ", head_dim, " is not even and positive"));
  }
  int64_t positions = 0;
  for (const int32_t position : layout.positions) positions = std::max(positions, int64_t{position} + 1);
  return positions;
}

absl::StatusOr<std::vector<int32_t>> KvHeads(const RowLayout& layout, int heads, int head_dim,
                                             absl::Span<const int32_t> kv_map) {
  if (heads < 1 || head_dim < 1 || (!kv_map.empty() && static_cast<int>(kv_map.size()) != heads)) {
    return absl::InternalError(absl::StrCat(heads, " heads of ", head_dim, " with a K/V map of ", kv_map.size()));
  }
  std::vector<int32_t> read;
  for (const RowLayout::Group& group : layout.groups) {
    const int64_t kv_heads = group.slot->keys.columns / head_dim;
    for (int h = 0; h < heads; ++h) {
      const int64_t grouped = kv_heads == 0 ? 0 : h / std::max<int64_t>(1, heads / kv_heads);
      const auto kv_head = static_cast<int32_t>(kv_map.empty() ? grouped : kv_map[h]);
      if (kv_head < 0 || kv_head >= kv_heads) {
        return absl::InternalError(absl::StrCat("head ", h, " reads K/V head ", kv_head, " of ", kv_heads));
      }
      if (static_cast<int>(read.size()) == h) read.push_back(kv_head);
      if (read[h] != kv_head) {
        return absl::InternalError(absl::StrCat("slots of ", kv_heads, " and of other numbers of K/V heads in a step"));
      }
    }
  }
  return read;
}

absl::Status CheckSpecs(const Tensor& hidden, int64_t columns, DType dtype, absl::Span<const SampleSpec> specs,
                        size_t records) {
  UNMASK_RETURN_IF_ERROR(CheckShape("hidden", hidden, hidden.rows, columns, dtype));
  if (specs.size() != records) {
    return absl::InternalError(absl::StrCat(specs.size(), " specs but ", records, " records"));
  }
  for (const SampleSpec& spec : specs) {
    UNMASK_RETURN_IF_ERROR(CheckWithin("row", spec.row, hidden.rows));
    if (spec.unconditional_row >= 0) {
      UNMASK_RETURN_IF_ERROR(CheckWithin("unconditional_row", spec.unconditional_row, hidden.rows));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> StackedRows(absl::Span<const Tensor> slices) {
  int64_t rows = 0;
  for (const Tensor& slice : slices) {
    if (slice.columns != slices[0].columns) {
      return absl::InvalidArgumentError(
          absl::StrCat("packing slices of ", slices[0].columns, " and of ", slice.columns, " columns"));
    }
    rows += slice.rows;
  }
  if (rows < 1 || slices[0].columns < 1) return absl::InvalidArgumentError("packing a matrix without elements");
  return rows;
}

}  // namespace unmask
