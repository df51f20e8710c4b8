// Reads a rank's slices of a checkpoint, one pass over their bytes: looks for NaN and infinity and keeps a digest
// (XXH3-128) of names and bytes, which says whether two ranks hold the same weights.
#ifndef UNMASK_WORKER_SLICE_READER_H_
#define UNMASK_WORKER_SLICE_READER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/tensor.h"
#include "worker/tensor_plan.h"

namespace unmask {

class SliceReader {
 public:
  // The checkpoint has passed CheckTensors.
  SliceReader(const Checkpoint& checkpoint, const Config& config, const Shard& shard);
  ~SliceReader();

  // A view of host memory that stays until Forget(). DATA_LOSS for a weight that is not finite.
  absl::StatusOr<Tensor> Read(Role role, int layer = 0);

  // What was read so far is no longer needed in memory.
  void Forget();

  int64_t elements_read() const { return elements_read_; }

  // 16 bytes: of all slices read so far, in order, and of the config.
  std::string Digest() const;

 private:
  struct Hash;

  const Checkpoint& checkpoint_;
  const Config& config_;
  const Shard& shard_;
  std::unique_ptr<Hash> hash_;
  std::vector<std::pair<const MappedFile*, absl::Span<const char>>> read_;  // Since the last Forget().
  std::vector<std::unique_ptr<char[]>> copies_;                             // Of what is not aligned in its file.
  int64_t elements_read_ = 0;
};

}  // namespace unmask

#endif  // UNMASK_WORKER_SLICE_READER_H_
