// softmax(q K^T scale) V of one head for up to kAttendRows query rows, by online softmax over blocks of kAttendKeys
// keys (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018; the blocking of FlashAttention).
//
// Keys of a block are packed transposed and values as floats once for all rows; rows are then taken a few at a time,
// only together with neighbours of the same horizon. So a row's bits depend on its query, its horizon and the keys
// below it: keys beyond the horizon are neither added nor read into a sum, not even with weight 0 (they may be
// anything). Bound by the multiply-adds, 4 * head_dim flops a key and row.
#include "kernels/cpu/simd/kernels.h"
#include "kernels/cpu/simd/tile.h"
#include "kernels/cpu/simd/transpose.h"

namespace unmask::UNMASK_ISA {
namespace {

struct Scratch {
  int64_t width;  // head_dim, padded with zeros.
  float* keys;    // [head_dim][kAttendKeys]
  float* values;  // [kAttendKeys][width]
  float* scores;  // [kAttendRows][kAttendKeys]
  float* sums;    // [kAttendRows][width]: the running output, unnormalised.
  float* maxima;  // [kAttendRows]
  float* totals;  // [kAttendRows]: the running sum of e^(score - maximum).
};

Scratch Carve(const AttendTask& task) {
  Scratch s;
  s.width = PaddedToVector(task.head_dim);
  s.keys = task.scratch;
  s.values = s.keys + kAttendKeys * s.width;
  s.scores = s.values + kAttendKeys * s.width;
  s.sums = s.scores + kAttendRows * kAttendKeys;
  s.maxima = s.sums + kAttendRows * s.width;
  s.totals = s.maxima + kAttendRows;
  return s;
}

template <typename T>
void PackBlock(const T* keys, const T* values, int64_t stride, int64_t count, int64_t head_dim, const Scratch& s) {
  for (int64_t first = 0; first < kAttendKeys; first += kLanes) {
    for (int64_t i = 0; i < head_dim; i += kLanes) {
      const int64_t part = head_dim - i;
      F32 square[kLanes];
      for (int64_t k = 0; k < kLanes; ++k) {
        const T* key = keys + (first + k) * stride + i;
        square[k] = first + k >= count ? F32{} : part >= kLanes ? Load(key) : LoadPart(key, part);
      }
      Transpose(square);
      for (int64_t d = 0; d < kLanes && d < part; ++d) Store(square[d], s.keys + (i + d) * kAttendKeys + first);
    }
  }
  for (int64_t k = 0; k < count; ++k) {
    const T* value = values + k * stride;
    float* to = s.values + k * s.width;
    ForVectors(
        head_dim, [&](int64_t i) { Store(Load(value + i), to + i); },
        [&](int64_t i, int64_t part) { Store(LoadPart(value + i, part), to + i); });
  }
}

// Folds a block of `count` keys into kRows rows from row `first` on.
template <int kRows>
UNMASK_INLINE void FoldBlock(const AttendTask& task, const Scratch& s, int64_t first, int64_t count) {
  for (int64_t column = 0; column < kAttendKeys; column += kTileVectors * kLanes) {
    F32 tile[kRows][kTileVectors] = {};
    MultiplyTile(task.queries + first * task.query_stride, task.query_stride, s.keys + column, kAttendKeys,
                 task.head_dim, tile);
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kTileVectors; ++v) {
        Store(tile[r][v] * task.scale, s.scores + (first + r) * kAttendKeys + column + v * kLanes);
      }
    }
  }
  float rescale[kRows];
  for (int r = 0; r < kRows; ++r) {
    float* scores = s.scores + (first + r) * kAttendKeys;
    F32 largest = Splat(-kInfinity);
    for (int64_t k = 0; k < kAttendKeys; k += kLanes) {
      const F32 masked = Select(LaneNumbers() < SplatInt(count - k), Load(scores + k), Splat(-kInfinity));
      Store(masked, scores + k);
      largest = Max(largest, masked);
    }
    const float old = s.maxima[first + r];
    const float block = Largest(largest);
    const float maximum = block > old ? block : old;
    F32 total{};
    for (int64_t k = 0; k < kAttendKeys; k += kLanes) {
      const F32 weight = Exp(Load(scores + k) - maximum);
      Store(weight, scores + k);
      total += weight;
    }
    rescale[r] = old == maximum ? 1.0f : Exp(Splat(old - maximum))[0];  // 0 for the first block: e^-inf.
    s.maxima[first + r] = maximum;
    s.totals[first + r] = s.totals[first + r] * rescale[r] + Sum(total);
  }
  const auto add_values = [&]<int kVectors>(int64_t column) {
    F32 tile[kRows][kVectors];
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kVectors; ++v) {
        tile[r][v] = Load(s.sums + (first + r) * s.width + column + v * kLanes) * rescale[r];
      }
    }
    MultiplyTile(s.scores + first * kAttendKeys, kAttendKeys, s.values + column, s.width, count, tile);
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kVectors; ++v) Store(tile[r][v], s.sums + (first + r) * s.width + column + v * kLanes);
    }
  };
  int64_t column = 0;
  for (; column + kTileVectors * kLanes <= s.width; column += kTileVectors * kLanes) {
    add_values.template operator()<kTileVectors>(column);
  }
  for (; column < s.width; column += kLanes) add_values.template operator()<1>(column);
}

template <typename T>
void AttendAs(const AttendTask& task) {
  const Scratch s = Carve(task);
  int64_t furthest = 0;
  for (int64_t r = 0; r < task.rows; ++r) {
    if (task.horizons[r] > furthest) furthest = task.horizons[r];
    s.maxima[r] = -kInfinity;
    s.totals[r] = 0;
  }
  __builtin_memset(s.sums, 0, sizeof(float) * task.rows * s.width);
  __builtin_memset(s.values, 0, sizeof(float) * kAttendKeys * s.width);  // The padding of the width.
  for (int64_t begin = 0; begin < furthest; begin += kAttendKeys) {
    const int64_t packed = furthest - begin < kAttendKeys ? furthest - begin : kAttendKeys;
    PackBlock(static_cast<const T*>(task.keys) + begin * task.kv_stride,
              static_cast<const T*>(task.values) + begin * task.kv_stride, task.kv_stride, packed, task.head_dim, s);
    int64_t rows = 0;
    for (int64_t r = 0; r < task.rows; r += rows) {
      const int32_t horizon = task.horizons[r];
      for (rows = 1; rows < kTileRows && r + rows < task.rows && task.horizons[r + rows] == horizon;) ++rows;
      const int64_t count = horizon - begin < kAttendKeys ? horizon - begin : kAttendKeys;
      if (count > 0) WithRows(rows, [&]<int kRows>() { FoldBlock<kRows>(task, s, r, count); });
    }
  }
  for (int64_t r = 0; r < task.rows; ++r) {
    const float total = s.totals[r];
    const float inverse = total == 0 ? 0 : 1.0f / total;  // 0: a horizon of 0 attends to nothing and yields 0.
    const float* sums = s.sums + r * s.width;
    T* out = static_cast<T*>(task.out) + r * task.out_stride;
    ForVectors(
        task.head_dim, [&](int64_t i) { Store(Load(sums + i) * inverse, out + i); },
        [&](int64_t i, int64_t count) { StorePart(Load(sums + i) * inverse, out + i, count); });
  }
}

}  // namespace

void Attend(const AttendTask& task) {
  if (task.dtype == DType::kF32) return AttendAs<float>(task);
  AttendAs<uint16_t>(task);
}

}  // namespace unmask::UNMASK_ISA
