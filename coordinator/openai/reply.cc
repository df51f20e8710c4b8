#include "coordinator/openai/reply.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/json_message.h"

namespace unmask::openai {
namespace {

using nlohmann::ordered_json;

bool IsChat(const Completion& asked) { return asked.endpoint == Endpoint::kChatCompletions; }
bool IsInfill(const Completion& asked) { return std::holds_alternative<v1::InfillRequest>(asked.request); }

// {"id", "object", "created", "model", "choices": [choice]}, the choice with its finish_reason.
ordered_json Envelope(const Completion& asked, const ReplyNames& names, bool chunk, ordered_json choice,
                      const char* finish_reason) {
  choice["index"] = 0;
  choice["logprobs"] = nullptr;
  choice["finish_reason"] = nullptr;
  if (finish_reason != nullptr) choice["finish_reason"] = finish_reason;
  ordered_json object;
  object["id"] = absl::StrCat(IsChat(asked) ? "chatcmpl-" : "cmpl-", names.id);
  object["object"] = !IsChat(asked) ? "text_completion" : chunk ? "chat.completion.chunk" : "chat.completion";
  object["created"] = names.created;
  object["model"] = names.model;
  object["choices"] = ordered_json::array({std::move(choice)});
  return object;
}

ordered_json Chunk(const Completion& asked, const ReplyNames& names, const std::string& text,
                   const char* finish_reason = nullptr) {
  ordered_json choice;
  if (!IsChat(asked)) {
    choice["text"] = text;
  } else {
    choice["delta"] = ordered_json::object();
    if (!text.empty()) choice["delta"]["content"] = text;
  }
  return Envelope(asked, names, /*chunk=*/true, std::move(choice), finish_reason);
}

const char* FinishReason(const v1::GenerateResponse& response) {
  return response.finish_reason() == v1::FINISH_REASON_LENGTH ? "length" : "stop";
}

// Infilling: of all gaps at once, or with a suffix of the one gap.
std::string Text(const Completion& asked, const v1::GenerateResponse& response) {
  return asked.suffix && response.spans_size() > 0 ? response.spans(0).text() : response.text();
}

ordered_json UsageJson(const v1::Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens()},
          {"completion_tokens", usage.completion_tokens()},
          {"total_tokens", usage.prompt_tokens() + usage.completion_tokens()}};
}

ordered_json Details(const v1::GenerateResponse& response) {
  v1::GenerateResponse rest = response;
  rest.clear_text();
  ordered_json details = MessageJson(rest);
  details.erase("text");
  return details;
}

}  // namespace

ordered_json CompletionJson(const Completion& asked, const ReplyNames& names, const v1::GenerateResponse& response) {
  ordered_json choice;
  if (IsChat(asked)) {
    choice["message"] = {{"role", "assistant"}, {"content", Text(asked, response)}, {"refusal", nullptr}};
  } else {
    choice["text"] = Text(asked, response);
  }
  ordered_json object = Envelope(asked, names, /*chunk=*/false, std::move(choice), FinishReason(response));
  object["usage"] = UsageJson(response.usage());
  object["diffusion"] = Details(response);
  return object;
}

std::vector<ordered_json> ChunkJson(const Completion& asked, const ReplyNames& names,
                                    const v1::GenerateStreamResponse& event) {
  std::vector<ordered_json> chunks;
  const bool steps = asked.stream == Stream::kSteps;
  const auto add_event = [&](ordered_json chunk) {
    if (steps) chunk["diffusion"] = MessageJson(event);
    chunks.push_back(std::move(chunk));
  };
  switch (event.event_case()) {
    case v1::GenerateStreamResponse::kAccepted: {
      ordered_json chunk = Chunk(asked, names, "");
      if (IsChat(asked)) chunk["choices"][0]["delta"] = {{"role", "assistant"}, {"content", ""}};
      if (IsChat(asked) || steps) add_event(std::move(chunk));
      break;
    }
    case v1::GenerateStreamResponse::kStep:
      if (steps) add_event(Chunk(asked, names, ""));
      break;
    case v1::GenerateStreamResponse::kBlock: {
      // A gap's text is known only once all of it is there, between texts that are given.
      const std::string text = IsInfill(asked) ? "" : event.block().text_delta();
      if (steps || !text.empty()) add_event(Chunk(asked, names, text));
      break;
    }
    case v1::GenerateStreamResponse::kCompleted: {
      const v1::GenerateResponse& response = event.completed();
      if (IsInfill(asked)) chunks.push_back(Chunk(asked, names, Text(asked, response)));
      ordered_json last = Chunk(asked, names, "", FinishReason(response));
      last["diffusion"] = {{"completed", Details(response)}};
      chunks.push_back(std::move(last));
      if (asked.include_usage) {
        ordered_json usage = Chunk(asked, names, "");
        usage["choices"] = ordered_json::array();
        usage["usage"] = UsageJson(response.usage());
        chunks.push_back(std::move(usage));
      }
      break;
    }
    case v1::GenerateStreamResponse::EVENT_NOT_SET:
      break;
  }
  return chunks;
}

ordered_json ModelJson(const v1::Model& model, int64_t created) {
  return {{"id", model.name()},
          {"object", "model"},
          {"created", created},
          {"owned_by", "unmask"},
          {"diffusion", MessageJson(model)}};
}

}  // namespace unmask::openai
