#include "kernels/cuda/device.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "kernels/cuda/errors.h"

namespace unmask::cuda {
namespace {

constexpr int64_t kReserve = int64_t{512} << 20;  // For graphs, libraries and what is taken in a step.
constexpr int kOldest = 80;                       // sm_80: bf16 on tensor cores, and what this build has code for.

}  // namespace

absl::StatusOr<std::unique_ptr<Device>> Device::Open(int host_rank, int host_ranks) {
  int count = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&count); error != cudaSuccess || count == 0) {
    return absl::NotFoundError(
        absl::StrCat("device cuda: no CUDA device on this machine: ",
                     error == cudaSuccess ? "the driver knows none" : cudaGetErrorString(error)));
  }
  std::unique_ptr<Device> device(new Device);
  const int number = host_rank % count;
  device->sharers_ = (host_ranks - number + count - 1) / count;
  UNMASK_RETURN_IF_ERROR(ToStatus(cudaSetDevice(number), absl::StrCat("taking CUDA device ", number)));
  cudaDeviceProp properties;
  UNMASK_RETURN_IF_ERROR(ToStatus(cudaGetDeviceProperties(&properties, number), "asking for a device's properties"));
  const int architecture = 10 * properties.major + properties.minor;
  if (architecture < kOldest) {
    return absl::NotFoundError(
        absl::StrCat("device cuda: ", properties.name, " is sm_", architecture, ", older than sm_", kOldest));
  }
  char bus[32] = {};
  UNMASK_RETURN_IF_ERROR(ToStatus(cudaDeviceGetPCIBusId(bus, sizeof bus, number), "asking for a device's place"));
  device->bus_ = bus;
  int version = 0;
  UNMASK_RETURN_IF_ERROR(ToStatus(cudaRuntimeGetVersion(&version), "asking for CUDA's version"));
  device->name_ = absl::StrCat("sm_", architecture, " ", properties.name, " cuda-", version);
  UNMASK_RETURN_IF_ERROR(
      ToStatus(cudaStreamCreateWithFlags(&device->stream_, cudaStreamNonBlocking), "creating a stream"));
  // Freed memory stays in the pool: K/V slots come and go with the sequences.
  cudaMemPool_t pool;
  UNMASK_RETURN_IF_ERROR(ToStatus(cudaDeviceGetDefaultMemPool(&pool, number), "asking for the memory pool"));
  uint64_t keep = UINT64_MAX;
  UNMASK_RETURN_IF_ERROR(
      ToStatus(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep), "keeping freed memory"));
  return device;
}

Device::~Device() {
  if (stream_ == nullptr) return;
  cudaStreamSynchronize(stream_);
  cudaStreamDestroy(stream_);
}

int64_t Device::FreeMemory() const {
  size_t free = 0, total = 0;
  if (cudaMemGetInfo(&free, &total) != cudaSuccess) return 0;
  return std::max<int64_t>(0, (static_cast<int64_t>(free) - kReserve * sharers_) / sharers_);
}

}  // namespace unmask::cuda
