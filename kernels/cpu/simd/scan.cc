// Reduces one row's logits to a candidate record. Three passes over a few thousand logits that lie in the cache: finite
// and guided; best score; the two largest, then the sums of the confidence softmax. Lanes keep the lowest of equal ids,
// and are folded in a fixed order.
#include "kernels/candidate.h"
#include "kernels/cpu/simd/kernels.h"
#include "kernels/cpu/simd/simd.h"
#include "kernels/gumbel.h"

namespace unmask::UNMASK_ISA {
namespace {

// Guidance in place; whether any of the n logits is NaN or infinite. The padding becomes -inf.
bool Prepare(const ScanTask& task) {
  I32 bad{};
  const auto combine = [&](F32 c, int64_t i, auto load) {
    if (task.unconditional == nullptr) return c;
    const F32 u = load(task.unconditional + i);
    return u + (task.cfg_scale + 1.0f) * (c - u);
  };
  const auto check = [&](F32 x) { bad |= (reinterpret_cast<I32>(x) & 0x7fffffff) >= 0x7f800000; };
  ForVectors(
      task.count,
      [&](int64_t i) {
        const F32 x = combine(Load(task.logits + i), i, [](const float* from) { return Load(from); });
        check(x);
        Store(x, task.logits + i);
      },
      [&](int64_t i, int64_t count) {
        const F32 x =
            combine(LoadPart(task.logits + i, count), i, [count](const float* from) { return LoadPart(from, count); });
        check(x);
        Store(Select(LaneNumbers() < SplatInt(count), x, Splat(-kInfinity)), task.logits + i);
      });
  return Any(bad);
}

void Forbid(const ScanTask& task, const int32_t* ids, int64_t ids_count) {
  for (int64_t i = 0; i < ids_count; ++i) {
    const int64_t at = int64_t{ids[i]} - task.first_id;
    if (at >= 0 && at < task.count) task.logits[at] = -kInfinity;
  }
}

F32 LargestOf(const float* logits, int64_t count) {
  F32 largest = Splat(-kInfinity);
  for (int64_t i = 0; i < count; i += kLanes) largest = Max(largest, Load(logits + i));
  return largest;
}

// The first of `count` values, to a vector's end, that is this one, which is there.
int64_t IndexOf(float value, const float* values, int64_t count) {
  int64_t i = 0;
  while (i + kLanes < count && !Any(Load(values + i) == value)) i += kLanes;
  while (values[i] != value && i + 1 < count) ++i;
  return i;
}

struct Best {
  float score = -kInfinity;
  int64_t index = -1;  // Of equal scores the lowest.
};

// `scores` are those of indices from `begin` on.
void Take(const float* scores, int64_t begin, int64_t count, Best* best) {
  const float score = Largest(LargestOf(scores, count));
  if (score < best->score || score == -kInfinity) return;
  const int64_t index = begin + IndexOf(score, scores, count);
  if (score > best->score || index < best->index) *best = {.score = score, .index = index};
}

constexpr int64_t kChunk = 4 * kLanes;  // Ids whose noise is drawn at a time.

// Draws the noise of the chunk from `begin` on, unless it cannot make one of its ids the best. All roundings here grow
// with what is rounded, so that what bounds a logit and a noise also bounds their score.
void TakeWithNoise(const ScanTask& task, int64_t begin, Best* best) {
  const float* logits = task.logits + begin;
  const int64_t count = task.count - begin < kChunk ? task.count - begin : kChunk;
  const int32_t first_id = task.first_id + static_cast<int32_t>(begin);
  const float largest = Largest(LargestOf(logits, count));
  if (largest == -kInfinity || largest / task.temperature + kMostGumbel < best->score) return;
  if (count == kChunk &&
      !ScoreReaches(task.seed, task.noise_step, task.position, first_id, logits, task.temperature, best->score)) {
    return;
  }
  float scores[kChunk + kLanes];
  GumbelNoise(task.seed, task.noise_step, task.position, first_id, count, scores);
  for (int64_t i = count; i % kLanes != 0; ++i) scores[i] = 0;
  for (int64_t i = 0; i < count; i += kLanes) Store(Load(logits + i) / task.temperature + Load(scores + i), scores + i);
  Take(scores, begin, count, best);
}

Best FindBest(const ScanTask& task) {
  Best best;
  Take(task.logits, 0, task.count, &best);
  if (task.temperature == 0 || best.index < 0) return best;
  const int64_t likely = best.index / kChunk * kChunk;  // Taken first, it spares most others their noise.
  best = {};
  TakeWithNoise(task, likely, &best);
  for (int64_t begin = 0; begin < task.count; begin += kChunk) {
    if (begin != likely) TakeWithNoise(task, begin, &best);
  }
  return best;
}

void FindLargestTwo(const ScanTask& task, float* largest, float* second) {
  F32 first = Splat(-kInfinity), next = Splat(-kInfinity);
  for (int64_t i = 0; i < task.count; i += kLanes) {
    const F32 x = Load(task.logits + i);
    next = Max(next, Min(first, x));
    first = Max(first, x);
  }
  *largest = *second = -kInfinity;
  for (int i = 0; i < kLanes; ++i) {
    const float low = first[i] < *largest ? first[i] : *largest;
    *largest = first[i] > *largest ? first[i] : *largest;
    *second = low > *second ? low : *second;
    *second = next[i] > *second ? next[i] : *second;
  }
}

}  // namespace

void Scan(const ScanTask& whole, CandidateRecord* record) {
  record->not_finite = Prepare(whole);
  ScanTask task = whole;
  if (task.token_bound > 0) {  // Ids from the bound on are left out: nothing is added for a logit of -inf.
    const int64_t allowed = int64_t{task.token_bound} - task.first_id;
    task.count = allowed < 0 ? 0 : allowed < task.count ? allowed : task.count;
    for (int64_t i = task.count; i % kLanes != 0; ++i) task.logits[i] = -kInfinity;
  }
  Forbid(task, task.suppressed, task.suppressed_count);
  const Best best = FindBest(task);
  record->score = best.score;
  record->token = best.index < 0 ? -1 : task.first_id + static_cast<int32_t>(best.index);
  Forbid(task, task.unconfident, task.unconfident_count);
  record->logit = best.index < 0 ? -kInfinity : task.logits[best.index];
  const int64_t asked = int64_t{task.asked} - task.first_id;
  record->asked = task.asked >= 0 && asked >= 0 && asked < task.count ? task.logits[asked] : -kInfinity;
  FindLargestTwo(task, &record->max, &record->second);
  F32 sum{}, weighted{};
  if (record->max > -kInfinity) {
    for (int64_t i = 0; i < task.count; i += kLanes) {
      const F32 below = Load(task.logits + i) - record->max;
      const F32 e = Exp(below);
      sum += e;
      weighted = MulAdd(Max(below, Splat(-88.0f)), e, weighted);  // e is 0 there: -inf * 0 would be NaN.
    }
  }
  record->sum = Sum(sum);
  record->weighted = Sum(weighted);
}

}  // namespace unmask::UNMASK_ISA
