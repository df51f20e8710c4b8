// Attention as in attend.cc, by the tiles of AMX: products of bf16 numbers, summed in fp32. Queries and softmax weights
// are rounded to bf16 for it, as FlashAttention does on a GPU; scores, maxima, sums and outputs stay fp32.
//
// Everything is computed transposed, S^T = K Q^T and O^T = V^T P^T, so that a vector holds one key's scores of 16 rows:
// maxima and sums need no folding of lanes, and keys are read where they lie in the cache. A row is one column of each
// product, so its bits depend on its query, its horizon and the keys below it; rows of different horizons go
// separately, for a weight of 0 times what lies beyond a horizon need not be 0.
#include <immintrin.h>

#include "kernels/cpu/simd/kernels.h"
#include "kernels/cpu/simd/simd.h"
#include "kernels/cpu/simd/tile_config.h"
#include "kernels/cpu/simd/transpose.h"

namespace unmask::UNMASK_ISA {
namespace {

constexpr int64_t kRows = 16;   // Of a tile, and numbers of four bytes in each.
constexpr int64_t kPairs = 32;  // Numbers of bf16 in a tile's row.
constexpr int64_t kTileBytes = 1024;
constexpr int64_t kKeyTiles = kAttendKeys / kRows;
static_assert(kLanes == kRows && kKeyTiles == 4);

constexpr int64_t kRowTiles = kAttendRows / kRows;

struct Scratch {
  int64_t depth_tiles;  // Of kPairs dimensions, the last padded with zeros;
  int64_t dim_tiles;    // of kRows dimensions.
  uint16_t* queries;    // [row tile][depth tile][dimension pair][row][2]
  uint16_t* keys;       // [key tile][key][depth_tiles * kPairs]: those that cannot be read where they lie.
  uint16_t* values;     // [dim tile][half of the keys][dimension][kPairs keys]
  float* scores;        // [kAttendKeys][row]
  uint16_t* weights;    // [half of the keys][key pair][row][2]
  float* sums;          // [row tile][dim tile][dimension][row]: the running output, unnormalised.
};

// 16 rows of one horizon.
struct RowTile {
  uint16_t* queries;
  float* sums;
  F32 maximum;
  F32 total;  // The running sum of e^(score - maximum).
};

// Keys of a block by tiles, as they can be read.
struct KeyTiles {
  int64_t used;
  const uint16_t* data[kKeyTiles];
  int64_t stride[kKeyTiles];  // Bytes.
};

template <typename T>
UNMASK_INLINE T* Take(char** from, int64_t bytes) {
  T* taken = reinterpret_cast<T*>(*from);
  *from += bytes;
  return taken;
}

Scratch Carve(const AttendTask& task) {
  Scratch s;
  s.depth_tiles = (task.head_dim + kPairs - 1) / kPairs;
  s.dim_tiles = (task.head_dim + kRows - 1) / kRows;
  char* from = reinterpret_cast<char*>(task.scratch);
  s.queries = Take<uint16_t>(&from, kRowTiles * s.depth_tiles * kTileBytes);
  s.keys = Take<uint16_t>(&from, kKeyTiles * s.depth_tiles * kTileBytes);
  s.values = Take<uint16_t>(&from, 2 * s.dim_tiles * kTileBytes);
  s.scores = Take<float>(&from, kKeyTiles * kTileBytes);
  s.weights = Take<uint16_t>(&from, 2 * kTileBytes);
  s.sums = Take<float>(&from, kRowTiles * s.dim_tiles * kTileBytes);
  return s;
}

// Two bf16 numbers a lane, from the halves of a vector: one of the first in its low half, one of the second above it.
UNMASK_INLINE __m512i Pair(__m512i halves) {
  alignas(64) static constexpr uint16_t kOrder[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                      8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  return _mm512_permutexvar_epi16(_mm512_load_si512(kOrder), halves);
}

// 2^x for x of 0 and less, within 3e-7 of it; 0 below -125, for a denormal result costs a hundred cycles; NaN for NaN.
// 2^n 2^r with n = round(x); 2^r, |r| <= 1/2, by the polynomial of degree 5 that meets it at Chebyshev's nodes.
UNMASK_INLINE F32 Exp2(F32 x) {
  const I32 low = x < -125.0f;
  const F32 clamped = Select(low, Splat(-125.0f), x);
  const __m512 n = _mm512_roundscale_ps(clamped, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const F32 r = clamped - n;
  F32 p = Splat(1.339086336e-3f);
  p = MulAdd(p, r, Splat(9.676031918e-3f));
  p = MulAdd(p, r, Splat(5.550357114e-2f));
  p = MulAdd(p, r, Splat(2.402210749e-1f));
  p = MulAdd(p, r, Splat(6.931471880e-1f));
  p = MulAdd(p, r, Splat(1.000000075f));
  return Select(low, F32{}, _mm512_scalef_ps(p, n));
}

// `count` <= kRows rows of queries, as the right operand of S^T; columns beyond are zero.
void PackQueries(const AttendTask& task, const float* queries, int64_t count, int64_t depth_tiles, uint16_t* to) {
  for (int64_t tile = 0; tile < depth_tiles; ++tile) {
    const int64_t part = task.head_dim - tile * kPairs;
    F32 square[kLanes];
    for (int64_t r = 0; r < kRows; ++r) {
      alignas(64) uint16_t narrow[kPairs] = {};
      if (r < count) {
        const float* from = queries + r * task.query_stride + tile * kPairs;
        ForVectors(
            part < kPairs ? part : kPairs, [&](int64_t i) { Store(Load(from + i), narrow + i); },
            [&](int64_t i, int64_t rest) { StorePart(LoadPart(from + i, rest), narrow + i, rest); });
      }
      square[r] = LoadAs<F32>(narrow);
    }
    StoreTransposed(square, to + tile * kRows * kPairs);
  }
}

// Values of `count` keys, transposed, as the left operand of O^T; keys beyond are zero.
void PackValues(const uint16_t* values, int64_t stride, int64_t count, int64_t head_dim, const Scratch& s) {
  for (int64_t tile = 0; tile < s.dim_tiles; ++tile) {
    const int64_t part = head_dim - tile * kRows;
    const auto load = [&](int64_t key) {
      const uint16_t* from = values + key * stride + tile * kRows;
      if (key >= count) return _mm256_setzero_si256();
      if (part >= kRows) return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
      alignas(32) uint16_t some[kRows] = {};
      __builtin_memcpy(some, from, 2 * part);
      return _mm256_load_si256(reinterpret_cast<const __m256i*>(some));
    };
    for (int64_t half = 0; half * kPairs < count; ++half) {
      F32 square[kLanes];
      for (int64_t p = 0; p < kRows; ++p) {
        const int64_t key = half * kPairs + 2 * p;
        square[p] =
            reinterpret_cast<F32>(Pair(_mm512_inserti64x4(_mm512_castsi256_si512(load(key)), load(key + 1), 1)));
      }
      StoreTransposed(square, s.values + (tile * 2 + half) * kRows * kPairs);
    }
  }
}

// The `count` keys of a block. What lies beyond the last key or dimension may be anything, and need not be memory:
// tiles that end there are copied and filled up with zeros.
KeyTiles TileKeys(const AttendTask& task, const uint16_t* keys, int64_t count, const Scratch& s) {
  const int64_t width = s.depth_tiles * kPairs;
  KeyTiles tiles;
  tiles.used = (count + kRows - 1) / kRows;
  for (int64_t t = 0; t < tiles.used; ++t) {
    const int64_t there = count - t * kRows;
    const uint16_t* from = keys + t * kRows * task.kv_stride;
    if (there >= kRows && task.head_dim == width) {
      tiles.data[t] = from;
      tiles.stride[t] = 2 * task.kv_stride;
      continue;
    }
    uint16_t* copy = s.keys + t * kRows * width;
    __builtin_memset(copy, 0, 2 * kRows * width);
    for (int64_t k = 0; k < kRows && k < there; ++k) {
      __builtin_memcpy(copy + k * width, from + k * task.kv_stride, 2 * task.head_dim);
    }
    tiles.data[t] = copy;
    tiles.stride[t] = 2 * width;
  }
  return tiles;
}

// scores[k][r] = keys[k] . queries[r]
void Score(const KeyTiles& keys, const uint16_t* queries, const Scratch& s) {
  FinishStores();
  _tile_zero(0);  // Four sums at once hide each other's latency.
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t depth = 0; depth < s.depth_tiles; ++depth) {
    _tile_loadd(4, queries + depth * kRows * kPairs, 64);
    _tile_loadd(5, keys.data[0] + depth * kPairs, keys.stride[0]);
    _tile_dpbf16ps(0, 5, 4);
    if (keys.used > 1) {
      _tile_loadd(6, keys.data[1] + depth * kPairs, keys.stride[1]);
      _tile_dpbf16ps(1, 6, 4);
    }
    if (keys.used > 2) {
      _tile_loadd(5, keys.data[2] + depth * kPairs, keys.stride[2]);
      _tile_dpbf16ps(2, 5, 4);
    }
    if (keys.used > 3) {
      _tile_loadd(6, keys.data[3] + depth * kPairs, keys.stride[3]);
      _tile_dpbf16ps(3, 6, 4);
    }
  }
  _tile_stored(0, s.scores, 64);
  if (keys.used > 1) _tile_stored(1, s.scores + kRows * kRows, 64);
  if (keys.used > 2) _tile_stored(2, s.scores + 2 * kRows * kRows, 64);
  if (keys.used > 3) _tile_stored(3, s.scores + 3 * kRows * kRows, 64);
}

// The softmax of a block, row by lane: its weights, and what its older sums are to be multiplied with.
F32 Weigh(float scale, int64_t count, const Scratch& s, RowTile* rows) {
  F32 largest = rows->maximum;
  for (int64_t k = 0; k < count; ++k) largest = Max(Load(s.scores + k * kRows), largest);
  const F32 unit = Splat(scale * 1.44269504f);                 // e^x = 2^(x / ln 2)
  const F32 rescale = Exp2((rows->maximum - largest) * unit);  // 0 for the first block: e^-inf.
  const F32 offset = -largest * unit;
  const auto weight = [&](int64_t k) { return Exp2(MulAdd(Load(s.scores + k * kRows), unit, offset)); };
  F32 sum{};
  for (int64_t k = 0; k < (count + kPairs - 1) / kPairs * kPairs; k += 2) {
    F32 even{}, odd{};
    if (k < count) even = weight(k);
    if (k + 1 < count) odd = weight(k + 1);
    sum = sum + even + odd;
    _mm512_store_si512(s.weights + k * kRows, Pair(reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(odd, even))));
  }
  rows->maximum = largest;
  rows->total = rows->total * rescale + sum;
  return rescale;
}

// sums = sums * rescale + V^T P^T
void AddValues(int64_t count, bool first, F32 rescale, const Scratch& s, float* all_sums) {
  if (!first) {
    for (int64_t d = 0; d < s.dim_tiles * kRows; ++d) Store(Load(all_sums + d * kRows) * rescale, all_sums + d * kRows);
  }
  FinishStores();
  _tile_loadd(4, s.weights, 64);
  if (count > kPairs) _tile_loadd(5, s.weights + kRows * kPairs, 64);
  for (int64_t t = 0; t < s.dim_tiles; t += 2) {
    float* sums = all_sums + t * kRows * kRows;
    const uint16_t* values = s.values + t * 2 * kRows * kPairs;
    const bool two = t + 1 < s.dim_tiles;
    if (first) {
      _tile_zero(0);
      _tile_zero(1);
    } else {
      _tile_loadd(0, sums, 64);
      if (two) _tile_loadd(1, sums + kRows * kRows, 64);
    }
    _tile_loadd(6, values, 64);
    _tile_dpbf16ps(0, 6, 4);
    if (two) {
      _tile_loadd(7, values + 2 * kRows * kPairs, 64);
      _tile_dpbf16ps(1, 7, 4);
    }
    if (count > kPairs) {
      _tile_loadd(6, values + kRows * kPairs, 64);
      _tile_dpbf16ps(0, 6, 5);
      if (two) {
        _tile_loadd(7, values + 3 * kRows * kPairs, 64);
        _tile_dpbf16ps(1, 7, 5);
      }
    }
    _tile_stored(0, sums, 64);
    if (two) _tile_stored(1, sums + kRows * kRows, 64);
  }
}

// sums / total, row by row; 0 for a row that attends to nothing.
void WriteRows(const AttendTask& task, int64_t first, int64_t count, const RowTile& rows) {
  const F32 inverse = Select(rows.total == F32{}, F32{}, 1.0f / rows.total);
  for (int64_t t = 0; t * kRows < task.head_dim; ++t) {
    const int64_t part = task.head_dim - t * kRows;
    F32 square[kLanes];
    for (int64_t d = 0; d < kRows; ++d) square[d] = Load(rows.sums + (t * kRows + d) * kRows) * inverse;
    Transpose(square);
    for (int64_t r = 0; r < count; ++r) {
      uint16_t* out = static_cast<uint16_t*>(task.out) + (first + r) * task.out_stride + t * kRows;
      if (part >= kRows) {
        Store(square[r], out);
      } else {
        StorePart(square[r], out, part);
      }
    }
  }
}

}  // namespace

void Attend(const AttendTask& task) {
  const Scratch s = Carve(task);
  const TileConfig config;
  _tile_loadconfig(&config);
  int64_t rows = 0;
  for (int64_t r = 0; r < task.rows; r += rows) {
    const int64_t horizon = task.horizons[r];
    for (rows = 1; r + rows < task.rows && task.horizons[r + rows] == horizon;) ++rows;
    RowTile tiles[kRowTiles];
    const int64_t used = (rows + kRows - 1) / kRows;
    const auto rows_of = [&](int64_t t) { return rows - t * kRows < kRows ? rows - t * kRows : kRows; };
    for (int64_t t = 0; t < used; ++t) {
      tiles[t] = {.queries = s.queries + t * s.depth_tiles * kRows * kPairs,
                  .sums = s.sums + t * s.dim_tiles * kRows * kRows,
                  .maximum = Splat(-kInfinity),
                  .total = F32{}};
      PackQueries(task, task.queries + (r + t * kRows) * task.query_stride, rows_of(t), s.depth_tiles,
                  tiles[t].queries);
      __builtin_memset(tiles[t].sums, 0, s.dim_tiles * kTileBytes);
    }
    for (int64_t begin = 0; begin < horizon; begin += kAttendKeys) {
      const int64_t count = horizon - begin < kAttendKeys ? horizon - begin : kAttendKeys;
      const uint16_t* values = static_cast<const uint16_t*>(task.values) + begin * task.kv_stride;
      PackValues(values, task.kv_stride, count, task.head_dim, s);
      const KeyTiles keys = TileKeys(task, static_cast<const uint16_t*>(task.keys) + begin * task.kv_stride, count, s);
      for (int64_t t = 0; t < used; ++t) {
        Score(keys, tiles[t].queries, s);
        const F32 rescale = Weigh(task.scale, count, s, &tiles[t]);
        AddValues(count, begin == 0, rescale, s, tiles[t].sums);
      }
    }
    for (int64_t t = 0; t < used; ++t) WriteRows(task, r + t * kRows, rows_of(t), tiles[t]);
  }
  _tile_release();
}

}  // namespace unmask::UNMASK_ISA
