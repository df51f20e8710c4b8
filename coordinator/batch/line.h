// One line of a batch job: its request, as it came, and its line of the output.
#ifndef UNMASK_COORDINATOR_BATCH_LINE_H_
#define UNMASK_COORDINATOR_BATCH_LINE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "coordinator/openai/completion.h"
#include "unmask/v1/batch_service.pb.h"
#include "unmask/v1/inference.pb.h"

namespace unmask {

struct BatchLine {
  std::string custom_id;
  std::variant<v1::GenerateRequest, v1::InfillRequest, v1::ScoreRequest> request;
  // Of a line in OpenAI's format: what its body asked for (its own request is in the one above), and the id of its
  // reply.
  std::optional<openai::Completion> completion;
  std::string reply_id;
};

// What its request is answered with.
using BatchReply = std::variant<v1::GenerateResponse, v1::ScoreResponse>;

// {"custom_id": …, "generate": {…}}, or "infill" or "score" in place of "generate", or OpenAI's {"custom_id": …,
// "method": "POST", "url": "/v1/completions" or "/v1/chat/completions", "body": {…}}. INVALID_ARGUMENT says what is
// wrong, and *column where, from 1. What a request means, and whether the model can do it, is not looked at here.
absl::StatusOr<BatchLine> ParseBatchLine(absl::string_view text, int* column);

// Makes it what is computed: batch priority, the job's options where it has none of its own, and a seed that depends on
// nothing but the job's and the line's index.
void PrepareBatchLine(const v1::BatchJob& job, int64_t index, BatchLine* line);

// In the format of the line. The same result gives the same bytes: nothing in them tells when or how often it was
// computed; `created` in OpenAI's objects is 0.
v1::BatchJobResult RenderBatchResult(const BatchLine& line, int64_t index, const absl::StatusOr<BatchReply>& result);

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_BATCH_LINE_H_
