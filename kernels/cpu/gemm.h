// Matrix products by panels: a weight is cut into panels of a fixed number of outputs, each packed once and multiplied
// by one thread at a time. Which thread, and how many there are, therefore changes nothing; that a row's bits do not
// depend on the rows beside it is each implementation's own promise.
#ifndef UNMASK_KERNELS_CPU_GEMM_H_
#define UNMASK_KERNELS_CPU_GEMM_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/cpu/kernel_table.h"
#include "kernels/tensor.h"

namespace unmask {

constexpr int64_t kPanelOutputs = 256;  // Enough work for a call, few enough that 16 threads share a 4096-wide layer.
constexpr int64_t kGemmRows = 128;  // Rows of one call at most: the weights of a panel stay in the cache between calls.

constexpr int64_t RoundUp(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

// Rows cut into as few blocks of at most kGemmRows as there can be, as even as multiples of 32 allow.
struct RowBlocks {
  explicit RowBlocks(int64_t all)
      : count((all + kGemmRows - 1) / kGemmRows), rows(std::min(all, RoundUp((all + count - 1) / count, 32))) {}
  int64_t Begin(int64_t block) const { return block * rows; }

  const int64_t count;
  const int64_t rows;  // Of each but the last, which has what is left.
};

// Some outputs of a weight, packed.
class GemmPanel {
 public:
  virtual ~GemmPanel() = default;
  virtual int64_t bytes() const = 0;
  // out = in * panel^T, by any thread: `worker` is one of those asked for, and no two threads are the same at once.
  // in: (rows <= kGemmRows, inputs) compute dtype, without gaps. out: (rows, outputs of the panel) fp32.
  virtual absl::Status Multiply(const void* in, const Tensor& out, int worker) = 0;
};

class Gemm {
 public:
  virtual ~Gemm() = default;
  // What decides bits: "onednn-2.6.3/avx512_core_amx".
  virtual std::string Name() const = 0;
  // Packs (outputs <= kPanelOutputs, inputs) fp32 weights, by any thread. UNIMPLEMENTED where this Gemm would not keep
  // its promise for the shape.
  virtual absl::StatusOr<std::unique_ptr<GemmPanel>> Pack(const float* weights, int64_t outputs, int64_t inputs) = 0;
};

// Our own, on every machine and for both compute dtypes.
std::unique_ptr<Gemm> MakeSimdGemm(const KernelTable* kernels, DType compute_dtype, int workers);

// By AMX's tiles, bf16. `kernels` has multiply_tiles.
std::unique_ptr<Gemm> MakeTileGemm(const KernelTable* kernels);

// oneDNN's; UNIMPLEMENTED where it lacks the dtype on this machine.
absl::StatusOr<std::unique_ptr<Gemm>> MakeOneDnnGemm(DType compute_dtype, int workers);

// For each thread before it calls oneDNN: no OpenMP threads below ours.
void KeepOneDnnToThisThread();

}  // namespace unmask

#endif  // UNMASK_KERNELS_CPU_GEMM_H_
