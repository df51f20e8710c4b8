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
  int32_t any = 0;
  for (int i = 0; i < kLanes; ++i) any |= bad[i];
  return any != 0;
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

// A logit below this cannot win, whatever its noise and that of the largest: their scores, logit / temperature + noise,
// are then further apart than noise reaches (gumbel.h), by more than any rounding.
float LeastThatMayWin(const ScanTask& task) {
  const float largest = Largest(LargestOf(task.logits, task.count));
  const float reach = (kMostGumbel - kLeastGumbel) * task.temperature;
  return largest - reach - 1e-5f * (__builtin_fabsf(largest) + reach);
}

bool AnyReaches(F32 values, float least) {
  const I32 reaches = values >= least;
  int32_t any = 0;
  for (int i = 0; i < kLanes; ++i) any |= reaches[i];
  return any != 0;
}

// The best score and the lowest index that has it, or -1.
void FindBest(const ScanTask& task, float* score, int64_t* index) {
  constexpr int64_t kChunk = 4 * kLanes;  // Ids whose noise is drawn at a time, if one of them may win.
  float noise[kChunk + kLanes];
  F32 best = Splat(-kInfinity);
  I32 where = SplatInt(-1);
  const float least = task.temperature > 0 ? LeastThatMayWin(task) : -kInfinity;
  for (int64_t begin = 0; begin < task.count; begin += kChunk) {
    const int64_t count = task.count - begin < kChunk ? task.count - begin : kChunk;
    if (task.temperature > 0) {
      if (!AnyReaches(LargestOf(task.logits + begin, count), least)) continue;
      GumbelNoise(task.seed, task.noise_step, task.position, task.first_id + static_cast<int32_t>(begin), count, noise);
      for (int64_t i = count; i % kLanes != 0; ++i) noise[i] = 0;
    }
    for (int64_t i = 0; i < count; i += kLanes) {
      F32 x = Load(task.logits + begin + i);
      if (task.temperature > 0) x = x / task.temperature + Load(noise + i);
      const I32 better = x > best;
      best = Select(better, x, best);
      where = Select(better, LaneNumbers() + static_cast<int32_t>(begin + i), where);
    }
  }
  *score = -kInfinity;
  *index = -1;
  for (int i = 0; i < kLanes; ++i) {
    if (where[i] < 0) continue;
    if (best[i] > *score || (best[i] == *score && where[i] < *index)) {
      *score = best[i];
      *index = where[i];
    }
  }
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
  int64_t best;
  FindBest(task, &record->score, &best);
  record->token = best < 0 ? -1 : task.first_id + static_cast<int32_t>(best);
  Forbid(task, task.unconfident, task.unconfident_count);
  record->logit = best < 0 ? -kInfinity : task.logits[best];
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
