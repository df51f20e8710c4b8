#include "kernels/cuda/layouts.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace unmask::cuda {
namespace {

bool RowsAligned(const Tensor& tensor) {
  return reinterpret_cast<uintptr_t>(tensor.data) % 16 == 0 && tensor.stride * ByteSize(tensor.dtype) % 16 == 0;
}

bool Equal(const std::vector<DeviceSlot>& a, const std::vector<DeviceSlot>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(DeviceSlot)) == 0);
}

}  // namespace

int64_t Layouts::DataBytes(const RowLayout& layout) {
  const auto rows = static_cast<int64_t>(layout.positions.size()), groups = static_cast<int64_t>(layout.groups.size());
  const int64_t tiles = rows / kTileRows + groups;
  return rows * 3 * sizeof(int32_t) + groups * sizeof(DeviceSlot) + tiles * sizeof(AttendTile);
}

const StagedLayout& Layouts::Stage(const RowLayout& layout, int64_t rows, StepData* data) {
  std::vector<DeviceSlot> slots;
  std::vector<int32_t> slot_of(rows, -1);
  std::vector<AttendTile> tiles;
  bool aligned = true;
  for (const RowLayout::Group& group : layout.groups) {
    const auto number = static_cast<int32_t>(slots.size());
    const KvSlot& slot = *group.slot;
    slots.push_back({slot.keys.data, slot.values.data, slot.keys.stride, slot.values.stride, slot.length});
    aligned = aligned && RowsAligned(slot.keys) && RowsAligned(slot.values);
    std::fill(slot_of.begin() + group.begin, slot_of.begin() + group.end, number);
    for (int32_t begin = group.begin; begin < group.end; begin += kTileRows) {
      tiles.push_back({begin, std::min(begin + kTileRows, group.end), number});
    }
  }
  const absl::Span<const int32_t> positions(layout.positions.data(), rows), horizons(layout.horizons.data(), rows);
  if (known_ && positions == absl::MakeConstSpan(positions_) && horizons == absl::MakeConstSpan(horizons_) &&
      slot_of == slot_of_ && Equal(slots, slots_)) {
    return staged_;
  }
  positions_.assign(positions.begin(), positions.end());
  horizons_.assign(horizons.begin(), horizons.end());
  slot_of_ = std::move(slot_of);
  slots_ = std::move(slots);
  staged_.device.positions = data->Put(positions);
  staged_.device.horizons = data->Put(horizons);
  staged_.device.slot_of = data->Put(absl::MakeConstSpan(slot_of_));
  staged_.device.slots = data->Put(absl::MakeConstSpan(slots_));
  staged_.tiles = data->Put(absl::MakeConstSpan(tiles));
  staged_.tile_count = static_cast<int64_t>(tiles.size());
  staged_.aligned = aligned;
  known_ = true;
  return staged_;
}

}  // namespace unmask::cuda
