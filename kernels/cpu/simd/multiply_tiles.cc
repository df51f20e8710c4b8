// out = in * weights^T by the tiles of AMX: bf16 numbers, each sum in fp32, in ascending order of inputs whatever the
// number of rows. A row of a tile is a row of the output, so that no row knows of another.
//
// Two tiles of rows by two of outputs stay in registers while the inputs stream by. A strip of 32 outputs is taken for
// all rows before the next, and at most kDepth inputs of it at a time: they stay in the first-level cache, so that rows
// alone come from the second.
#include <immintrin.h>

#include "kernels/cpu/simd/kernels.h"
#include "kernels/cpu/simd/simd.h"
#include "kernels/cpu/simd/tile_config.h"
#include "kernels/cpu/simd/transpose.h"

namespace unmask::UNMASK_ISA {
namespace {

constexpr int64_t kDepth = 512;
constexpr int64_t kNearBytes = 25 << 10;  // Half of a first-level cache.
constexpr int64_t kStep = 32;             // Inputs of a tile.
constexpr int64_t kTileNumbers = 512;     // Of bf16.
static_assert(kLanes == 16);

template <bool kTwo>
UNMASK_INLINE void Accumulate(const uint16_t* rows, int64_t stride, const uint16_t* weights) {
  _tile_loadd(4, rows, stride);
  _tile_loadd(6, weights, 64);
  _tile_dpbf16ps(0, 4, 6);
  _tile_loadd(7, weights + kTileNumbers, 64);
  _tile_dpbf16ps(1, 4, 7);
  if constexpr (kTwo) {
    _tile_loadd(5, reinterpret_cast<const char*>(rows) + 16 * stride, stride);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
}

// Weights that will be needed soon, step for step: cache lines [begin, end) of each.
struct Ahead {
  const uint16_t* weights;
  int64_t begin;
  int64_t end;
};

// Steps [begin, end) of one strip's product with up to 32 rows; `first` names the first of them.
template <bool kTwo>
void Block(const TileProductTask& task, int64_t first, int64_t rows, int64_t strip, int64_t begin, int64_t end,
           const Ahead& ahead) {
  const int64_t steps = (task.depth + kStep - 1) / kStep;
  const uint16_t* in = task.in + first * task.in_stride;
  const uint16_t* weights = task.weights + strip * steps * 2 * kTileNumbers;
  float* out = task.out + first * task.out_stride + strip * kTileStrip;
  int64_t out_bytes = 4 * task.out_stride;
  // A strip that ends within its tiles goes by a buffer.
  const int64_t columns =
      task.outputs - strip * kTileStrip < kTileStrip ? task.outputs - strip * kTileStrip : kTileStrip;
  alignas(64) float buffer[32 * kTileStrip];
  float* to = out;
  if (columns < kTileStrip) {
    to = buffer;
    out_bytes = 4 * kTileStrip;
    for (int64_t r = 0; begin > 0 && r < rows; ++r) {
      __builtin_memcpy(buffer + r * kTileStrip, out + r * task.out_stride, 4 * columns);
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
    _tile_loadd(1, to + 16, out_bytes);
    if constexpr (kTwo) {
      _tile_loadd(2, reinterpret_cast<char*>(to) + 16 * out_bytes, out_bytes);
      _tile_loadd(3, reinterpret_cast<char*>(to + 16) + 16 * out_bytes, out_bytes);
    }
  }
  const int64_t whole = task.depth / kStep < end ? task.depth / kStep : end;
  for (int64_t step = begin; step < whole; ++step) {
    const uint16_t* soon = ahead.weights + (step - begin) * 2 * kTileNumbers;
    for (int64_t line = ahead.begin; line < ahead.end; ++line) {
      _mm_prefetch(reinterpret_cast<const char*>(soon) + line * 64, _MM_HINT_T1);
    }
    Accumulate<kTwo>(in + step * kStep, 2 * task.in_stride, weights + step * 2 * kTileNumbers);
  }
  if (whole < end) {  // Inputs that end within a step: what lies beyond may be anything.
    alignas(64) uint16_t rest[32 * kStep] = {};
    for (int64_t r = 0; r < rows; ++r) {
      __builtin_memcpy(rest + r * kStep, in + r * task.in_stride + whole * kStep, 2 * (task.depth - whole * kStep));
    }
    FinishStores();
    Accumulate<kTwo>(rest, 2 * kStep, weights + whole * 2 * kTileNumbers);
  }
  _tile_stored(0, to, out_bytes);
  _tile_stored(1, to + 16, out_bytes);
  if constexpr (kTwo) {
    _tile_stored(2, reinterpret_cast<char*>(to) + 16 * out_bytes, out_bytes);
    _tile_stored(3, reinterpret_cast<char*>(to + 16) + 16 * out_bytes, out_bytes);
  }
  for (int64_t r = 0; to == buffer && r < rows; ++r) {
    __builtin_memcpy(out + r * task.out_stride, buffer + r * kTileStrip, 4 * columns);
  }
}

// Rows [begin, end), which all have the same pair of tiles.
template <bool kTwo>
void Sweep(const TileProductTask& task, int64_t begin, int64_t end, int64_t pair) {
  const int64_t steps = (task.depth + kStep - 1) / kStep;
  const int64_t chunk = end - begin > pair ? kDepth / kStep : steps;
  const int64_t strips = (task.outputs + kTileStrip - 1) / kTileStrip;
  for (int64_t from = 0; from < steps; from += chunk) {
    const int64_t to = from + chunk < steps ? from + chunk : steps;
    for (int64_t strip = 0; strip < strips; ++strip) {
      // The rows of a strip share the work of asking for the next one's weights.
      Ahead ahead{.weights = task.weights + ((strip + 1) * steps + from) * 2 * kTileNumbers, .begin = 0, .end = 0};
      constexpr int64_t kLines = 2 * kTileNumbers * 2 / 64;
      for (int64_t r = begin; r < end; r += pair) {
        ahead.begin = ahead.end;
        if (strip + 1 < strips) ahead.end = kLines * (r + pair - begin) / (end - begin);
        Block<kTwo>(task, r, pair, strip, from, to, ahead);
      }
    }
  }
}

// The same; of rows so short that some of them stay in the first-level cache beside a strip, these are taken for all
// strips before the next.
template <bool kTwo>
void Rows(const TileProductTask& task, int64_t begin, int64_t end, int64_t pair) {
  const int64_t near = kNearBytes / (2 * task.depth) / pair * pair;
  const int64_t some = near > 0 ? near : end - begin;
  for (int64_t r = begin; r < end; r += some) Sweep<kTwo>(task, r, r + some < end ? r + some : end, pair);
}

}  // namespace

void MultiplyTiles(const TileProductTask& task) {
  const int64_t pairs = task.rows / 32 * 32;
  TileConfig config;
  if (pairs > 0) {
    _tile_loadconfig(&config);
    Rows<true>(task, 0, pairs, 32);
  }
  if (const int64_t rest = task.rows - pairs; rest > 16) {
    for (const int tile : {2, 3, 5}) config.rows[tile] = static_cast<uint8_t>(rest - 16);
    _tile_loadconfig(&config);
    Rows<true>(task, pairs, task.rows, rest);
  } else if (rest > 0) {
    for (const int tile : {0, 1, 4}) config.rows[tile] = static_cast<uint8_t>(rest);
    _tile_loadconfig(&config);
    Rows<false>(task, pairs, task.rows, rest);
  }
  _tile_release();
}

void PackTiles(const float* weights, int64_t outputs, int64_t inputs, uint16_t* packed) {
  const int64_t steps = (inputs + kStep - 1) / kStep;
  for (int64_t first = 0; first < outputs; first += 16) {
    for (int64_t step = 0; step < steps; ++step) {
      const int64_t part = inputs - step * kStep;
      F32 square[kLanes];  // Of each output: pairs of inputs.
      for (int64_t o = 0; o < 16; ++o) {
        alignas(64) uint16_t narrow[kStep] = {};
        if (first + o < outputs) {
          const float* from = weights + (first + o) * inputs + step * kStep;
          ForVectors(
              part < kStep ? part : kStep, [&](int64_t i) { Store(Load(from + i), narrow + i); },
              [&](int64_t i, int64_t rest) { StorePart(LoadPart(from + i, rest), narrow + i, rest); });
        }
        square[o] = LoadAs<F32>(narrow);
      }
      Transpose(square);
      const int64_t strip = first / kTileStrip, half = first / 16 % 2;
      uint16_t* to = packed + ((strip * steps + step) * 2 + half) * kTileNumbers;
      for (int64_t p = 0; p < 16; ++p) __builtin_memcpy(to + p * kStep, &square[p], 64);
    }
  }
}

}  // namespace unmask::UNMASK_ISA
