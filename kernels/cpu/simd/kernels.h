// What the sources of this folder define for the table, once an instruction set.
#ifndef UNMASK_KERNELS_CPU_SIMD_KERNELS_H_
#define UNMASK_KERNELS_CPU_SIMD_KERNELS_H_

#include "kernels/cpu/kernel_table.h"

namespace unmask::UNMASK_ISA {

void Widen(DType from, const void* in, int64_t n, float* out);
void Narrow(const float* in, int64_t n, DType to, void* out);
void AddInto(const float* delta, int64_t n, float* sum);
void RmsNorm(const float* in, const float* weight, float epsilon, int64_t n, DType to, void* out);
void Rotate(const float* x, const float* cosines, const float* sines, int64_t half, DType to, void* out);
void SwiGlu(const float* gate, const float* up, int64_t n, DType to, void* out);
void Attend(const AttendTask& task);
void Multiply(const MultiplyTask& task);
void MultiplyTiles(const TileProductTask& task);
void PackTiles(const void* rows, int64_t outputs, int64_t row_bytes, void* packed);
float Quantize(DType from, const void* in, int64_t n, int8_t* out);
void Dequantize(const int32_t* sums, const float* column_scales, float row_scale, int64_t n, float* out);
void MultiplyInt8(const int8_t* in, int64_t rows, int64_t depth, const int8_t* weights, int64_t outputs, int32_t* out);
void GumbelNoise(uint64_t seed, uint32_t step, uint32_t position, int32_t first_id, int64_t count, float* out);
// Whether logit / temperature + noise may be >= least for one of the 4 kLanes ids from first_id on: false only if it is
// not. At a fraction of their noise's cost: of each four ids that share a Philox counter it takes the largest logit and
// the logarithms of the largest word, with which noise grows.
bool ScoreReaches(uint64_t seed, uint32_t step, uint32_t position, int32_t first_id, const float* logits,
                  float temperature, float least);
void Scan(const ScanTask& task, CandidateRecord* record);

extern const KernelTable kKernels;

}  // namespace unmask::UNMASK_ISA

#endif  // UNMASK_KERNELS_CPU_SIMD_KERNELS_H_
