// The head: logits of the sampled rows, some thousand ids at a time, in scratch memory that stays in the second-level
// cache, and their records. The logits never exist whole.
#ifndef UNMASK_KERNELS_CUDA_HEAD_H_
#define UNMASK_KERNELS_CUDA_HEAD_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "kernels/backend.h"
#include "kernels/cuda/device_memory.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/program.h"
#include "kernels/cuda/step_data.h"

namespace unmask::cuda {

// This rank's part of the head, on the device.
struct HeadMatrix {
  const void* data = nullptr;  // (ids, depth) without gaps.
  int64_t ids = 0;
  int64_t depth = 0;
  DType dtype = DType::kF32;
};

class Head {
 public:
  // How many of the specs, at least one, Pick takes at a time; the bytes and pieces that it puts to StepData for them.
  static size_t TileSize(absl::Span<const SampleSpec> specs);
  static int64_t DataBytes(absl::Span<const SampleSpec> tile);
  static int DataPieces(absl::Span<const SampleSpec> tile) { return 2 * static_cast<int>(tile.size()) + 2; }

  // Scratch memory for a matrix. Nothing that the stream has not been given yet may count on the old one.
  bool HasRoomFor(const HeadMatrix& head, int32_t first_token) const;
  absl::Status MakeRoomFor(const HeadMatrix& head, int32_t first_token, cudaStream_t stream);

  // Writes down the work, for which there is room. records: pinned host memory, one a spec, written once the work is
  // done.
  absl::Status Pick(const Tensor& hidden, const HeadMatrix& head, int32_t first_token,
                    absl::Span<const SampleSpec> tile, CandidateRecord* records, Gemm* gemm, StepData* data,
                    Program* program);

 private:
  int64_t depth_bytes_ = 0;  // Of a row that the scratch has room for.
  int64_t ranges_ = 0;
  DeviceMemory rows_;     // The hidden states of a tile's specs, both branches.
  DeviceMemory logits_;   // Of those rows, for one part of the ids.
  DeviceMemory records_;  // One a spec and range.
  DeviceMemory merged_;   // One a spec.
};

}  // namespace unmask::cuda

#endif  // UNMASK_KERNELS_CUDA_HEAD_H_
