// A checkpoint's config.json, in LLaDA's keys (OLMo's heritage). A key that asks for what is not built is refused by
// name, and an essential one that is missing too: the defaults of LLaDA's configuration class are not those of its
// releases.
#ifndef UNMASK_WORKER_CONFIG_H_
#define UNMASK_WORKER_CONFIG_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace unmask {

struct Config {
  std::string architecture;  // "LLaDAModelLM"
  int32_t layers = 0;
  int32_t hidden_size = 0;
  int32_t heads = 0;
  int32_t kv_heads = 0;  // Divides heads.
  int32_t mlp_size = 0;
  int32_t vocab_size = 0;      // Ids of the tokenizer, nominally.
  int32_t embedding_size = 0;  // Rows of the embedding and the head, >= vocab_size.
  int32_t max_sequence_length = 0;
  int32_t mask_token_id = 0;
  int32_t eos_token_id = 0;
  float rope_theta = 0;
  float norm_epsilon = 0;
  bool tied = false;  // The head is the embedding.

  int32_t head_dim() const { return hidden_size / heads; }
  int64_t parameters() const;

  // Everything above, as a line that is equal for equal models.
  std::string Fingerprint() const;
};

// DATA_LOSS for a file that is missing or broken, UNIMPLEMENTED for a model that is not built; both name the key.
absl::StatusOr<Config> ReadConfig(const std::string& folder);

}  // namespace unmask

#endif  // UNMASK_WORKER_CONFIG_H_
