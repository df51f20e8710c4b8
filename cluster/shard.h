// Which part of the model a rank holds: arithmetic only. Query heads, MLP columns and vocabulary rows are cut into ragged
// slices whose sizes differ by at most one; a rank holds every K/V head that its query heads read, so K/V heads are
// replicated where they are fewer than ranks or do not divide evenly.
#ifndef UNMASK_CLUSTER_SHARD_H_
#define UNMASK_CLUSTER_SHARD_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"

namespace unmask {

struct Range {  // Half-open.
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return end - begin; }
};

// Part `index` of `parts` nearly equal consecutive parts of [0, total); the first total % parts are one longer.
Range Slice(int64_t total, int parts, int index);

struct Shard {
  Range heads;       // Query heads.
  Range kv_heads;    // Those that `heads` read.
  Range columns;     // Of the MLP's hidden width.
  Range vocabulary;  // Rows of the embedding and the head.

  // For each local query head, the local K/V head that it reads.
  std::vector<int32_t> KvMap(int64_t heads_total, int64_t kv_heads_total) const;
};

// INVALID_ARGUMENT when there are more ranks than heads (or columns, or vocabulary rows), or kv_heads does not divide heads.
absl::StatusOr<Shard> MakeShard(int64_t heads, int64_t kv_heads, int64_t columns, int64_t vocabulary, int ranks, int rank);

}  // namespace unmask

#endif  // UNMASK_CLUSTER_SHARD_H_
