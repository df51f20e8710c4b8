// What operations know only on the host (tokens, layouts, specs): gathered in pinned memory as the operations are
// written down, and copied to the device in one piece before they begin.
#ifndef UNMASK_KERNELS_CUDA_STEP_DATA_H_
#define UNMASK_KERNELS_CUDA_STEP_DATA_H_

#include <cuda_runtime_api.h>

#include <cstdint>
#include <cstring>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/status.h"
#include "kernels/cuda/device_memory.h"

namespace unmask::cuda {

class StepData {
 public:
  static absl::StatusOr<StepData> Make(int64_t capacity, cudaStream_t stream) {
    StepData data;
    UNMASK_ASSIGN_OR_RETURN(data.host_, PinnedMemory::Allocate(capacity));
    UNMASK_ASSIGN_OR_RETURN(data.device_, DeviceMemory::Allocate(capacity, stream));
    data.capacity_ = capacity;
    return data;
  }

  // Whether `bytes` more, in `pieces` pieces, fit.
  bool Fits(int64_t bytes, int pieces) const { return used_ + bytes + pieces * kAlignment <= capacity_; }

  // Where the values will lie on the device; they must fit. The same sizes in the same order lie at the same places.
  template <typename T>
  const T* Put(absl::Span<const T> values) {
    const int64_t at = used_;
    if (!values.empty()) std::memcpy(host_.data() + at, values.data(), values.size() * sizeof(T));
    used_ += (static_cast<int64_t>(values.size() * sizeof(T)) + kAlignment - 1) / kAlignment * kAlignment;
    return reinterpret_cast<const T*>(device_.as<char>() + at);
  }

  // Copies what was put since the last time.
  absl::Status Send(cudaStream_t stream) {
    const int64_t from = std::exchange(sent_, used_);
    if (from == used_) return absl::OkStatus();
    return ToStatus(
        cudaMemcpyAsync(device_.as<char>() + from, host_.data() + from, used_ - from, cudaMemcpyHostToDevice, stream),
        "copying a step's data");
  }

  // Once the stream has done with all of it.
  void Clear() { used_ = sent_ = 0; }

 private:
  static constexpr int64_t kAlignment = 64;

  PinnedMemory host_;
  DeviceMemory device_;
  int64_t capacity_ = 0;
  int64_t used_ = 0;
  int64_t sent_ = 0;
};

}  // namespace unmask::cuda

#endif  // UNMASK_KERNELS_CUDA_STEP_DATA_H_
