#include "cluster/shard.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace unmask {

Range Slice(int64_t total, int parts, int index) {
  const int64_t base = total / parts;
  const int64_t longer = total % parts;
  const int64_t begin = index * base + std::min<int64_t>(index, longer);
  return {begin, begin + base + (index < longer ? 1 : 0)};
}

std::vector<int32_t> Shard::KvMap(int64_t heads_total, int64_t kv_heads_total) const {
  const int64_t group = heads_total / kv_heads_total;
  std::vector<int32_t> map;
  map.reserve(heads.size());
  for (int64_t head = heads.begin; head < heads.end; ++head) {
    map.push_back(static_cast<int32_t>(head / group - kv_heads.begin));
  }
  return map;
}

absl::StatusOr<Shard> MakeShard(int64_t heads, int64_t kv_heads, int64_t columns, int64_t vocabulary, int ranks,
                                int rank) {
  if (ranks < 1 || rank < 0 || rank >= ranks) {
    return absl::InvalidArgumentError(absl::StrCat("rank ", rank, " of ", ranks, " ranks"));
  }
  if (kv_heads < 1 || heads % kv_heads != 0) {
    return absl::InvalidArgumentError(absl::StrCat(kv_heads, " K/V heads do not divide ", heads, " heads"));
  }
  const struct {
    const char* what;
    int64_t count;
  } parts[] = {{"heads", heads}, {"MLP columns", columns}, {"vocabulary rows", vocabulary}};
  for (const auto& part : parts) {
    if (ranks > part.count) {
      return absl::InvalidArgumentError(
          absl::StrCat(ranks, " ranks are more than the model's ", part.count, " ", part.what));
    }
  }
  Shard shard;
  shard.heads = Slice(heads, ranks, rank);
  shard.columns = Slice(columns, ranks, rank);
  shard.vocabulary = Slice(vocabulary, ranks, rank);
  const int64_t group = heads / kv_heads;
  shard.kv_heads = {shard.heads.begin / group, (shard.heads.end - 1) / group + 1};
  return shard;
}

}  // namespace unmask
