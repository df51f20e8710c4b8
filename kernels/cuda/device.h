// The device of one rank and its one stream.
#ifndef UNMASK_KERNELS_CUDA_DEVICE_H_
#define UNMASK_KERNELS_CUDA_DEVICE_H_

#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace unmask::cuda {

class Device {
 public:
  // Ranks of a host take its devices in turn; with more ranks than devices some share one. NOT_FOUND without a device
  // or a driver.
  static absl::StatusOr<std::unique_ptr<Device>> Open(int host_rank, int host_ranks);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  cudaStream_t stream() const { return stream_; }
  // "sm_90 NVIDIA H100 80GB HBM3 cuda-13000".
  const std::string& name() const { return name_; }
  // Its place on the host's bus.
  const std::string& bus() const { return bus_; }
  // Bytes left, of which this rank may take its share.
  int64_t FreeMemory() const;

 private:
  Device() = default;

  cudaStream_t stream_ = nullptr;
  std::string name_;
  std::string bus_;
  int sharers_ = 1;  // Ranks on this device.
};

}  // namespace unmask::cuda

#endif  // UNMASK_KERNELS_CUDA_DEVICE_H_
