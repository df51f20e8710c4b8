// What a body of OpenAI's /v1/completions or /v1/chat/completions asks of the service.
//
// Fields that both know go by OpenAI's names (prompt, messages, max_tokens, temperature, seed, stop, stream); LLaDA's
// own go into an object "diffusion", by the names of unmask.v1.GenerationOptions. A prompt with a `suffix`, and a list
// `diffusion.segments`, are infilled. What OpenAI's API has and masked diffusion has not is an error unless it has its
// neutral value: nothing is silently ignored. Values are judged later, by the one validator (coordinator/request.h);
// here they are only read.
#ifndef UNMASK_COORDINATOR_OPENAI_COMPLETION_H_
#define UNMASK_COORDINATOR_OPENAI_COMPLETION_H_

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "unmask/v1/inference.pb.h"

namespace unmask::openai {

enum class Endpoint { kCompletions, kChatCompletions };

const char* EndpointPath(Endpoint endpoint);  // "/v1/completions"

enum class Stream {
  kNone,
  kBlocks,  // Text, as blocks are decided.
  kSteps,   // Every event of the service beside it.
};

struct Completion {
  Endpoint endpoint = Endpoint::kCompletions;
  std::variant<v1::GenerateRequest, v1::InfillRequest> request;
  Stream stream = Stream::kNone;
  bool include_usage = false;  // A last chunk with the usage.
  bool suffix = false;         // The reply's text is the gap alone.

  // Where the client wrote what a field of `request` holds: by prefix of the field's path, the longest first.
  std::vector<std::pair<std::string, std::string>> origins;
};

// INVALID_ARGUMENT as of coordinator/json_message.h; its field is a path in the body.
absl::StatusOr<Completion> ParseCompletion(Endpoint endpoint, absl::string_view body);
absl::StatusOr<Completion> ReadCompletion(Endpoint endpoint, const nlohmann::json& body);

// "options.steps", as the validator names a field, to "diffusion.steps", as the client wrote it.
std::string OriginOf(const Completion& completion, absl::string_view field);

}  // namespace unmask::openai

#endif  // UNMASK_COORDINATOR_OPENAI_COMPLETION_H_
