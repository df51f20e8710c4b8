#include "cluster/shared_sum.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "cluster/patience.h"
#include "cluster/shard.h"

namespace unmask {
namespace {

constexpr int64_t kChunk = 256 * 1024;  // Values: 1 MiB stays in the second-level cache, and /dev/shm may be small.

}  // namespace

struct SharedSum::Segment {
  alignas(64) std::atomic<uint64_t> meetings;  // That this rank has come to.
  alignas(64) float values[2][kChunk];
};
static_assert(std::atomic<uint64_t>::is_always_lock_free, "shared between processes");

int64_t SharedSum::SegmentBytes() { return sizeof(Segment); }

SharedSum::SharedSum(int rank, std::vector<void*> segments) : rank_(rank) {
  for (void* segment : segments) segments_.push_back(static_cast<Segment*>(segment));
}

void SharedSum::Sum(absl::Span<float> values) {
  for (size_t begin = 0; begin < values.size(); begin += kChunk) SumChunk(values.subspan(begin, kChunk));
}

void SharedSum::SumChunk(absl::Span<float> values) {
  const int ranks = static_cast<int>(segments_.size());
  float* own = segments_[rank_]->values[buffer_];
  std::copy(values.begin(), values.end(), own);
  Meet();

  // The sum replaces this rank's own values of the slice, which no other rank reads before the next meeting.
  const Range slice = Slice(values.size(), ranks, rank_);
  const float* first = segments_[0]->values[buffer_];
  for (int64_t i = slice.begin; i < slice.end; ++i) values[i] = first[i];
  for (int rank = 1; rank < ranks; ++rank) {
    const float* addend = segments_[rank]->values[buffer_];
    for (int64_t i = slice.begin; i < slice.end; ++i) values[i] += addend[i];
  }
  std::copy(values.begin() + slice.begin, values.begin() + slice.end, own + slice.begin);
  Meet();

  for (int rank = 0; rank < ranks; ++rank) {
    if (rank == rank_) continue;
    const Range theirs = Slice(values.size(), ranks, rank);
    const float* sums = segments_[rank]->values[buffer_];
    std::copy(sums + theirs.begin, sums + theirs.end, values.begin() + theirs.begin);
  }
  buffer_ ^= 1;
}

void SharedSum::Meet() {
  ++meetings_;
  segments_[rank_]->meetings.store(meetings_, std::memory_order_release);
  for (const Segment* segment : segments_) {
    for (Patience patience; segment->meetings.load(std::memory_order_acquire) < meetings_;) patience.Wait();
  }
}

}  // namespace unmask
