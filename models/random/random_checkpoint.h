// Random checkpoints in the layout of GSAI-ML/LLaDA-8B-Instruct, for tests, benchmarks and a demo without a trained
// model.
#ifndef UNMASK_MODELS_RANDOM_RANDOM_CHECKPOINT_H_
#define UNMASK_MODELS_RANDOM_RANDOM_CHECKPOINT_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "models/random/safetensors_writer.h"

namespace unmask {

struct RandomCheckpointOptions {
  int64_t d_model = 128;
  int64_t layers = 4;
  int64_t heads = 4;
  int64_t kv_heads = 0;  // 0: as many as heads.
  int64_t mlp = 384;
  int64_t vocab = 0;           // 0: the tokenizer's size, rounded up to a multiple of 64.
  int64_t embedding_size = 0;  // Rows of both matrices; 0: vocab.
  int64_t max_length = 1024;
  uint64_t seed = 0;
  StoredType dtype = StoredType::kF32;
  int64_t shards = 1;     // Files; more than one get an index.
  bool tokenizer = true;  // With the small tokenizer of this folder, whose control tokens are then the config's.
};

struct RandomCheckpointSummary {
  int64_t parameters = 0;
  int64_t bytes = 0;
  int32_t mask_id = 0, eos_id = 0, eot_id = 0;
};

// Writes config.json (last: a folder with one is whole), model.safetensors or its shards and index, and the tokenizer's
// files into `folder`, which is made. Every weight is a function of (seed, tensor, index) alone: shards do not change
// it, dtypes only round it. Memory: a few MB whatever the size.
//
// Scale: logits have a standard deviation of about 3. The mask's embedding is small, so that what a masked position
// predicts comes from its context.
//
// INVALID_ARGUMENT names the option, its value and its bound. ALREADY_EXISTS: `folder` has a config.json.
absl::StatusOr<RandomCheckpointSummary> WriteRandomCheckpoint(const std::string& folder,
                                                              RandomCheckpointOptions options);

}  // namespace unmask

#endif  // UNMASK_MODELS_RANDOM_RANDOM_CHECKPOINT_H_
