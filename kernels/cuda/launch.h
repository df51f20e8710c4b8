// The kernels, as functions that start them on a stream. Arguments are plain structs without padding: equal calls are
// equal bytes (program.h). Pointers are to device memory; strides count elements.
#ifndef UNMASK_KERNELS_CUDA_LAUNCH_H_
#define UNMASK_KERNELS_CUDA_LAUNCH_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/candidate.h"
#include "kernels/tensor.h"

namespace unmask::cuda {

// --- rows.cu

struct EmbedArgs {
  const void* table;
  const int32_t* tokens;
  float* out;
  int64_t table_rows, table_stride, out_stride, rows, columns;
  DType dtype;  // Of the table.
  int32_t first_token;
};
cudaError_t LaunchEmbed(const EmbedArgs& args, cudaStream_t stream);

struct RmsNormArgs {
  float* in;           // Becomes in + delta first, where there is one.
  const float* delta;  // Null: none.
  const float* weight;
  void* out;
  int64_t in_stride, delta_stride, out_stride, rows, columns;
  DType dtype;  // Of out.
  float epsilon;
};
cudaError_t LaunchRmsNorm(const RmsNormArgs& args, cudaStream_t stream);

struct SwiGluArgs {
  const float* gate_up;
  void* out;
  int64_t in_stride, out_stride, rows, columns;
  DType dtype;  // Of out.
  int32_t unused = 0;
};
cudaError_t LaunchSwiGlu(const SwiGluArgs& args, cudaStream_t stream);

struct AddArgs {
  const float* delta;
  float* sum;
  int64_t delta_stride, sum_stride, rows, columns;
};
cudaError_t LaunchAdd(const AddArgs& args, cudaStream_t stream);

// --- copies.cu

struct TakeRowsArgs {
  const void* in;
  const int32_t* from;  // Row numbers of `in`.
  void* out;
  int64_t in_stride, out_stride, rows, columns;
  DType dtype;
  int32_t unused = 0;
};
cudaError_t LaunchTakeRows(const TakeRowsArgs& args, cudaStream_t stream);

struct ConvertArgs {
  const void* in;
  void* out;
  int64_t in_stride, out_stride, rows, columns;
  DType from, to;
};
cudaError_t LaunchConvert(const ConvertArgs& args, cudaStream_t stream);

// sum[i] = addends[0][i] + addends[1][i] + …, in that order.
struct SumInOrderArgs {
  const float* addends;  // Part p at addends + p * stride.
  float* sum;
  int64_t stride, count, parts;
};
cudaError_t LaunchSumInOrder(const SumInOrderArgs& args, cudaStream_t stream);

// --- rotate.cu, attention_*.cu

// A KvSlot on the device.
struct DeviceSlot {
  void* keys;
  void* values;
  int64_t key_stride, value_stride, length;
};

// A RowLayout on the device.
struct DeviceLayout {
  const int32_t* positions;
  const int32_t* horizons;
  const int32_t* slot_of;  // Of each row; -1: none.
  const DeviceSlot* slots;
};

struct RotateArgs {
  DeviceLayout layout;
  const float* cosines;  // (positions, head_dim / 2)
  const float* sines;
  float* qkv;
  int64_t stride, rows;
  int32_t layer, heads, kv_heads, head_dim;
  DType dtype;  // Of the K/V.
  int32_t unused = 0;
};
cudaError_t LaunchRotate(const RotateArgs& args, cudaStream_t stream);

// Up to kTileRows consecutive rows of one slot.
struct AttendTile {
  int32_t begin, end, slot;
};
constexpr int kTileRows = 64;

struct AttendArgs {
  DeviceLayout layout;
  const AttendTile* tiles;
  const int32_t* kv_head_of;  // Of each query head.
  const float* q;
  void* out;
  int64_t q_stride, out_stride, rows, tile_count;
  int32_t layer, heads, head_dim;
  DType dtype;  // Of K/V and out.
};
// On the tensor cores: bf16, head_dim 64 or 128, K/V and their strides aligned to 16 bytes. Queries and weights are
// rounded to bf16.
cudaError_t LaunchAttendTiles(const AttendArgs& args, cudaStream_t stream);
// Anything else, in fp32; head_dim at most kMaxHeadDim.
cudaError_t LaunchAttendRows(const AttendArgs& args, cudaStream_t stream);
constexpr int kMaxHeadDim = 256;

// --- scan.cu

// One SampleSpec on the device. Rows are of the logits given.
struct ScanSpec {
  uint64_t seed;
  const int32_t* suppressed;
  const int32_t* unconfident;
  int32_t suppressed_count, unconfident_count;
  int32_t row, unconditional_row;
  uint32_t noise_step, position;
  float cfg_scale, temperature;
  int32_t token_bound, asked;
};

// Logits of ids [first, first + count) of a rank whose ids begin with first_token, reduced to records of ranges of
// kScanRange ids. Ranges begin at multiples of kScanRange less first_token % 4: a block draws whole groups of noise.
struct ScanArgs {
  const float* logits;
  const ScanSpec* specs;
  CandidateRecord* records;  // Spec i, range r at i * ranges + r.
  int64_t stride, count, spec_count;
  int32_t first, first_token;
  int32_t first_range, ranges;  // Of this call's logits, and of all.
};
constexpr int kScanRange = 1024;
cudaError_t LaunchScan(const ScanArgs& args, cudaStream_t stream);

struct MergeArgs {
  const CandidateRecord* records;  // As ScanArgs has them.
  CandidateRecord* merged;         // One a spec.
  int64_t spec_count, ranges;
};
cudaError_t LaunchMerge(const MergeArgs& args, cudaStream_t stream);

}  // namespace unmask::cuda

#endif  // UNMASK_KERNELS_CUDA_LAUNCH_H_
