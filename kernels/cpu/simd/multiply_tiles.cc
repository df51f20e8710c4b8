// out = in * weights^T by the tiles of AMX: bf16 numbers with sums in fp32, or int8 with sums in int32, which are as
// large in bytes. Each sum goes in ascending order of inputs whatever the number of rows, and a row of a tile is a row
// of the output, so that no row knows of another.
//
// Two tiles of rows by two of outputs stay in registers while the inputs stream by. A strip of 32 outputs is taken for
// all rows before the next, and at most kChunk bytes of inputs of it at a time: they stay in the first-level cache, so
// that rows alone come from the second.
#include <immintrin.h>

#include "kernels/cpu/simd/kernels.h"
#include "kernels/cpu/simd/simd.h"
#include "kernels/cpu/simd/tile_config.h"
#include "kernels/cpu/simd/transpose.h"

namespace unmask::UNMASK_ISA {
namespace {

constexpr int64_t kChunk = 1024;
constexpr int64_t kNear = 25 << 10;               // Bytes: half of a first-level cache.
constexpr int64_t kStep = 64;                     // Bytes of a tile's row.
constexpr int64_t kStepWeights = 2 * 16 * kStep;  // Bytes that a strip has for a step.
static_assert(kLanes == 16);

// Tiles 0 to 3 += tiles 4, 5 of rows * tiles 6, 7 of weights.
template <bool kInt8, bool kTwo>
UNMASK_INLINE void Accumulate(const char* rows, int64_t stride, const char* weights) {
  _tile_loadd(4, rows, stride);
  _tile_loadd(6, weights, 64);
  _tile_loadd(7, weights + 16 * kStep, 64);
  if constexpr (kTwo) _tile_loadd(5, rows + 16 * stride, stride);
  if constexpr (kInt8) {
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
    if constexpr (kTwo) {
      _tile_dpbssd(2, 5, 6);
      _tile_dpbssd(3, 5, 7);
    }
  } else {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    if constexpr (kTwo) {
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
}

// Weights that will be needed soon, step for step: cache lines [begin, end) of each.
struct Ahead {
  const char* weights;
  int64_t begin;
  int64_t end;
};

// Steps [begin, end) of one strip's product with up to 32 rows; `first` names the first of them.
template <bool kInt8, bool kTwo>
void Block(const TileProductTask& task, int64_t first, int64_t rows, int64_t strip, int64_t begin, int64_t end,
           const Ahead& ahead) {
  const int64_t steps = (task.depth_bytes + kStep - 1) / kStep;
  const char* in = static_cast<const char*>(task.in) + first * task.depth_bytes;
  const char* weights = static_cast<const char*>(task.weights) + strip * steps * kStepWeights;
  char* out = static_cast<char*>(task.out) + 4 * (first * task.out_stride + strip * kTileStrip);
  int64_t out_bytes = 4 * task.out_stride;
  // A strip that ends within its tiles goes by a buffer.
  const int64_t left = task.outputs - strip * kTileStrip;
  alignas(64) char buffer[32 * 4 * kTileStrip];
  char* to = out;
  if (left < kTileStrip) {
    to = buffer;
    out_bytes = 4 * kTileStrip;
    for (int64_t r = 0; begin > 0 && r < rows; ++r) {
      __builtin_memcpy(buffer + r * out_bytes, out + 4 * r * task.out_stride, 4 * left);
    }
  }
  FinishStores();
  if (begin == 0) {
    _tile_zero(0);
    _tile_zero(1);
    if constexpr (kTwo) {
      _tile_zero(2);
      _tile_zero(3);
    }
  } else {
    _tile_loadd(0, to, out_bytes);
    _tile_loadd(1, to + 64, out_bytes);
    if constexpr (kTwo) {
      _tile_loadd(2, to + 16 * out_bytes, out_bytes);
      _tile_loadd(3, to + 16 * out_bytes + 64, out_bytes);
    }
  }
  const int64_t whole = task.depth_bytes / kStep < end ? task.depth_bytes / kStep : end;
  for (int64_t step = begin; step < whole; ++step) {
    const char* soon = ahead.weights + (step - begin) * kStepWeights;
    for (int64_t line = ahead.begin; line < ahead.end; ++line) _mm_prefetch(soon + line * 64, _MM_HINT_T1);
    Accumulate<kInt8, kTwo>(in + step * kStep, task.depth_bytes, weights + step * kStepWeights);
  }
  if (whole < end) {  // Inputs that end within a step: what lies beyond may be anything.
    alignas(64) char rest[32 * kStep] = {};
    for (int64_t r = 0; r < rows; ++r) {
      __builtin_memcpy(rest + r * kStep, in + r * task.depth_bytes + whole * kStep, task.depth_bytes - whole * kStep);
    }
    FinishStores();
    Accumulate<kInt8, kTwo>(rest, kStep, weights + whole * kStepWeights);
  }
  _tile_stored(0, to, out_bytes);
  _tile_stored(1, to + 64, out_bytes);
  if constexpr (kTwo) {
    _tile_stored(2, to + 16 * out_bytes, out_bytes);
    _tile_stored(3, to + 16 * out_bytes + 64, out_bytes);
  }
  for (int64_t r = 0; to == buffer && r < rows; ++r) {
    __builtin_memcpy(out + 4 * r * task.out_stride, buffer + r * out_bytes, 4 * left);
  }
}

// Rows [begin, end), which all have the same pair of tiles.
template <bool kInt8, bool kTwo>
void Sweep(const TileProductTask& task, int64_t begin, int64_t end, int64_t pair) {
  const int64_t steps = (task.depth_bytes + kStep - 1) / kStep;
  const int64_t chunk = end - begin > pair ? kChunk / kStep : steps;
  const int64_t strips = (task.outputs + kTileStrip - 1) / kTileStrip;
  for (int64_t from = 0; from < steps; from += chunk) {
    const int64_t to = from + chunk < steps ? from + chunk : steps;
    for (int64_t strip = 0; strip < strips; ++strip) {
      // The rows of a strip share the work of asking for the next one's weights.
      constexpr int64_t kLines = kStepWeights / 64;
      Ahead ahead{.weights = static_cast<const char*>(task.weights) + ((strip + 1) * steps + from) * kStepWeights,
                  .begin = 0,
                  .end = 0};
      for (int64_t r = begin; r < end; r += pair) {
        ahead.begin = ahead.end;
        if (strip + 1 < strips) ahead.end = kLines * (r + pair - begin) / (end - begin);
        Block<kInt8, kTwo>(task, r, pair, strip, from, to, ahead);
      }
    }
  }
}

// The same; of rows so short that some of them stay in the first-level cache beside a strip, these are taken for all
// strips before the next.
template <bool kInt8, bool kTwo>
void Rows(const TileProductTask& task, int64_t begin, int64_t end, int64_t pair) {
  const int64_t near = kNear / task.depth_bytes / pair * pair;
  const int64_t some = near > 0 ? near : end - begin;
  for (int64_t r = begin; r < end; r += some) Sweep<kInt8, kTwo>(task, r, r + some < end ? r + some : end, pair);
}

template <bool kInt8>
void MultiplyAs(const TileProductTask& task) {
  const int64_t pairs = task.rows / 32 * 32;
  TileConfig config;
  if (pairs > 0) {
    _tile_loadconfig(&config);
    Rows<kInt8, true>(task, 0, pairs, 32);
  }
  if (const int64_t rest = task.rows - pairs; rest > 16) {
    for (const int tile : {2, 3, 5}) config.rows[tile] = static_cast<uint8_t>(rest - 16);
    _tile_loadconfig(&config);
    Rows<kInt8, true>(task, pairs, task.rows, rest);
  } else if (rest > 0) {
    for (const int tile : {0, 1, 4}) config.rows[tile] = static_cast<uint8_t>(rest);
    _tile_loadconfig(&config);
    Rows<kInt8, false>(task, pairs, task.rows, rest);
  }
  _tile_release();
}

}  // namespace

void MultiplyTiles(const TileProductTask& task) {
  if (task.int8) return MultiplyAs<true>(task);
  MultiplyAs<false>(task);
}

void PackTiles(const void* rows, int64_t outputs, int64_t row_bytes, void* packed) {
  const int64_t steps = (row_bytes + kStep - 1) / kStep;
  for (int64_t first = 0; first < outputs; first += 16) {
    for (int64_t step = 0; step < steps; ++step) {
      const int64_t part = row_bytes - step * kStep;
      F32 square[kLanes];  // Of each output: inputs, four bytes a lane.
      for (int64_t o = 0; o < 16; ++o) {
        alignas(64) char some[kStep] = {};
        if (first + o < outputs) {
          const char* from = static_cast<const char*>(rows) + (first + o) * row_bytes + step * kStep;
          __builtin_memcpy(some, from, part < kStep ? part : kStep);
        }
        square[o] = LoadAs<F32>(some);
      }
      const int64_t strip = first / kTileStrip, half = first / 16 % 2;
      StoreTransposed(square, static_cast<char*>(packed) + (strip * steps + step) * kStepWeights + half * 16 * kStep);
    }
  }
}

}  // namespace unmask::UNMASK_ISA
