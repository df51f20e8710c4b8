// Host matrices, usually pages of a mapped checkpoint, to device memory: threads copy rows into pinned memory, from
// where the device fetches them while the threads fill the other half; what is stored in another type is converted
// there.
#ifndef UNMASK_KERNELS_CUDA_LOADER_H_
#define UNMASK_KERNELS_CUDA_LOADER_H_

#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/cpu/workers.h"
#include "kernels/cuda/device_memory.h"
#include "kernels/tensor.h"

namespace unmask::cuda {

class Loader {
 public:
  static absl::StatusOr<std::unique_ptr<Loader>> Make(int threads, cudaStream_t stream);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  // device = host, of equal shape. `host` is read during the call only; the device has it in the stream's order.
  absl::Status Load(const Tensor& host, const Tensor& device);

 private:
  struct Half {
    PinnedMemory host;
    DeviceMemory device;  // As stored, before conversion.
    cudaEvent_t fetched = nullptr;
  };

  Loader(int threads, cudaStream_t stream) : workers_(threads, [] {}), stream_(stream) {}
  absl::Status LoadRows(const Tensor& host, const Tensor& device, Half* half);

  Workers workers_;
  const cudaStream_t stream_;
  Half halves_[2];
  int next_ = 0;
};

}  // namespace unmask::cuda

#endif  // UNMASK_KERNELS_CUDA_LOADER_H_
