// Memory that frees itself: on the device, from the stream's pool, and pinned on the host, which the device copies from
// while the host goes on.
#ifndef UNMASK_KERNELS_CUDA_DEVICE_MEMORY_H_
#define UNMASK_KERNELS_CUDA_DEVICE_MEMORY_H_

#include <cuda_runtime_api.h>

#include <cstdint>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "kernels/cuda/errors.h"

namespace unmask::cuda {

class DeviceMemory {
 public:
  DeviceMemory() = default;
  static absl::StatusOr<DeviceMemory> Allocate(int64_t bytes, cudaStream_t stream) {
    DeviceMemory memory;
    memory.stream_ = stream;
    const cudaError_t error = cudaMallocAsync(&memory.data_, bytes < 1 ? 1 : static_cast<size_t>(bytes), stream);
    if (error != cudaSuccess) return ToStatus(error, absl::StrCat("allocating ", bytes, " bytes of device memory"));
    return memory;
  }
  DeviceMemory(DeviceMemory&& other) noexcept { *this = std::move(other); }
  DeviceMemory& operator=(DeviceMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(stream_, other.stream_);
    return *this;
  }
  // After the work that the stream has been given.
  ~DeviceMemory() {
    if (data_ != nullptr) cudaFreeAsync(data_, stream_);
  }

  void* data() const { return data_; }
  template <typename T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  void* data_ = nullptr;
  cudaStream_t stream_ = nullptr;
};

class PinnedMemory {
 public:
  PinnedMemory() = default;
  static absl::StatusOr<PinnedMemory> Allocate(int64_t bytes) {
    PinnedMemory memory;
    const cudaError_t error = cudaHostAlloc(&memory.data_, static_cast<size_t>(bytes), cudaHostAllocDefault);
    if (error != cudaSuccess) return ToStatus(error, absl::StrCat("pinning ", bytes, " bytes of host memory"));
    return memory;
  }
  PinnedMemory(PinnedMemory&& other) noexcept { *this = std::move(other); }
  PinnedMemory& operator=(PinnedMemory&& other) noexcept {
    std::swap(data_, other.data_);
    return *this;
  }
  ~PinnedMemory() {
    if (data_ != nullptr) cudaFreeHost(data_);
  }

  char* data() const { return static_cast<char*>(data_); }

 private:
  void* data_ = nullptr;
};

}  // namespace unmask::cuda

#endif  // UNMASK_KERNELS_CUDA_DEVICE_MEMORY_H_
