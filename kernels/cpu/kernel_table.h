// The hot loops, once an instruction set, as plain functions in a table: chosen by cpuid when the backend opens. They
// are serial; who calls them splits the work over threads (workers.h). None allocates, throws or keeps state.
#ifndef UNMASK_KERNELS_CPU_KERNEL_TABLE_H_
#define UNMASK_KERNELS_CPU_KERNEL_TABLE_H_

#include <cstdint>

#include "kernels/tensor.h"

namespace unmask {

// Keys and values of one head of one layer, in memory order of the K/V cache.
struct AttendTask {
  DType dtype;  // Of keys, values and out: kF32 or kBf16.
  int64_t head_dim;
  float scale;       // 1 / sqrt(head_dim)
  const void* keys;  // Position p at keys + p * kv_stride elements.
  const void* values;
  int64_t kv_stride;
  const int32_t* horizons;  // Of each of the `rows` query rows; none beyond the slot's length.
  int64_t rows;             // At most kAttendRows.
  const float* queries;     // Row r at queries + r * query_stride.
  int64_t query_stride;
  void* out;  // Row r at out + r * out_stride elements.
  int64_t out_stride;
  float* scratch;  // AttendScratch(head_dim) floats; quickest when aligned to 64 bytes.
};
constexpr int64_t kAttendRows = 64;  // Query rows of a task: they share the packed keys.
constexpr int64_t kAttendKeys = 64;  // Keys of a block: each row folds its keys in blocks from position 0.

constexpr int64_t PaddedToVector(int64_t n) { return (n + 15) / 16 * 16; }
// Keys transposed, values, the scores of a few rows, and each row's running output, maximum and sum. attend_tiles.cc
// asks for less.
constexpr int64_t AttendScratch(int64_t head_dim) {
  return 2 * kAttendKeys * PaddedToVector(head_dim) + kAttendRows * kAttendKeys +
         kAttendRows * PaddedToVector(head_dim) + 2 * kAttendRows;
}

// One row's logits over a range of ids, to be reduced to a record. `logits` is overwritten.
struct ScanTask {
  float* logits;               // [count], room for PaddedToVector(count).
  const float* unconditional;  // The same ids' logits of the guidance row; null: none.
  float cfg_scale;
  int64_t count;
  int32_t first_id;  // Of logits[0].
  float temperature;
  uint64_t seed;
  uint32_t noise_step;
  uint32_t position;
  const int32_t* suppressed;
  int64_t suppressed_count;
  int32_t token_bound;  // 0: none.
  const int32_t* unconfident;
  int64_t unconfident_count;
  int32_t asked;  // -1: none.
};

// out[r][j] = sum_i in[r][i] * weight[i][j] for `rows` rows and one panel of columns; the weight as PackPanel made it.
struct MultiplyTask {
  DType dtype;     // Of in and weight.
  const void* in;  // Row r at in + r * in_stride elements.
  int64_t in_stride;
  int64_t rows;
  int64_t depth;      // Inputs.
  const void* panel;  // [depth][panel_columns]
  int64_t columns;    // Outputs wanted, <= panel_columns.
  float* out;         // Row r at out + r * out_stride.
  int64_t out_stride;
  float* scratch;  // kMultiplyRows * depth floats.
};
constexpr int64_t kMultiplyRows = 6;

// The same product by AMX's tiles, over any number of outputs: bf16 with sums in fp32, or int8 with sums in int32.
struct TileProductTask {
  bool int8;
  const void* in;  // Rows without gaps.
  int64_t rows;
  int64_t depth_bytes;  // Of a row's inputs.
  const void* weights;  // As PackTiles made them.
  int64_t outputs;
  void* out;  // Row r at out + 4 * r * out_stride bytes.
  int64_t out_stride;
};
constexpr int64_t kTileStrip = 32;  // Outputs that are packed and computed together.
// Bytes of a packed weight: strips of [row_bytes / 64][2][16][16 outputs][4 bytes of inputs], filled up with zeros.
constexpr int64_t PackedTileBytes(int64_t outputs, int64_t row_bytes) {
  return (outputs + kTileStrip - 1) / kTileStrip * ((row_bytes + 63) / 64) * 2048;
}

struct CandidateRecord;

struct KernelTable {
  const char* name;       // The instruction set: "v4".
  int64_t panel_columns;  // Outputs of one panel of Multiply.

  // Conversions of n elements; every DType.
  void (*widen)(DType from, const void* in, int64_t n, float* out);
  void (*narrow)(const float* in, int64_t n, DType to, void* out);
  void (*add)(const float* delta, int64_t n, float* sum);
  void (*rms_norm)(const float* in, const float* weight, float epsilon, int64_t n, DType to, void* out);
  // One head of 2 * half elements. `out` may be x.
  void (*rotate)(const float* x, const float* cosines, const float* sines, int64_t half, DType to, void* out);
  void (*swiglu)(const float* gate, const float* up, int64_t n, DType to, void* out);
  void (*attend)(const AttendTask& task);
  void (*multiply)(const MultiplyTask& task);
  // Null where there are no tiles. rows: those of the weight, without gaps; packed: PackedTileBytes zeros.
  void (*multiply_tiles)(const TileProductTask& task);
  void (*pack_tiles)(const void* rows, int64_t outputs, int64_t row_bytes, void* packed);
  // out = round(in / scale), where the largest element becomes 127 or -127; the scale, NaN for a row that is not
  // finite.
  float (*quantize)(DType from, const void* in, int64_t n, int8_t* out);
  // out = sums * column_scales * row_scale, element by element.
  void (*dequantize)(const int32_t* sums, const float* column_scales, float row_scale, int64_t n, float* out);
  // out = in * weights^T, exact. in: [rows][depth]. weights: [outputs][depth]. out: [rows][outputs].
  void (*multiply_int8)(const int8_t* in, int64_t rows, int64_t depth, const int8_t* weights, int64_t outputs,
                        int32_t* out);
  // The Gumbel noise of ids [first_id, first_id + count).
  void (*gumbel)(uint64_t seed, uint32_t step, uint32_t position, int32_t first_id, int64_t count, float* out);
  void (*scan)(const ScanTask& task, CandidateRecord* record);
};

// The table of the best instruction set this machine has, and all that it has, best first (for tests).
const KernelTable& BestKernels();
constexpr int kMostKernels = 4;
int SupportedKernels(const KernelTable* tables[kMostKernels]);

}  // namespace unmask

#endif  // UNMASK_KERNELS_CPU_KERNEL_TABLE_H_
