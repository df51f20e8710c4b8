// The rotary cosines and sines (kernels/angles.h) on the device.
#ifndef UNMASK_KERNELS_CUDA_ROTARY_TABLE_H_
#define UNMASK_KERNELS_CUDA_ROTARY_TABLE_H_

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "base/status.h"
#include "kernels/angles.h"
#include "kernels/cuda/device_memory.h"

namespace unmask::cuda {

class RotaryTable {
 public:
  bool Holds(float theta, int head_dim, int64_t positions) const {
    return theta == theta_ && head_dim == head_dim_ && positions <= positions_;
  }

  // Nothing that the stream has not been given yet may count on what the table held.
  absl::Status Grow(float theta, int head_dim, int64_t positions, cudaStream_t stream) {
    const bool same = theta == theta_ && head_dim == head_dim_;
    const int64_t grown = std::max(positions, same ? 2 * positions_ : int64_t{512});
    angles_.Grow(theta, head_dim, grown);
    const int64_t bytes = grown * (head_dim / 2) * static_cast<int64_t>(sizeof(float));
    for (const auto& [memory, from] :
         {std::pair(&cosines_, angles_.Cosines(0)), std::pair(&sines_, angles_.Sines(0))}) {
      UNMASK_ASSIGN_OR_RETURN(*memory, DeviceMemory::Allocate(bytes, stream));
      UNMASK_RETURN_IF_ERROR(
          ToStatus(cudaMemcpyAsync(memory->data(), from, bytes, cudaMemcpyHostToDevice, stream), "copying angles"));
    }
    theta_ = theta;
    head_dim_ = head_dim;
    positions_ = grown;
    return ToStatus(cudaStreamSynchronize(stream), "copying angles");
  }

  const float* cosines() const { return cosines_.as<float>(); }
  const float* sines() const { return sines_.as<float>(); }

 private:
  AngleTable angles_;
  DeviceMemory cosines_;  // (positions, head_dim / 2)
  DeviceMemory sines_;
  float theta_ = 0;
  int head_dim_ = 0;
  int64_t positions_ = 0;
};

}  // namespace unmask::cuda

#endif  // UNMASK_KERNELS_CUDA_ROTARY_TABLE_H_
