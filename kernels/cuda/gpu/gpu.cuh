// What kernels ask of a GPU beyond C++: the block and its warps, tensor cores, copies in flight, rounding. The only
// file with PTX. Kernels see nothing else of the device, so that tests/kernels/emulated/gpu.cuh, which stands in this
// one's place on a CPU, runs the very text of theirs.
#ifndef UNMASK_KERNELS_CUDA_GPU_GPU_CUH_
#define UNMASK_KERNELS_CUDA_GPU_GPU_CUH_

#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>
#include <type_traits>

namespace unmask::gpu {

__device__ inline void SyncBlock() { __syncthreads(); }
__device__ inline void SyncWarp() { __syncwarp(); }
// The value of the lane whose number differs in the bits of `mask`.
__device__ inline float ShuffleXor(float value, int mask) { return __shfl_xor_sync(0xffffffffu, value, mask); }

__device__ inline float Exp(float x) { return expf(x); }
// 2^x within two units in the last place; 0 for -inf.
__device__ inline float Exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

__device__ inline float FromBf16(uint16_t x) { return __uint_as_float(uint32_t{x} << 16); }
__device__ inline uint16_t ToBf16(float x) {
  uint16_t y;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y) : "f"(x));
  return y;
}
// `low` in the lower half.
__device__ inline uint32_t ToBf16Pair(float low, float high) {
  uint32_t y;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
  return y;
}
__device__ inline float FromHalf(uint16_t x) {
  float y;
  asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x));
  return y;
}
__device__ inline uint16_t ToHalf(float x) {
  uint16_t y;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y) : "f"(x));
  return y;
}

// d += a b for a warp: a 16 x 16, b 16 x 8, bf16; d 16 x 8, fp32. Of lane l, with r = l / 4 and c = 2 (l % 4):
// d: (r, c) (r, c+1) (r+8, c) (r+8, c+1); a: pairs of columns at (r, c) (r+8, c) (r, c+8) (r+8, c+8); b: pairs of rows
// at (c, r) (c+8, r).
__device__ inline void MultiplyTile(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Four 8 x 8 matrices of 16-bit elements from shared memory: lanes 8i to 8i+7 name the rows of matrix i. Of lane l,
// tile[i] is the pair of columns at (l / 4, 2 (l % 4)) of matrix i, or the same of its transpose.
__device__ inline void LoadMatrices(uint32_t (&tile)[4], const uint16_t* row) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(tile[0]), "=r"(tile[1]), "=r"(tile[2]), "=r"(tile[3])
               : "r"(address)
               : "memory");
}
__device__ inline void LoadMatricesTransposed(uint32_t (&tile)[4], const uint16_t* row) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(tile[0]), "=r"(tile[1]), "=r"(tile[2]), "=r"(tile[3])
               : "r"(address)
               : "memory");
}

// 16 bytes to shared memory, in flight until awaited; zeros, and nothing is read, where not `valid`.
__device__ inline void CopyAsync16(void* shared, const void* global, bool valid) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(global), "r"(valid ? 16 : 0)
               : "memory");
}
// Ends a group of copies; all but the last `kGroups` groups of this thread have arrived.
__device__ inline void CommitCopies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kGroups>
__device__ inline void AwaitCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroups) : "memory");
}

// A grid of no blocks is nothing to do.
template <typename... Parameters>
cudaError_t Launch(void (*kernel)(Parameters...), dim3 grid, int threads, cudaStream_t stream,
                   std::type_identity_t<Parameters>... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return cudaSuccess;
  kernel<<<grid, threads, 0, stream>>>(arguments...);
  return cudaPeekAtLastError();
}

}  // namespace unmask::gpu

#endif  // UNMASK_KERNELS_CUDA_GPU_GPU_CUH_
