// The decided start of an answer: its text, and whether it has ended. Tokens are revealed in any order; text exists as
// far as every token before it is decided.
#ifndef UNMASK_COORDINATOR_ANSWER_H_
#define UNMASK_COORDINATOR_ANSWER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "coordinator/served_model.h"
#include "unmask/v1/inference.pb.h"

namespace unmask {

class Answer {
 public:
  // `model` must outlive this. ends: EOS, EOT and `stops` end the answer; else nothing does (infilling, reference
  // parity).
  Answer(const ServedModel* model, bool ends, std::vector<std::string> stops);

  // Reads on in `tokens`, the whole answer, up to its first mask or its end.
  void Follow(absl::Span<const int32_t> tokens);

  // Reads the rest, masks and all: nothing more will be decided.
  void Finish(absl::Span<const int32_t> tokens);

  // EOS or STOP once the answer has ended by itself; nothing may be revealed after it.
  std::optional<v1::FinishReason> ended() const { return ended_; }

  // Tokens read, the one that ended it included.
  int32_t tokens_read() const { return tokens_read_; }

  // All text so far, without the end's own. Empty without a tokenizer.
  const std::string& text() const { return text_; }

  // The part of text() that was not taken yet and that no later token can cut: a start of a stop string is held back
  // until the answer has ended or is finished.
  std::string TakeDelta();

 private:
  void Read(int32_t token);
  void AppendText(const std::string& piece);

  const ServedModel* const model_;
  const bool ends_;
  const std::vector<std::string> stops_;
  std::optional<TextStream> stream_;  // Absent without a tokenizer.
  std::string text_;
  size_t taken_ = 0;  // Bytes of text_ handed out.
  int32_t tokens_read_ = 0;
  bool finished_ = false;
  std::optional<v1::FinishReason> ended_;
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_ANSWER_H_
