// Layouts on the device. All layers of a step share one: it is put there once, and found again by its contents.
#ifndef UNMASK_KERNELS_CUDA_LAYOUTS_H_
#define UNMASK_KERNELS_CUDA_LAYOUTS_H_

#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/step_data.h"

namespace unmask::cuda {

struct StagedLayout {
  DeviceLayout device = {};
  const AttendTile* tiles = nullptr;  // On the device.
  int64_t tile_count = 0;
  bool aligned = true;  // Every slot's rows begin at multiples of 16 bytes.
};

class Layouts {
 public:
  // Bytes and pieces that Stage puts to StepData.
  static int64_t DataBytes(const RowLayout& layout);
  static constexpr int kDataPieces = 5;

  // The layout has been checked. Valid until Clear.
  const StagedLayout& Stage(const RowLayout& layout, int64_t rows, StepData* data);

  void Clear() { known_ = false; }

 private:
  bool known_ = false;
  std::vector<int32_t> positions_, horizons_, slot_of_;
  std::vector<DeviceSlot> slots_;
  StagedLayout staged_;
};

}  // namespace unmask::cuda

#endif  // UNMASK_KERNELS_CUDA_LAYOUTS_H_
