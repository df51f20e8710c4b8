// The all-reduce of ranks that share memory: each writes its values into its own segment, sums one slice over all
// segments in rank order, and reads the other slices from the ranks that summed them. Knows nothing of MPI: segments
// may lie in any memory that all ranks map (or, in a test, that threads share).
#ifndef UNMASK_CLUSTER_SHARED_SUM_H_
#define UNMASK_CLUSTER_SHARED_SUM_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace unmask {

class SharedSum {
 public:
  // Bytes of each rank's segment, which must start out zero and be aligned to 64.
  static int64_t SegmentBytes();

  // segments: one of each rank, in rank order.
  SharedSum(int rank, std::vector<void*> segments);

  // values = sum over ranks of values, added in rank order for each element. All ranks call it with equally many
  // values.
  void Sum(absl::Span<float> values);

 private:
  struct Segment;

  void SumChunk(absl::Span<float> values);
  void Meet();  // Returns once every rank has called it as often.

  const int rank_;
  std::vector<Segment*> segments_;
  uint64_t meetings_ = 0;
  // Sums alternate between two buffers: a rank may write the next one while others still read the last. Nobody can be
  // two sums behind, because each sum has meetings.
  int buffer_ = 0;
};

}  // namespace unmask

#endif  // UNMASK_CLUSTER_SHARED_SUM_H_
