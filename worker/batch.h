// A step's windows flattened to rows.
#ifndef UNMASK_WORKER_BATCH_H_
#define UNMASK_WORKER_BATCH_H_

#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "unmask/internal/v1/replica.pb.h"
#include "worker/kv_cache.h"

namespace unmask {

// Rows are ragged, never padded: the rows of one branch of one window follow each other.
struct Batch {
  std::vector<int32_t> tokens;  // Of each row.
  RowLayout rows;

  // The rows that propose tokens, both branches: ascending indices into `rows`, and their layout. The last layer needs
  // its queries, attention and MLP for these alone.
  std::vector<int32_t> sampled;
  RowLayout sampled_rows;

  // One for each sampled position, in the order of the windows; row numbers are indices into `sampled`. The spans look
  // into the Step.
  std::vector<SampleSpec> specs;
};

// Windows [begin, end) of a step that has passed CheckStep and whose sequences all hold slots. The groups point into
// `kv`, the spans into `step`; the windows' positions count as filled from here on.
Batch MakeBatch(const internal::v1::Step& step, int begin, int end, KvCache* kv);

}  // namespace unmask

#endif  // UNMASK_WORKER_BATCH_H_
