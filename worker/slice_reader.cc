#include "worker/slice_reader.h"

#include <cstring>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace unmask {
namespace {

// An IEEE number is NaN or infinite where its exponent is all ones. No early end: the loop is vectorised.
template <typename Word, Word kExponent>
bool AllFinite(const char* row, int64_t count) {
  const Word* words = reinterpret_cast<const Word*>(row);
  Word found = 0;
  for (int64_t i = 0; i < count; ++i) found |= static_cast<Word>((words[i] & kExponent) == kExponent);
  return found == 0;
}

bool AllFinite(DType dtype, const char* row, int64_t count) {
  switch (dtype) {
    case DType::kF32:
      return AllFinite<uint32_t, 0x7f800000>(row, count);
    case DType::kF16:
      return AllFinite<uint16_t, 0x7c00>(row, count);
    case DType::kBf16:
      return AllFinite<uint16_t, 0x7f80>(row, count);
  }
  return false;
}

}  // namespace

struct SliceReader::Hash {
  XXH3_state_t state;
};

SliceReader::SliceReader(const Checkpoint& checkpoint, const Config& config, const Shard& shard)
    : checkpoint_(checkpoint), config_(config), shard_(shard), hash_(std::make_unique<Hash>()) {
  XXH3_128bits_reset(&hash_->state);
  const std::string fingerprint = config.Fingerprint();
  XXH3_128bits_update(&hash_->state, fingerprint.data(), fingerprint.size());
}

SliceReader::~SliceReader() = default;

absl::StatusOr<Tensor> SliceReader::Read(Role role, int layer) {
  const PlannedTensor planned = {role, layer};
  const std::string name = TensorName(planned);
  const StoredTensor& stored = checkpoint_.tensors().at(name);
  const MatrixSlice slice = SliceOf(planned, config_, shard_);
  const int64_t item = ByteSize(stored.dtype);
  const int64_t stride = stored.shape.back();
  const char* first = stored.bytes.data() + (slice.rows.begin * stride + slice.columns.begin) * item;
  const int64_t row_bytes = slice.columns.size() * item;

  Tensor tensor = {stored.dtype, slice.rows.size(), slice.columns.size(), stride, const_cast<char*>(first)};
  if (reinterpret_cast<uintptr_t>(first) % item != 0) {  // Files need not align their tensors.
    copies_.push_back(std::make_unique<char[]>(tensor.rows * row_bytes));
    tensor.stride = tensor.columns;
    tensor.data = copies_.back().get();
    for (int64_t row = 0; row < tensor.rows; ++row) {
      std::memcpy(copies_.back().get() + row * row_bytes, first + row * stride * item, row_bytes);
    }
  }

  XXH3_128bits_update(&hash_->state, name.data(), name.size());
  for (int64_t row = 0; row < tensor.rows; ++row) {
    const char* bytes = static_cast<const char*>(tensor.data) + row * tensor.stride * item;
    XXH3_128bits_update(&hash_->state, bytes, row_bytes);
    if (!AllFinite(tensor.dtype, bytes, tensor.columns)) {
      return absl::DataLossError(
          absl::StrCat(stored.file->path(), ": ", name, " holds NaN or infinity in row ", slice.rows.begin + row));
    }
  }
  if (tensor.rows > 0) {
    read_.emplace_back(stored.file, absl::MakeConstSpan(first, ((tensor.rows - 1) * stride) * item + row_bytes));
  }
  elements_read_ += slice.elements();
  return tensor;
}

void SliceReader::Forget() {
  for (const auto& [file, bytes] : read_) file->Drop(bytes);
  read_.clear();
  copies_.clear();
}

std::string SliceReader::Digest() const {
  XXH128_canonical_t digest;
  XXH128_canonicalFromHash(&digest, XXH3_128bits_digest(&hash_->state));
  return std::string(reinterpret_cast<const char*>(digest.digest), sizeof digest.digest);
}

}  // namespace unmask
