// The smallest checkpoint that has everything, for targets that load one for each input.
#ifndef UNMASK_TESTS_FUZZ_TINY_CHECKPOINT_H_
#define UNMASK_TESTS_FUZZ_TINY_CHECKPOINT_H_

#include <nlohmann/json.hpp>

#include "tests/worker/made_checkpoint.h"

namespace unmask::testing {

inline nlohmann::json TinyConfig() {
  nlohmann::json config = RaggedConfig();
  config.update({{"d_model", 8},
                 {"n_layers", 2},
                 {"n_heads", 2},
                 {"n_kv_heads", 1},
                 {"mlp_hidden_size", 6},
                 {"vocab_size", 30},
                 {"embedding_size", 32},
                 {"max_sequence_length", 48},
                 {"mask_token_id", 29},
                 {"eos_token_id", 28}});
  return config;
}

}  // namespace unmask::testing

#endif  // UNMASK_TESTS_FUZZ_TINY_CHECKPOINT_H_
