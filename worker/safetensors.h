// The tensors of a checkpoint: model.safetensors, or shards named by model.safetensors.index.json, memory-mapped.
// Format: https://huggingface.co/docs/safetensors, with its strict rules: a file is an 8-byte little-endian header
// length, a JSON header, and tensors that fill the rest without gap or overlap.
//
// Nothing a file holds may crash the process; every error names the file and, where there is one, the tensor or key.
#ifndef UNMASK_WORKER_SAFETENSORS_H_
#define UNMASK_WORKER_SAFETENSORS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/tensor.h"
#include "worker/mapped_file.h"

namespace unmask {

struct StoredTensor {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  absl::Span<const char> bytes;      // Not necessarily aligned.
  const MappedFile* file = nullptr;  // Which holds them.
};

class Checkpoint {
 public:
  // DATA_LOSS for whatever is missing, truncated, mismatched or beyond the format.
  static absl::StatusOr<std::unique_ptr<Checkpoint>> Open(const std::string& folder);

  const std::map<std::string, StoredTensor>& tensors() const { return tensors_; }

  // Of all its files, in order.
  std::vector<std::string> Paths() const;

  // Whether every matrix is stored in `dtype`.
  bool MatricesAre(DType dtype) const;

 private:
  std::vector<std::unique_ptr<MappedFile>> files_;
  std::map<std::string, StoredTensor> tensors_;
};

}  // namespace unmask

#endif  // UNMASK_WORKER_SAFETENSORS_H_
