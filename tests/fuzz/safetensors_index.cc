// model.safetensors.index.json over two good shards: any bytes are agreed with or refused.
#include "tests/fuzz/fuzz.h"
#include "tests/worker/made_checkpoint.h"
#include "worker/safetensors.h"

namespace {

using unmask::testing::FuzzFolder;
using unmask::testing::Require;

struct Shards {
  Shards() {
    using unmask::testing::SafetensorsOf;
    folder.Write("a.safetensors", SafetensorsOf({{"x", {{2, 2}, {1, 2, 3, 4}}}}, unmask::DType::kF32));
    folder.Write("b.safetensors", SafetensorsOf({{"y", {{3}, {1, 2, 3}}}}, unmask::DType::kBf16));
  }
  FuzzFolder folder;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Shards shards;
  shards.folder.Write("model.safetensors.index.json", unmask::testing::InputOf(data, size));
  const auto checkpoint = unmask::Checkpoint::Open(shards.folder.path());
  if (checkpoint.ok()) {
    for (const auto& [name, tensor] : (*checkpoint)->tensors()) Require(name == "x" || name == "y", "a known tensor");
  }
  return 0;
}
