#include "worker/safetensors.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "worker/json.h"

namespace unmask {
namespace {

using Json = nlohmann::json;
using Tensors = std::map<std::string, StoredTensor>;

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeader = 100'000'000;  // Bytes; the format's own bound.
constexpr int64_t kMaxIndex = 100'000'000;    // Bytes.
constexpr int kMaxDepth = 4;                  // header > tensor > data_offsets > number
constexpr size_t kMaxDimensions = 8;

absl::StatusOr<DType> ParseDType(const Json& tensor) {
  const auto dtype = tensor.find("dtype");
  if (dtype == tensor.end() || !dtype->is_string()) return absl::DataLossError("dtype is missing or not a string");
  const std::string& name = dtype->get_ref<const std::string&>();
  if (name == "F32") return DType::kF32;
  if (name == "F16") return DType::kF16;
  if (name == "BF16") return DType::kBf16;
  return absl::DataLossError(absl::StrCat("dtype ", name, " is none of F32, F16, BF16"));
}

// An array of non-negative integers.
absl::StatusOr<std::vector<int64_t>> ParseNumbers(const Json& tensor, const char* key) {
  const auto array = tensor.find(key);
  if (array == tensor.end() || !array->is_array() || array->size() > kMaxDimensions) {
    return absl::DataLossError(
        absl::StrCat(key, " is missing or not an array of at most ", kMaxDimensions, " numbers"));
  }
  std::vector<int64_t> numbers;
  for (const Json& item : *array) {
    if (!item.is_number_unsigned() || item.get<uint64_t>() > INT64_MAX) {
      return absl::DataLossError(absl::StrCat(key, " holds what is no non-negative integer"));
    }
    numbers.push_back(static_cast<int64_t>(item.get<uint64_t>()));
  }
  return numbers;
}

// One tensor of a header; `data` is what follows the header.
absl::StatusOr<StoredTensor> ParseTensor(const Json& json, absl::Span<const char> data) {
  if (!json.is_object()) return absl::DataLossError("its entry is not an object");
  StoredTensor tensor;
  UNMASK_ASSIGN_OR_RETURN(tensor.dtype, ParseDType(json));
  UNMASK_ASSIGN_OR_RETURN(tensor.shape, ParseNumbers(json, "shape"));
  UNMASK_ASSIGN_OR_RETURN(const auto offsets, ParseNumbers(json, "data_offsets"));
  if (offsets.size() != 2 || offsets[0] > offsets[1] || offsets[1] > static_cast<int64_t>(data.size())) {
    return absl::DataLossError(absl::StrCat("data_offsets ", json["data_offsets"].dump(),
                                            " are not a range of the file's ", data.size(), " bytes of data"));
  }
  int64_t bytes = ByteSize(tensor.dtype);
  for (const int64_t dimension : tensor.shape) {
    if (__builtin_mul_overflow(bytes, dimension, &bytes)) {
      return absl::DataLossError(absl::StrCat("shape ", json["shape"].dump(), " overflows"));
    }
  }
  if (bytes != offsets[1] - offsets[0]) {
    return absl::DataLossError(absl::StrCat("shape ", json["shape"].dump(), " of ", json["dtype"].dump(), " takes ",
                                            bytes, " bytes, data_offsets give it ", offsets[1] - offsets[0]));
  }
  tensor.bytes = data.subspan(offsets[0], bytes);
  return tensor;
}

// The tensors must fill the data from its first byte to its last.
absl::Status CheckCoverage(const Tensors& tensors, absl::Span<const char> data) {
  std::vector<std::pair<absl::Span<const char>, const std::string*>> parts;
  for (const auto& [name, tensor] : tensors) parts.emplace_back(tensor.bytes, &name);
  std::sort(parts.begin(), parts.end(), [](const auto& a, const auto& b) {
    return std::make_pair(a.first.data(), a.first.size()) < std::make_pair(b.first.data(), b.first.size());
  });
  const char* next = data.data();
  for (const auto& [bytes, name] : parts) {
    if (bytes.data() != next) {
      return absl::DataLossError(absl::StrCat(*name, " begins at byte ", bytes.data() - data.data(),
                                              " of the data, the ", "tensor before it ends at byte ",
                                              next - data.data()));
    }
    next += bytes.size();
  }
  if (next != data.data() + data.size()) {
    return absl::DataLossError(
        absl::StrCat("the tensors end at byte ", next - data.data(), " of ", data.size(), " bytes of data"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Tensors> ParseFile(const MappedFile& file) {
  const absl::Span<const char> bytes = file.bytes();
  if (bytes.size() < kLengthBytes) {
    return absl::DataLossError(absl::StrCat("the file has ", bytes.size(), " bytes, too few for a header"));
  }
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), kLengthBytes);
  if (length > kMaxHeader || length > bytes.size() - kLengthBytes) {
    return absl::DataLossError(
        absl::StrCat("the header claims ", length, " bytes, the file has ", bytes.size(), " in all"));
  }
  const absl::Span<const char> data = bytes.subspan(kLengthBytes + length);
  auto header = ParseJsonObject(absl::string_view(bytes.data() + kLengthBytes, length), kMaxDepth);
  if (!header.ok()) return Annotate(header.status(), "header");
  Tensors tensors;
  for (const auto& [name, json] : header->items()) {
    if (name == "__metadata__") continue;
    auto tensor = ParseTensor(json, data);
    if (!tensor.ok()) return Annotate(tensor.status(), name);
    tensor->file = &file;
    tensors.emplace(name, *std::move(tensor));
  }
  UNMASK_RETURN_IF_ERROR(CheckCoverage(tensors, data));
  return tensors;
}

struct Index {
  std::map<std::string, std::string> shard_of;  // By tensor.
  int64_t total_size = -1;                      // Bytes; -1: not stated.
};

absl::StatusOr<Index> ParseIndex(const std::string& path) {
  UNMASK_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxIndex));
  UNMASK_ASSIGN_OR_RETURN(const Json json, ParseJsonObject(text, kMaxDepth));
  const auto map = json.find("weight_map");
  if (map == json.end() || !map->is_object()) return absl::DataLossError("weight_map is missing or not an object");
  Index index;
  for (const auto& [tensor, shard] : map->items()) {
    if (!shard.is_string()) return absl::DataLossError(absl::StrCat("weight_map: ", tensor, " has no file name"));
    const std::string& name = shard.get_ref<const std::string&>();
    if (!absl::EndsWith(name, ".safetensors") || absl::StartsWith(name, ".") || name.find('/') != std::string::npos ||
        name.find('\0') != std::string::npos) {
      return absl::DataLossError(
          absl::StrCat("weight_map: ", tensor, " lies in ", shard.dump(), ", which is no file name of this folder"));
    }
    index.shard_of.emplace(tensor, name);
  }
  const auto metadata = json.find("metadata");
  if (metadata != json.end() && metadata->is_object()) {
    const auto total = metadata->find("total_size");
    if (total != metadata->end() && total->is_number_unsigned()) index.total_size = total->get<int64_t>();
  }
  return index;
}

// What a file says must be what the index says of it.
absl::Status CheckAgainstIndex(const Index& index, const Tensors& tensors) {
  int64_t bytes = 0;
  for (const auto& [name, tensor] : tensors) {
    bytes += tensor.bytes.size();
    if (index.shard_of.count(name) == 0) {
      return absl::DataLossError(absl::StrCat(name, " of ", tensor.file->path(), " is not in the index"));
    }
  }
  for (const auto& [name, shard] : index.shard_of) {
    const auto tensor = tensors.find(name);
    if (tensor == tensors.end() || !absl::EndsWith(tensor->second.file->path(), absl::StrCat("/", shard))) {
      return absl::DataLossError(absl::StrCat("the index has ", name, " in ", shard, ", which lacks it"));
    }
  }
  if (index.total_size >= 0 && index.total_size != bytes) {
    return absl::DataLossError(
        absl::StrCat("total_size is ", index.total_size, ", the tensors have ", bytes, " bytes"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Checkpoint>> Checkpoint::Open(const std::string& folder) {
  const std::string single = absl::StrCat(folder, "/model.safetensors");
  const std::string index_path = absl::StrCat(folder, "/model.safetensors.index.json");
  const bool sharded = access(single.c_str(), F_OK) != 0;
  if (sharded && access(index_path.c_str(), F_OK) != 0) {
    return absl::DataLossError(
        absl::StrCat(folder, " holds neither model.safetensors nor model.safetensors.index.json"));
  }
  std::set<std::string> paths = {single};
  Index index;
  if (sharded) {
    auto parsed = ParseIndex(index_path);
    if (!parsed.ok()) return Annotate(parsed.status(), index_path);
    index = *std::move(parsed);
    paths.clear();
    for (const auto& [tensor, shard] : index.shard_of) paths.insert(absl::StrCat(folder, "/", shard));
  }

  auto checkpoint = std::make_unique<Checkpoint>();
  for (const std::string& path : paths) {
    auto file = MappedFile::Open(path);
    // A shard that is not there is as corrupt a checkpoint as one cut short.
    if (!file.ok()) return MayPass(file.status()) ? file.status() : absl::DataLossError(file.status().message());
    auto tensors = ParseFile(**file);
    if (!tensors.ok()) return Annotate(tensors.status(), path);
    for (auto& [name, tensor] : *tensors) {
      if (!checkpoint->tensors_.emplace(name, tensor).second) {
        return absl::DataLossError(absl::StrCat(path, ": ", name, " is also in another file"));
      }
    }
    checkpoint->files_.push_back(*std::move(file));
  }
  if (sharded) {
    const absl::Status agree = CheckAgainstIndex(index, checkpoint->tensors_);
    if (!agree.ok()) return Annotate(agree, index_path);
  }
  return checkpoint;
}

std::vector<std::string> Checkpoint::Paths() const {
  std::vector<std::string> paths;
  for (const auto& file : files_) paths.push_back(file->path());
  return paths;
}

bool Checkpoint::MatricesAre(DType dtype) const {
  for (const auto& [name, tensor] : tensors_) {
    if (tensor.shape.size() == 2 && tensor.dtype != dtype) return false;
  }
  return true;
}

}  // namespace unmask
