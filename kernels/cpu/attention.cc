#include "kernels/cpu/attention.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <vector>

#include "kernels/checks.h"

namespace unmask {
namespace {

// Some rows of one group, for one head.
struct Task {
  const KvSlot* slot;
  int64_t begin;
  int64_t rows;
};

struct alignas(64) CacheLine {
  float floats[16];
};

}  // namespace

absl::Status AttendRows(const KernelTable& kernels, Workers* workers, const RowLayout& layout, int layer, int heads,
                        int head_dim, absl::Span<const int32_t> kv_map, const Tensor& q, const Tensor& out) {
  const absl::StatusOr<std::vector<int32_t>> kv_heads = KvHeads(layout, heads, head_dim, kv_map);
  if (!kv_heads.ok()) return kv_heads.status();
  std::vector<Task> tasks;
  for (const RowLayout::Group& group : layout.groups) {
    for (int64_t begin = group.begin; begin < group.end; begin += kAttendRows) {
      tasks.push_back({group.slot, begin, std::min<int64_t>(kAttendRows, group.end - begin)});
    }
  }
  const size_t scratch_lines = AttendScratch(head_dim) / std::size(CacheLine{}.floats) + 1;
  workers->Run(static_cast<int64_t>(tasks.size()) * heads, [&](int64_t index, int) {
    // Kept by its thread: taken and given back by each call it would be mapped, and cleared, anew.
    thread_local std::vector<CacheLine> scratch;
    if (scratch.size() < scratch_lines) scratch.resize(scratch_lines);
    const Task& task = tasks[index / heads];
    const int64_t h = index % heads;
    const Tensor& keys = task.slot->keys;
    const Tensor& values = task.slot->values;
    const int64_t kv_head = (*kv_heads)[h];
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
        .scratch = scratch.data()->floats,
    });
  });
  return absl::OkStatus();
}

}  // namespace unmask
