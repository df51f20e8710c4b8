// Writes one safetensors file, tensor by tensor, without ever holding one whole.
// Format: an 8-byte little-endian header length, the header in JSON, the tensors' bytes. Source:
// https://github.com/huggingface/safetensors#format
#ifndef UNMASK_MODELS_RANDOM_SAFETENSORS_WRITER_H_
#define UNMASK_MODELS_RANDOM_SAFETENSORS_WRITER_H_

#include <cstdint>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace unmask {

enum class StoredType { kF32, kF16, kBf16 };

// Bytes an element.
int64_t ElementSize(StoredType type);

struct StoredTensor {
  std::string name;
  std::vector<int64_t> shape;

  int64_t elements() const;
};

// Fills `values` with the elements of `tensor` from `begin` on.
using ElementSource = std::function<void(const StoredTensor& tensor, int64_t begin, absl::Span<float> values)>;

// Writes the tensors in the order given, rounded to `type` (to nearest, ties to even). Errors: INTERNAL, naming the
// file, where it cannot be written.
absl::Status WriteSafetensors(const std::string& path, absl::Span<const StoredTensor> tensors, StoredType type,
                              const ElementSource& source);

// Bits of the nearest value of the narrow type, ties to even; finite numbers only.
uint16_t BitsOfBf16(float value);
uint16_t BitsOfF16(float value);

}  // namespace unmask

#endif  // UNMASK_MODELS_RANDOM_SAFETENSORS_WRITER_H_
