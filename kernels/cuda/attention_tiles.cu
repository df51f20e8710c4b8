// softmax(q K^T scale) V of up to 64 query rows of one slot and one head, on the tensor cores (the blocking of
// FlashAttention-2: Dao, 2023). Ragged, bidirectional; every row has a horizon of its own.
//
// A block of four warps; a warp has 16 rows, whose queries stay in registers. Keys and values come in tiles of 64,
// copied while the other of the two is multiplied. A row folds its keys in tiles from position 0: its bits depend on
// its query, its horizon and the keys below it, not on the rows beside it. A key beyond a row's horizon but below that
// of the furthest row of the tile has weight 0; what lies beyond that is not read, and counts as zeros. Bound by the
// tensor cores (4 head_dim flops a key and row) once rows share enough keys, else by reading K/V.
#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/launch.h"

namespace unmask::cuda {
namespace {

constexpr int kWarps = kTileRows / 16;
constexpr int kThreads = 32 * kWarps;
constexpr int kTileKeys = 64;
constexpr float kLog2E = 1.44269504f;

// A tile's rows in shared memory stand 16 bytes apart from a multiple of 128: eight of them lie in different banks.
template <int kHeadDim>
constexpr int kPitch = kHeadDim + 8;

// Begins to copy keys [begin, begin + kTileKeys) below `end`; the others become zero.
template <int kHeadDim>
__device__ void CopyTile(const uint16_t* from, int64_t stride, int32_t begin, int32_t end, uint16_t* tile) {
  constexpr int kPieces = kHeadDim / 8;  // Of 16 bytes, of a row.
  for (int i = threadIdx.x; i < kTileKeys * kPieces; i += kThreads) {
    const int key = i / kPieces, column = i % kPieces * 8;
    const bool valid = begin + key < end;
    gpu::CopyAsync16(tile + key * kPitch<kHeadDim> + column, from + (valid ? begin + key : 0) * stride + column, valid);
  }
  gpu::CommitCopies();
}

// A warp's running softmax over its 16 rows. A lane has two of them, lane / 4 and that + 8, and of each 8 columns two.
template <int kHeadDim>
struct Running {
  float out[kHeadDim / 8][4] = {};  // Unnormalised.
  float maximum[2] = {-INFINITY, -INFINITY};
  float total[2] = {};  // Of this lane's columns alone.
};

// scores = q K^T over one tile.
template <int kHeadDim>
__device__ void Scores(const uint32_t (&query)[kHeadDim / 16][4], const uint16_t* keys,
                       float (&scores)[kTileKeys / 8][4]) {
  const int lane = threadIdx.x % 32;
  // Matrices of one load: keys 0-7 and 8-15, each by columns 0-7 and 8-15.
  const uint16_t* row = keys + (lane / 16 * 8 + lane % 8) * kPitch<kHeadDim> + lane / 8 % 2 * 8;
#pragma unroll
  for (int n = 0; n < kTileKeys / 8; ++n) {
    for (int i = 0; i < 4; ++i) scores[n][i] = 0;
  }
#pragma unroll
  for (int k = 0; k < kHeadDim / 16; ++k) {
#pragma unroll
    for (int n = 0; n < kTileKeys / 8; n += 2) {
      uint32_t key[4];
      gpu::LoadMatrices(key, row + n * 8 * kPitch<kHeadDim> + k * 16);
      gpu::MultiplyTile(scores[n], query[k], key[0], key[1]);
      gpu::MultiplyTile(scores[n + 1], query[k], key[2], key[3]);
    }
  }
}

// Scores become weights e^(score - maximum), which then replace them; what came before is rescaled.
template <int kHeadDim>
__device__ void Soften(float (&scores)[kTileKeys / 8][4], int32_t begin, const int32_t (&horizon)[2], float scale,
                       Running<kHeadDim>* running) {
  const int first_column = begin + threadIdx.x % 4 * 2;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float largest = running->maximum[r];
#pragma unroll
    for (int n = 0; n < kTileKeys / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        float* score = &scores[n][2 * r + i];
        *score = first_column + n * 8 + i < horizon[r] ? *score * scale : -INFINITY;
        largest = fmaxf(largest, *score);
      }
    }
    largest = fmaxf(largest, gpu::ShuffleXor(largest, 1));  // Four lanes share a row.
    largest = fmaxf(largest, gpu::ShuffleXor(largest, 2));
    // Before its first key a row's maximum is -inf: nothing is subtracted, and every weight is e^-inf.
    const float base = largest == -INFINITY ? 0 : largest;
    const float rescale = gpu::Exp2(running->maximum[r] - base);
    running->maximum[r] = largest;
    float total = 0;
#pragma unroll
    for (int n = 0; n < kTileKeys / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        float* score = &scores[n][2 * r + i];
        *score = gpu::Exp2(*score - base);
        total += *score;
      }
    }
    running->total[r] = running->total[r] * rescale + total;
#pragma unroll
    for (int n = 0; n < kHeadDim / 8; ++n) {
      running->out[n][2 * r] *= rescale;
      running->out[n][2 * r + 1] *= rescale;
    }
  }
}

// out += weights V over one tile: two accumulators beside each other are one operand of the next product.
template <int kHeadDim>
__device__ void Mix(const float (&weights)[kTileKeys / 8][4], const uint16_t* values, Running<kHeadDim>* running) {
  const int lane = threadIdx.x % 32;
  // Matrices of one load: keys 0-7 and 8-15 of columns 0-7, then of columns 8-15; transposed.
  const uint16_t* row = values + (lane / 8 % 2 * 8 + lane % 8) * kPitch<kHeadDim> + lane / 16 * 8;
#pragma unroll
  for (int k = 0; k < kTileKeys / 16; ++k) {
    const float(&low)[4] = weights[2 * k];
    const float(&high)[4] = weights[2 * k + 1];
    const uint32_t weight[4] = {gpu::ToBf16Pair(low[0], low[1]), gpu::ToBf16Pair(low[2], low[3]),
                                gpu::ToBf16Pair(high[0], high[1]), gpu::ToBf16Pair(high[2], high[3])};
#pragma unroll
    for (int n = 0; n < kHeadDim / 8; n += 2) {
      uint32_t value[4];
      gpu::LoadMatricesTransposed(value, row + k * 16 * kPitch<kHeadDim> + n * 8);
      gpu::MultiplyTile(running->out[n], weight, value[0], value[1]);
      gpu::MultiplyTile(running->out[n + 1], weight, value[2], value[3]);
    }
  }
}

template <int kHeadDim>
__global__ void __launch_bounds__(kThreads) AttendTilesKernel(const AttendArgs args) {
  alignas(16) __shared__ uint16_t keys[kTileKeys * kPitch<kHeadDim>];
  alignas(16) __shared__ uint16_t values[kTileKeys * kPitch<kHeadDim>];
  const AttendTile tile = args.tiles[blockIdx.x];
  const int32_t head = static_cast<int32_t>(blockIdx.y);
  const DeviceSlot slot = args.layout.slots[tile.slot];
  const int64_t column = int64_t{args.kv_head_of[head]} * kHeadDim;
  const auto* slot_keys = static_cast<const uint16_t*>(slot.keys) + args.layer * slot.length * slot.key_stride + column;
  const auto* slot_values =
      static_cast<const uint16_t*>(slot.values) + args.layer * slot.length * slot.value_stride + column;
  int32_t furthest = 0;
  for (int32_t r = tile.begin; r < tile.end; ++r) {
    if (args.layout.horizons[r] > furthest) furthest = args.layout.horizons[r];
  }

  // This lane's two rows; those beyond the tile's end have no horizon, and are not written.
  const int lane = threadIdx.x % 32;
  const int32_t rows[2] = {tile.begin + static_cast<int32_t>(threadIdx.x / 32 * 16 + lane / 4),
                           tile.begin + static_cast<int32_t>(threadIdx.x / 32 * 16 + lane / 4 + 8)};
  int32_t horizon[2];
  uint32_t query[kHeadDim / 16][4];
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const bool real = rows[r] < tile.end;
    horizon[r] = real ? args.layout.horizons[rows[r]] : 0;
    const float* q = args.q + (real ? rows[r] : tile.begin) * args.q_stride + int64_t{head} * kHeadDim + lane % 4 * 2;
#pragma unroll
    for (int k = 0; k < kHeadDim / 16; ++k) {
      query[k][r] = gpu::ToBf16Pair(q[16 * k], q[16 * k + 1]);
      query[k][r + 2] = gpu::ToBf16Pair(q[16 * k + 8], q[16 * k + 9]);
    }
  }
  const float scale = kLog2E / sqrtf(static_cast<float>(kHeadDim));  // Powers of two are cheaper than of e.

  Running<kHeadDim> running;
  CopyTile<kHeadDim>(slot_keys, slot.key_stride, 0, furthest, keys);
  for (int32_t begin = 0; begin < furthest; begin += kTileKeys) {
    CopyTile<kHeadDim>(slot_values, slot.value_stride, begin, furthest, values);
    gpu::AwaitCopies<1>();
    gpu::SyncBlock();  // The keys are here.
    float scores[kTileKeys / 8][4];
    Scores<kHeadDim>(query, keys, scores);
    gpu::SyncBlock();  // Nobody reads them any more.
    CopyTile<kHeadDim>(slot_keys, slot.key_stride, begin + kTileKeys, furthest, keys);
    Soften<kHeadDim>(scores, begin, horizon, scale, &running);
    gpu::AwaitCopies<1>();
    gpu::SyncBlock();  // The values are here.
    Mix<kHeadDim>(scores, values, &running);
    gpu::SyncBlock();
  }
  gpu::AwaitCopies<0>();

#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float total = running.total[r];
    total += gpu::ShuffleXor(total, 1);
    total += gpu::ShuffleXor(total, 2);
    if (rows[r] >= tile.end) continue;
    const float inverse = total == 0 ? 0 : 1.0f / total;  // A horizon of 0 attends to nothing and yields 0.
    auto* out = static_cast<uint16_t*>(args.out) + rows[r] * args.out_stride + int64_t{head} * kHeadDim + lane % 4 * 2;
#pragma unroll
    for (int n = 0; n < kHeadDim / 8; ++n) {
      out[8 * n] = gpu::ToBf16(running.out[n][2 * r] * inverse);
      out[8 * n + 1] = gpu::ToBf16(running.out[n][2 * r + 1] * inverse);
    }
  }
}

}  // namespace

cudaError_t LaunchAttendTiles(const AttendArgs& args, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(args.tile_count), static_cast<unsigned>(args.heads));
  return args.head_dim == 64 ? gpu::Launch(AttendTilesKernel<64>, grid, kThreads, stream, args)
                             : gpu::Launch(AttendTilesKernel<128>, grid, kThreads, stream, args);
}

}  // namespace unmask::cuda
