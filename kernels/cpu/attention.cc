#include "kernels/cpu/attention.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"

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

// Some rows of one group, for one head.
struct Task {
  const KvSlot* slot;
  int64_t begin;
  int64_t rows;
};

}  // namespace

absl::Status CheckLayout(const RowLayout& layout, int layer, int64_t kv_width, DType dtype, int64_t rows) {
  const int64_t known = static_cast<int64_t>(std::min(layout.positions.size(), layout.horizons.size()));
  if (known < rows) return absl::InternalError(absl::StrCat("a layout of ", known, " rows for a tensor of ", rows));
  if (layer < 0) return absl::InternalError(absl::StrCat("layer ", layer));
  for (const RowLayout::Group& group : layout.groups) {
    if (group.begin < 0 || group.end < group.begin || group.end > rows || group.slot == nullptr) {
      return absl::InternalError(absl::StrCat("group [", group.begin, ", ", group.end, ") of ", rows, " rows"));
    }
    if (absl::Status status = CheckSlot(*group.slot, layer, kv_width, dtype); !status.ok()) return status;
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

absl::Status AttendRows(const KernelTable& kernels, Workers* workers, const RowLayout& layout, int layer, int heads,
                        int head_dim, absl::Span<const int32_t> kv_map, const Tensor& q, const Tensor& out) {
  if (heads < 1 || head_dim < 1 || (!kv_map.empty() && static_cast<int>(kv_map.size()) != heads)) {
    return absl::InternalError(absl::StrCat(heads, " heads of ", head_dim, " with a K/V map of ", kv_map.size()));
  }
  std::vector<Task> tasks;
  for (const RowLayout::Group& group : layout.groups) {
    const int64_t kv_heads = group.slot->keys.columns / head_dim;
    for (int h = 0; h < heads; ++h) {
      const int64_t kv_head =
          kv_map.empty() ? (kv_heads == 0 ? 0 : h / std::max<int64_t>(1, heads / kv_heads)) : kv_map[h];
      if (kv_head < 0 || kv_head >= kv_heads) {
        return absl::InternalError(absl::StrCat("head ", h, " reads K/V head ", kv_head, " of ", kv_heads));
      }
    }
    for (int64_t begin = group.begin; begin < group.end; begin += kAttendRows) {
      tasks.push_back({group.slot, begin, std::min<int64_t>(kAttendRows, group.end - begin)});
    }
  }
  const size_t scratch_size = AttendScratch(head_dim);
  workers->Run(static_cast<int64_t>(tasks.size()) * heads, [&](int64_t index, int) {
    // Kept by its thread: taken and given back by each call it would be mapped, and cleared, anew.
    thread_local std::vector<float> scratch;
    if (scratch.size() < scratch_size) scratch.resize(scratch_size);
    const Task& task = tasks[index / heads];
    const int64_t h = index % heads;
    const Tensor& keys = task.slot->keys;
    const Tensor& values = task.slot->values;
    const int64_t kv_heads = keys.columns / head_dim;
    const int64_t kv_head = kv_map.empty() ? h / std::max<int64_t>(1, heads / kv_heads) : kv_map[h];
    const int64_t first = layer * task.slot->length;
    kernels.attend({
        .dtype = out.dtype,
        .head_dim = head_dim,
        .scale = 1.0f / std::sqrt(static_cast<float>(head_dim)),
        .keys = keys.Rows(first, keys.rows).Columns(kv_head * head_dim, keys.columns).data,
        .values = values.Rows(first, values.rows).Columns(kv_head * head_dim, values.columns).data,
        .kv_stride = keys.stride,
        .horizons = layout.horizons.data() + task.begin,
        .rows = task.rows,
        .queries = q.Rows(task.begin, q.rows).Columns(h * head_dim, q.columns).f32(),
        .query_stride = q.stride,
        .out = out.Rows(task.begin, out.rows).Columns(h * head_dim, out.columns).data,
        .out_stride = out.stride,
        .scratch = scratch.data(),
    });
  });
  return absl::OkStatus();
}

}  // namespace unmask
