// What the coordinator knows of the model it serves: the tokenizer from the checkpoint's folder, the shape from the
// replicas.
#ifndef UNMASK_COORDINATOR_SERVED_MODEL_H_
#define UNMASK_COORDINATOR_SERVED_MODEL_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "text/tokenizer.h"
#include "unmask/internal/v1/replica.pb.h"

namespace unmask {

// Immutable once the first replica is ready; shared by all sequences.
struct ServedModel {
  std::string name;
  internal::v1::ModelShape shape;
  std::shared_ptr<const Tokenizer> tokenizer;  // Null: the checkpoint has none, and only ids come and go.
  std::optional<int32_t> eot;                  // End of turn: ends an answer like EOS.

  int32_t mask() const { return shape.mask_token_id(); }
  int32_t eos() const { return shape.eos_token_id(); }

  // Ids >= this are never proposed, and no prompt may hold them, outside reference parity: the tokenizer lacks them.
  int32_t token_bound() const {
    return tokenizer ? std::min(tokenizer->size(), shape.embedding_size()) : shape.vocab_size();
  }
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_SERVED_MODEL_H_
