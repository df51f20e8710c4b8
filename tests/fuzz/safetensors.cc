// A checkpoint's weights: any bytes are opened or refused, and whatever is opened can be read to its last byte.
//
// An input that begins with '{' is a header up to its first newline, then data: its length is put before it here, or
// hardly any mutation would get past the first eight bytes. Every other input is the whole file.
#include "worker/safetensors.h"

#include <algorithm>

#include "cluster/shard.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/tiny_checkpoint.h"
#include "worker/config.h"
#include "worker/slice_reader.h"

namespace {

using unmask::testing::FuzzFolder;
using unmask::testing::Require;

std::string FileOf(absl::string_view input) {
  if (input.empty() || input[0] != '{') return std::string(input);
  const size_t end = std::min(input.find('\n'), input.size());
  const absl::string_view data = input.substr(std::min(end + 1, input.size()));
  return unmask::testing::SafetensorsBytes(std::string(input.substr(0, end)), std::string(data));
}

void ReadAll(const unmask::Checkpoint& checkpoint) {
  unsigned sum = 0;
  for (const auto& [name, tensor] : checkpoint.tensors()) {
    for (const char byte : tensor.bytes) sum += static_cast<unsigned char>(byte);
  }
  volatile unsigned sink = sum;
  static_cast<void>(sink);
}

// As a rank of two would, where the tensors are the tiny model's.
void ReadSlices(const unmask::Checkpoint& checkpoint, const unmask::Config& config) {
  if (!unmask::CheckTensors(checkpoint, config).ok()) return;
  for (const int rank : {0, 1}) {
    const auto shard =
        unmask::MakeShard(config.heads, config.kv_heads, config.mlp_size, config.embedding_size, 2, rank);
    unmask::SliceReader reader(checkpoint, config, *shard);
    for (const unmask::PlannedTensor& planned : unmask::PlanTensors(config)) {
      if (!reader.Read(planned.role, planned.layer).ok()) break;
    }
    reader.Forget();
    Require(reader.Digest().size() == 16, "a digest has 16 bytes");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const FuzzFolder folder;
  static const unmask::Config config = [] {
    folder.Write("config.json", unmask::testing::TinyConfig().dump());
    return unmask::ReadConfig(folder.path()).value();
  }();
  folder.Write("model.safetensors", FileOf(unmask::testing::InputOf(data, size)));
  const auto checkpoint = unmask::Checkpoint::Open(folder.path());
  if (checkpoint.ok()) {
    ReadAll(**checkpoint);
    ReadSlices(**checkpoint, config);
  }
  return 0;
}
