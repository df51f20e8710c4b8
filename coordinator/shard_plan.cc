#include "coordinator/shard_plan.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace unmask {
namespace {

// [begin, end) continues at *next and is not empty.
absl::Status Continue(int rank, absl::string_view what, int32_t begin, int32_t end, int32_t* next) {
  if (begin != *next || end <= begin) {
    return absl::FailedPreconditionError(
        absl::StrCat("rank ", rank, " holds ", what, " [", begin, ", ", end, "), expected to begin at ", *next));
  }
  *next = end;
  return absl::OkStatus();
}

absl::Status Covers(absl::string_view what, int32_t end, int32_t total) {
  if (end == total) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("the ranks hold ", what, " [0, ", end, ") of ", total));
}

}  // namespace

absl::Status CheckShardPlan(const internal::v1::ReplicaDescription& description) {
  const internal::v1::ModelShape& shape = description.shape();
  if (shape.heads() < 1 || shape.kv_heads() < 1 || shape.heads() % shape.kv_heads() != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(shape.kv_heads(), " K/V heads do not divide ", shape.heads(), " heads"));
  }
  const int32_t group = shape.heads() / shape.kv_heads();
  int32_t heads = 0, columns = 0, vocabulary = 0;
  for (int rank = 0; rank < description.ranks_size(); ++rank) {
    if (description.ranks(rank).rank() != rank) {
      return absl::FailedPreconditionError(
          absl::StrCat("rank ", description.ranks(rank).rank(), " stands at place ", rank));
    }
    const v1::Shard& shard = description.ranks(rank).shard();
    UNMASK_RETURN_IF_ERROR(Continue(rank, "heads", shard.heads_begin(), shard.heads_end(), &heads));
    UNMASK_RETURN_IF_ERROR(Continue(rank, "columns", shard.columns_begin(), shard.columns_end(), &columns));
    UNMASK_RETURN_IF_ERROR(
        Continue(rank, "vocabulary rows", shard.vocabulary_begin(), shard.vocabulary_end(), &vocabulary));
    const int32_t kv_begin = shard.heads_begin() / group;
    const int32_t kv_end = (shard.heads_end() - 1) / group + 1;
    if (shard.kv_heads_begin() != kv_begin || shard.kv_heads_end() != kv_end) {
      return absl::FailedPreconditionError(absl::StrCat("rank ", rank, " holds K/V heads [", shard.kv_heads_begin(),
                                                        ", ", shard.kv_heads_end(), "), its heads read [", kv_begin,
                                                        ", ", kv_end, ")"));
    }
  }
  UNMASK_RETURN_IF_ERROR(Covers("heads", heads, shape.heads()));
  UNMASK_RETURN_IF_ERROR(Covers("columns", columns, shape.mlp_size()));
  return Covers("vocabulary rows", vocabulary, shape.embedding_size());
}

}  // namespace unmask
