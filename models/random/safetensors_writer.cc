#include "models/random/safetensors_writer.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace unmask {
namespace {

constexpr int64_t kChunk = 1 << 16;  // Elements held at once.

const char* NameOf(StoredType type) {
  switch (type) {
    case StoredType::kF32:
      return "F32";
    case StoredType::kF16:
      return "F16";
    case StoredType::kBf16:
      return "BF16";
  }
  return "";
}

std::string HeaderOf(absl::Span<const StoredTensor> tensors, StoredType type) {
  nlohmann::json header;
  header["__metadata__"] = {{"format", "pt"}};
  int64_t begin = 0;
  for (const StoredTensor& tensor : tensors) {
    const int64_t end = begin + tensor.elements() * ElementSize(type);
    header[tensor.name] = {{"dtype", NameOf(type)}, {"shape", tensor.shape}, {"data_offsets", {begin, end}}};
    begin = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // So that tensors are aligned.
  return text;
}

// `values` as `type`, in little-endian order (as every machine that this runs on has it).
void Narrow(absl::Span<const float> values, StoredType type, std::vector<char>* bytes) {
  static_assert(std::endian::native == std::endian::little);
  bytes->resize(values.size() * ElementSize(type));
  if (type == StoredType::kF32) {
    std::copy_n(reinterpret_cast<const char*>(values.data()), bytes->size(), bytes->data());
    return;
  }
  char* out = bytes->data();
  for (const float value : values) {
    const uint16_t bits = type == StoredType::kBf16 ? BitsOfBf16(value) : BitsOfF16(value);
    *out++ = static_cast<char>(bits & 0xFF);
    *out++ = static_cast<char>(bits >> 8);
  }
}

}  // namespace

int64_t ElementSize(StoredType type) { return type == StoredType::kF32 ? 4 : 2; }

int64_t StoredTensor::elements() const {
  int64_t product = 1;
  for (const int64_t size : shape) product *= size;
  return product;
}

uint16_t BitsOfBf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

uint16_t BitsOfF16(float value) {
  const uint16_t sign = static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16 & 0x8000);
  const float size = std::fabs(value);
  // Subnormal halves are multiples of 2^-24; adding the integer to the sign also carries into the first normal one.
  if (size < 0x1p-14f) return static_cast<uint16_t>(sign | static_cast<uint16_t>(std::nearbyint(size * 0x1p24f)));
  if (size >= 65520.0f) return static_cast<uint16_t>(sign | 0x7C00);
  const uint32_t bits = std::bit_cast<uint32_t>(size);
  const uint32_t rounded = bits + 0xFFF + (bits >> 13 & 1);
  return static_cast<uint16_t>(sign | ((rounded >> 13) - (112 << 10)));
}

absl::Status WriteSafetensors(const std::string& path, absl::Span<const StoredTensor> tensors, StoredType type,
                              const ElementSource& source) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  const std::string header = HeaderOf(tensors, type);
  const uint64_t size = header.size();
  for (int shift = 0; shift < 64; shift += 8) file.put(static_cast<char>(size >> shift & 0xFF));
  file << header;

  std::vector<float> values;
  std::vector<char> bytes;
  for (const StoredTensor& tensor : tensors) {
    for (int64_t begin = 0; begin < tensor.elements() && file; begin += kChunk) {
      values.resize(std::min(kChunk, tensor.elements() - begin));
      source(tensor, begin, absl::MakeSpan(values));
      Narrow(values, type, &bytes);
      file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    }
  }
  file.close();
  if (!file) return absl::InternalError(absl::StrCat(path, ": cannot be written"));
  return absl::OkStatus();
}

}  // namespace unmask
