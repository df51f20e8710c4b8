#include "coordinator/request.h"

#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "coordinator/errors.h"
#include "coordinator/options.h"

namespace unmask {
namespace {

absl::StatusOr<std::vector<int32_t>> Prompt(const v1::GenerateRequest& request, const ServedModel& model) {
  switch (request.input_case()) {
    case v1::GenerateRequest::kText:
      return EncodeText(request.text(), "text", model);
    case v1::GenerateRequest::kChat:
      return EncodeChat(request.chat(), model);
    case v1::GenerateRequest::kTokenIds: {
      const auto& ids = request.token_ids().ids();
      UNMASK_RETURN_IF_ERROR(CheckIds(ids, "token_ids.ids", request.options().reference_parity(), model));
      return std::vector<int32_t>(ids.begin(), ids.end());
    }
    case v1::GenerateRequest::INPUT_NOT_SET:
      break;
  }
  return InvalidField(kInputMissing, "input", "one of text, chat and token_ids must be set");
}

// Encoding a text that few models could take holds a thread of gRPC's for as long as thousands of steps do, and there
// are few: of such texts one at a time is read, or a client that sends many would keep replicas from being heard.
class LongTextTurn {
 public:
  explicit LongTextTurn(size_t bytes)
      : taken_(bytes > kLongText && !busy_.exchange(true)), needed_(bytes > kLongText) {}
  ~LongTextTurn() {
    if (taken_) busy_ = false;
  }
  absl::Status status() const {
    if (taken_ || !needed_) return absl::OkStatus();
    return ServiceError(absl::StatusCode::kResourceExhausted, kOverloaded, "the service is busy reading long texts",
                        {{"long_text_bytes", absl::StrCat(kLongText)}}, absl::Seconds(1));
  }

 private:
  static constexpr size_t kLongText = 64 << 10;
  static inline std::atomic<bool> busy_ = false;
  const bool taken_;
  const bool needed_;
};

}  // namespace

absl::Status CheckPriority(v1::Priority priority) {
  if (v1::Priority_IsValid(priority)) return absl::OkStatus();
  return InvalidField(kOptionInvalid, "priority",
                      absl::StrCat("priority ", static_cast<int>(priority), " does not exist"));
}

absl::Status CheckIds(const google::protobuf::RepeatedField<int32_t>& ids, absl::string_view field, bool parity,
                      const ServedModel& model) {
  const int32_t bound = parity ? model.shape.embedding_size() : model.token_bound();
  for (int i = 0; i < ids.size(); ++i) {
    const std::string path = absl::StrCat(field, "[", i, "]");
    if (ids[i] < 0 || ids[i] >= bound) {
      return InvalidField(kTokenOutOfRange, path, absl::StrCat(path, " ", ids[i], " is not in [0, ", bound, ")"));
    }
    if (!parity && ids[i] == model.mask()) {
      return InvalidField(kMaskTokenInPrompt, path,
                          absl::StrCat(path, " ", ids[i], " is the mask token, which only reference_parity allows"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckModelName(const std::string& name, const ServedModel& model) {
  if (name.empty() || name == model.name) return absl::OkStatus();
  return ServiceError(absl::StatusCode::kNotFound, kModelNotFound, "no such model",
                      {{"model", Shown(name)}, {"served", model.name}});
}

absl::StatusOr<std::vector<int32_t>> EncodeText(const std::string& text, absl::string_view field,
                                                const ServedModel& model) {
  if (!model.tokenizer) {
    return InvalidField(kTokenizerMissing, field, "the checkpoint has no tokenizer: send token ids instead of text");
  }
  const LongTextTurn turn(text.size());
  UNMASK_RETURN_IF_ERROR(turn.status());
  absl::StatusOr<std::vector<int32_t>> ids = model.tokenizer->Encode(text);
  if (!ids.ok()) return InvalidField(kMalformedRequest, field, absl::StrCat(field, ": ", ids.status().message()));
  return ids;
}

absl::StatusOr<std::vector<int32_t>> EncodeChat(const v1::Chat& chat, const ServedModel& model) {
  if (!model.tokenizer || !model.tokenizer->has_chat_template()) {
    return InvalidField(kTokenizerMissing, "chat",
                        model.tokenizer ? "the checkpoint has no chat template: send text instead of a chat"
                                        : "the checkpoint has no tokenizer: send token ids instead of a chat");
  }
  if (chat.messages().empty()) return InvalidField(kInputMissing, "chat.messages", "chat.messages is empty");
  const LongTextTurn turn(chat.ByteSizeLong());
  UNMASK_RETURN_IF_ERROR(turn.status());
  std::vector<ChatMessage> messages;
  for (int i = 0; i < chat.messages_size(); ++i) {
    const v1::ChatMessage& message = chat.messages(i);
    if (message.role() != "system" && message.role() != "user" && message.role() != "assistant") {
      const std::string field = absl::StrCat("chat.messages[", i, "].role");
      return InvalidField(kChatInvalid, field,
                          absl::StrCat(field, " \"", Shown(message.role(), 32), "\" is not system, user or assistant"));
    }
    messages.push_back({message.role(), message.content()});
  }
  absl::StatusOr<std::vector<int32_t>> ids = model.tokenizer->EncodeChat(messages);
  if (!ids.ok()) return InvalidField(kChatInvalid, "chat", absl::StrCat("chat: ", ids.status().message()));
  return ids;
}

absl::StatusOr<SequenceSpec> ParseGenerate(const v1::GenerateRequest& request,
                                           const std::shared_ptr<const ServedModel>& model, uint64_t drawn_seed) {
  UNMASK_RETURN_IF_ERROR(CheckModelName(request.model(), *model));
  UNMASK_RETURN_IF_ERROR(CheckPriority(request.priority()));
  SequenceSpec spec;
  UNMASK_ASSIGN_OR_RETURN(spec.canvas, Prompt(request, *model));
  if (spec.canvas.empty()) return InvalidField(kInputMissing, "input", "the prompt is empty");
  UNMASK_ASSIGN_OR_RETURN(spec.options, ResolveOptions(request.options(), *model, spec.canvas.size(), drawn_seed));
  spec.prompt_length = spec.canvas.size();
  spec.canvas.resize(spec.canvas.size() + spec.options.gen_length(), model->mask());
  spec.model = model;
  spec.output = request.output();
  spec.priority = request.priority();
  spec.request_id = request.request_id();
  return spec;
}

absl::StatusOr<SequenceSpec> ParseInfill(const v1::InfillRequest& request,
                                         const std::shared_ptr<const ServedModel>& model, uint64_t drawn_seed) {
  UNMASK_RETURN_IF_ERROR(CheckModelName(request.model(), *model));
  UNMASK_RETURN_IF_ERROR(CheckPriority(request.priority()));
  if (request.segments().empty()) return InvalidField(kInputMissing, "segments", "segments is empty");
  SequenceSpec spec;
  if (request.has_chat()) {
    UNMASK_ASSIGN_OR_RETURN(spec.canvas, EncodeChat(request.chat(), *model));
  }
  spec.prompt_length = spec.canvas.size();
  std::vector<int32_t> answer;
  bool any_mask = false;
  for (int i = 0; i < request.segments_size(); ++i) {
    const v1::Segment& segment = request.segments(i);
    const std::string field = absl::StrCat("segments[", i, "]");
    std::vector<int32_t> ids;
    switch (segment.content_case()) {
      case v1::Segment::kText: {
        UNMASK_ASSIGN_OR_RETURN(ids, EncodeText(segment.text(), absl::StrCat(field, ".text"), *model));
        break;
      }
      case v1::Segment::kMasks:
        if (segment.masks() < 1) {
          return InvalidField(kOptionInvalid, absl::StrCat(field, ".masks"),
                              absl::StrCat(field, ".masks ", segment.masks(), " is less than 1"));
        }
        UNMASK_RETURN_IF_ERROR(
            CheckLength("segments", spec.prompt_length, int64_t{segment.masks()} + answer.size(), *model));
        ids.assign(segment.masks(), model->mask());
        any_mask = true;
        break;
      case v1::Segment::kTokenIds:
        UNMASK_RETURN_IF_ERROR(CheckIds(segment.token_ids().ids(), absl::StrCat(field, ".token_ids.ids"),
                                        request.options().reference_parity(), *model));
        ids.assign(segment.token_ids().ids().begin(), segment.token_ids().ids().end());
        break;
      case v1::Segment::CONTENT_NOT_SET:
        return InvalidField(kInputMissing, field, absl::StrCat(field, " has neither text, masks nor token_ids"));
    }
    spec.segments.push_back({static_cast<int32_t>(ids.size()), segment.has_masks()});
    answer.insert(answer.end(), ids.begin(), ids.end());
    UNMASK_RETURN_IF_ERROR(CheckLength("segments", spec.prompt_length, answer.size(), *model));
  }
  if (!any_mask) return InvalidField(kInputMissing, "segments", "segments hold no masks: there is nothing to fill in");
  UNMASK_ASSIGN_OR_RETURN(spec.options, ResolveInfillOptions(request.options(), *model, answer, drawn_seed));
  spec.canvas.insert(spec.canvas.end(), answer.begin(), answer.end());
  spec.model = model;
  spec.output = request.output();
  spec.priority = request.priority();
  spec.request_id = request.request_id();
  return spec;
}

}  // namespace unmask
