// unmask-make-checkpoint: a seeded random checkpoint in LLaDA's format.
#include <CLI/CLI.hpp>
#include <iostream>
#include <map>
#include <string>

#include "base/exit_codes.h"
#include "models/random/random_checkpoint.h"

namespace {

unmask::RandomCheckpointOptions Preset(const std::string& name) {
  unmask::RandomCheckpointOptions options;  // "demo": 1 M parameters, with a tokenizer.
  if (name == "bench") {  // 252 M parameters: large enough for GEMM to matter, small enough to wait for.
    options.d_model = 1024;
    options.layers = 16;
    options.heads = 16;
    options.mlp = 3072;
    options.vocab = 16384;
    options.max_length = 4096;
    options.dtype = unmask::StoredType::kBf16;
    options.tokenizer = false;
  }
  return options;
}

int ExitCodeOf(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsAlreadyExists(status) ? unmask::kExitUsage : unmask::kExitSoftware;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Writes a seeded random checkpoint in LLaDA's format");
  std::string out, preset = "demo", dtype, tokenizer;
  std::map<std::string, int64_t> sizes;
  uint64_t seed = 0;
  app.add_option("--out", out, "Folder to write; it must not hold a checkpoint")->required();
  app.add_option("--preset", preset,
                 "Sizes that the other flags then change: demo (1 M parameters, with a tokenizer), "
                 "bench (252 M, bf16, ids only), custom (all sizes given)")
      ->check(CLI::IsMember({"demo", "bench", "custom"}))
      ->capture_default_str();
  const std::map<std::string, std::string> size_flags = {
      {"--d-model", "Hidden size"},
      {"--layers", "Layers"},
      {"--heads", "Query heads"},
      {"--kv-heads", "Key and value heads; by default as many as heads"},
      {"--mlp", "Hidden size of the MLP"},
      {"--vocab", "Ids; by default the tokenizer's, rounded up to a multiple of 64"},
      {"--embedding-size", "Rows of the embedding and the head; by default vocab"},
      {"--max-length", "max_sequence_length"},
      {"--shards", "Files"},
  };
  for (const auto& [flag, help] : size_flags) app.add_option(flag, sizes[flag], help)->check(CLI::PositiveNumber);
  app.add_option("--seed", seed, "Seed of the weights")->capture_default_str();
  app.add_option("--dtype", dtype, "How weights are stored")->check(CLI::IsMember({"f32", "bf16", "f16"}));
  app.add_option("--tokenizer", tokenizer, "Whether to add the small tokenizer")->check(CLI::IsMember({"yes", "no"}));
  try {
    app.parse(argc, argv);
    if (preset == "custom") {
      for (const char* flag : {"--d-model", "--layers", "--heads", "--mlp", "--vocab"}) {
        if (app.count(flag) == 0) throw CLI::RequiredError(std::string(flag) + " (under --preset custom)");
      }
    }
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? unmask::kExitOk : unmask::kExitUsage;
  }

  unmask::RandomCheckpointOptions options = Preset(preset);
  const auto take = [&](const char* flag, int64_t* value) {
    if (app.count(flag) > 0) *value = sizes[flag];
  };
  take("--d-model", &options.d_model);
  take("--layers", &options.layers);
  take("--heads", &options.heads);
  take("--kv-heads", &options.kv_heads);
  take("--mlp", &options.mlp);
  take("--vocab", &options.vocab);
  take("--embedding-size", &options.embedding_size);
  take("--max-length", &options.max_length);
  take("--shards", &options.shards);
  options.seed = seed;
  if (!tokenizer.empty()) options.tokenizer = tokenizer == "yes";
  if (dtype == "f32") options.dtype = unmask::StoredType::kF32;
  if (dtype == "bf16") options.dtype = unmask::StoredType::kBf16;
  if (dtype == "f16") options.dtype = unmask::StoredType::kF16;

  const auto summary = unmask::WriteRandomCheckpoint(out, options);
  if (!summary.ok()) {
    std::cerr << "unmask-make-checkpoint: " << summary.status().message() << "\n";
    return ExitCodeOf(summary.status());
  }
  std::cout << out << ": " << summary->parameters << " parameters, " << summary->bytes << " bytes, mask "
            << summary->mask_id << ", eos " << summary->eos_id << ", eot " << summary->eot_id << "\n";
  return unmask::kExitOk;
}
