// config.json: any bytes are read or refused by name, and what is read can be cut into ranks.
#include "worker/config.h"

#include "cluster/shard.h"
#include "tests/fuzz/fuzz.h"
#include "worker/tensor_plan.h"

namespace {

using unmask::testing::FuzzFolder;
using unmask::testing::Require;

constexpr int kPlannedLayers = 100;  // More only take longer.

void Use(const unmask::Config& config) {
  Require(config.heads % config.kv_heads == 0 && config.hidden_size % config.heads == 0, "heads divide");
  Require(config.mask_token_id < config.embedding_size && config.eos_token_id < config.embedding_size, "ids exist");
  Require(config.parameters() > 0, "a model has parameters");
  Require(!config.Fingerprint().empty(), "a model has a fingerprint");
  if (config.layers > kPlannedLayers) return;
  for (const int ranks : {1, 2, 3}) {
    int64_t elements = 0;
    for (int rank = 0; rank < ranks; ++rank) {
      const auto shard =
          unmask::MakeShard(config.heads, config.kv_heads, config.mlp_size, config.embedding_size, ranks, rank);
      if (!shard.ok()) return;
      elements += unmask::SliceElements(config, *shard);
    }
    Require(elements >= config.parameters(), "the ranks' slices cover the model");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const FuzzFolder folder;
  folder.Write("config.json", unmask::testing::InputOf(data, size));
  const auto config = unmask::ReadConfig(folder.path());
  if (config.ok()) Use(*config);
  Require(config.ok() || !config.status().message().empty(), "a refusal says why");
  return 0;
}
