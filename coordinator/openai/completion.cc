#include "coordinator/openai/completion.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "coordinator/errors.h"
#include "coordinator/json_message.h"

namespace unmask::openai {
namespace {

using nlohmann::json;

constexpr int32_t kDefaultGap = 128;  // As gen_length's default.

// What OpenAI's API has and this service has not, with the one value that changes nothing. "": any value, it is for
// OpenAI's own bookkeeping.
struct Neutral {
  const char* name;
  const char* value;
};
constexpr Neutral kNeutral[] = {
    {"user", ""},
    {"metadata", ""},
    {"safety_identifier", ""},
    {"prompt_cache_key", ""},
    {"store", "false"},
    {"n", "1"},
    {"best_of", "1"},
    {"echo", "false"},
    {"logprobs", "false"},
    {"top_logprobs", "0"},
    {"top_p", "1"},
    {"frequency_penalty", "0"},
    {"presence_penalty", "0"},
    {"logit_bias", "{}"},
    {"response_format", R"({"type":"text"})"},
    {"modalities", R"(["text"])"},
    {"tools", "[]"},
    {"functions", "[]"},
    {"tool_choice", R"("none")"},
    {"function_call", R"("none")"},
    {"parallel_tool_calls", "true"},
};

absl::Status CheckNeutral(const Neutral& known, const json& value) {
  if (known.value[0] == '\0' || value == json::parse(known.value)) return absl::OkStatus();
  return InvalidField(kOptionInvalid, known.name,
                      absl::StrCat(known.name, " is not supported: leave it out, or ", known.value));
}

// Reads one body; a request's fields come from several of its keys, in any order.
class Reader {
 public:
  Reader(Endpoint endpoint, Completion* out) : chat_(endpoint == Endpoint::kChatCompletions), out_(*out) {
    out_.endpoint = endpoint;
  }

  absl::Status Read(const json& body) {
    if (!body.is_object()) return WrongType("", "an object", body);
    for (const auto& [name, value] : body.items()) {
      if (!value.is_null()) UNMASK_RETURN_IF_ERROR(ReadKey(name, value));
    }
    UNMASK_RETURN_IF_ERROR(Agree());
    Assemble();
    return absl::OkStatus();
  }

 private:
  absl::Status ReadKey(const std::string& name, const json& value) {
    if (name == "model") return ReadInto("model", value, name, &generate_);
    if (name == "prompt" && !chat_) return ReadPrompt(value);
    if (name == "suffix" && !chat_) {
      if (!value.is_string()) return WrongType(name, "a string", value);
      suffix_ = value.get<std::string>();
      return absl::OkStatus();
    }
    if (name == "messages" && chat_) return ReadMessages(value);
    if (name == "max_tokens" || (name == "max_completion_tokens" && chat_)) {
      return ReadOwn("gen_length", name, value, &max_tokens_);
    }
    if (name == "temperature" || name == "seed") return ReadOwn(name, name, value, &openai_);
    if (name == "stop") return ReadOwn(name, name, value.is_string() ? json::array({value}) : value, &openai_);
    if (name == "stream") return ReadBool(name, value, &stream_);
    if (name == "stream_options") return ReadStreamOptions(value);
    if (name == "service_tier") return ReadTier(value);
    if (name == "diffusion") return ReadDiffusion(value);
    for (const Neutral& known : kNeutral) {
      if (name == known.name) return CheckNeutral(known, value);
    }
    return UnknownField(JsonPath("", name));
  }

  static absl::Status ReadInto(const char* field, const json& value, absl::string_view path,
                               google::protobuf::Message* message) {
    return ReadField(value, path, message->GetDescriptor()->FindFieldByName(field), message);
  }

  // An option under a name of OpenAI's.
  absl::Status ReadOwn(const std::string& option, const std::string& name, const json& value,
                       v1::GenerationOptions* options) {
    out_.origins.emplace_back("options." + option, name);
    if (options == &max_tokens_ && options->has_gen_length()) {
      return InvalidField(kOptionInvalid, name, "max_tokens and max_completion_tokens are both set");
    }
    return ReadInto(option.c_str(), value, name, options);
  }

  static absl::Status ReadBool(absl::string_view path, const json& value, bool* out) {
    if (!value.is_boolean()) return WrongType(path, "true or false", value);
    *out = value.get<bool>();
    return absl::OkStatus();
  }

  // A string, or a list of ids; as a list of one prompt too.
  absl::Status ReadPrompt(const json& value) {
    if (value.is_string()) return ReadInto("text", value, "prompt", &generate_);
    if (!value.is_array()) return WrongType("prompt", "a string or an array of token ids", value);
    const bool several = !value.empty() && (value[0].is_string() || value[0].is_array());
    if (!several) return ReadInto("token_ids", value, "prompt", &generate_);
    if (value.size() == 1) return ReadPrompt(value[0]);
    return InvalidField(kOptionInvalid, "prompt",
                        absl::StrCat("prompt holds ", value.size(), " prompts: send one request for each"));
  }

  absl::Status ReadMessages(const json& value) {
    if (!value.is_array()) return WrongType("messages", "an array", value);
    generate_.mutable_chat();
    for (size_t i = 0; i < value.size(); ++i) {
      UNMASK_RETURN_IF_ERROR(
          ReadMessageOf(value[i], absl::StrCat("messages[", i, "]"), generate_.mutable_chat()->add_messages()));
    }
    return absl::OkStatus();
  }

  static absl::Status ReadMessageOf(const json& value, const std::string& path, v1::ChatMessage* message) {
    if (!value.is_object()) return WrongType(path, "an object", value);
    for (const auto& [name, part] : value.items()) {
      const std::string where = JsonPath(path, name);
      if (part.is_null() && name != "content") continue;
      if (name == "role") {
        UNMASK_RETURN_IF_ERROR(ReadInto("role", part, where, message));
      } else if (name == "content") {
        UNMASK_RETURN_IF_ERROR(ReadContent(part, where, message));
      } else if (name == "annotations" && part.is_array() && part.empty()) {
        continue;  // Of an answer that is sent back.
      } else {
        return UnknownField(where);
      }
    }
    if (message->role() == "developer") message->set_role("system");  // OpenAI's newer name.
    return absl::OkStatus();
  }

  // A string, or a list of parts {"type": "text", "text": ...}, which are joined.
  static absl::Status ReadContent(const json& value, const std::string& path, v1::ChatMessage* message) {
    if (value.is_string()) return ReadInto("content", value, path, message);
    if (!value.is_array()) return WrongType(path, "a string or an array of text parts", value);
    for (size_t i = 0; i < value.size(); ++i) {
      const std::string where = absl::StrCat(path, "[", i, "]");
      if (!value[i].is_object()) return WrongType(where, "an object", value[i]);
      const auto text = value[i].find("text");
      if (value[i].value("type", json()) != "text" || text == value[i].end() || !text->is_string()) {
        return InvalidField(kMalformedRequest, where, absl::StrCat(where, " is not a part of type text with a text"));
      }
      message->mutable_content()->append(text->get_ref<const std::string&>());
    }
    return absl::OkStatus();
  }

  absl::Status ReadStreamOptions(const json& value) {
    if (!value.is_object()) return WrongType("stream_options", "an object", value);
    for (const auto& [name, option] : value.items()) {
      const std::string where = JsonPath("stream_options", name);
      bool ignored;
      if (name != "include_usage" && name != "include_obfuscation") return UnknownField(where);
      if (option.is_null()) continue;
      UNMASK_RETURN_IF_ERROR(ReadBool(where, option, name == "include_usage" ? &out_.include_usage : &ignored));
    }
    return absl::OkStatus();
  }

  // OpenAI's name for work that waits for others' is "flex".
  absl::Status ReadTier(const json& value) {
    if (value == "flex") generate_.set_priority(v1::PRIORITY_BATCH);
    if (value == "flex" || value == "auto" || value == "default") return absl::OkStatus();
    return InvalidField(kOptionInvalid, "service_tier", "service_tier is none of auto, default, flex");
  }

  absl::Status ReadDiffusion(const json& value) {
    if (!value.is_object()) return WrongType("diffusion", "an object", value);
    for (const auto& [name, part] : value.items()) {
      if (part.is_null()) continue;
      const std::string where = JsonPath("diffusion", name);
      if (name == "stream") {
        if (part != "steps" && part != "blocks") {
          return InvalidField(kOptionInvalid, where, "diffusion.stream is neither \"blocks\" nor \"steps\"");
        }
        steps_ = part == "steps";
      } else if (name == "segments") {
        UNMASK_RETURN_IF_ERROR(ReadInto("segments", part, where, &infill_));
        segments_ = true;
      } else if (name == "output" || name == "priority" || name == "request_id") {
        UNMASK_RETURN_IF_ERROR(ReadInto(name.c_str(), part, where, &generate_));
      } else {
        if (diffusion_.GetDescriptor()->FindFieldByName(name) == nullptr) return UnknownField(where);
        UNMASK_RETURN_IF_ERROR(ReadInto(name.c_str(), part, where, &diffusion_));
      }
    }
    return absl::OkStatus();
  }

  static absl::Status Contradiction(absl::string_view param, absl::string_view message) {
    return InvalidField(kOptionInvalid, param, message);
  }

  absl::Status Agree() const {
    const auto* type = diffusion_.GetDescriptor();
    for (const auto& [origin, name] : out_.origins) {
      const std::string option(absl::StripPrefix(origin, "options."));
      const auto* field = type->FindFieldByName(option);
      const bool twice = field->is_repeated() ? diffusion_.GetReflection()->FieldSize(diffusion_, field) > 0
                                              : diffusion_.GetReflection()->HasField(diffusion_, field);
      if (twice) return Contradiction(name, absl::StrCat(name, " and diffusion.", option, " are both set"));
    }
    if (segments_ && generate_.has_text()) return Contradiction("prompt", "prompt and diffusion.segments are both set");
    if (segments_ && generate_.has_token_ids()) {
      return Contradiction("prompt", "prompt and diffusion.segments are both set");
    }
    if (segments_ && !suffix_.empty()) return Contradiction("suffix", "suffix and diffusion.segments are both set");
    return absl::OkStatus();
  }

  void Assemble() {
    v1::GenerationOptions& options = diffusion_;
    options.MergeFrom(max_tokens_);
    options.MergeFrom(openai_);
    out_.stream = !stream_ ? Stream::kNone : steps_ ? Stream::kSteps : Stream::kBlocks;
    const bool infill = segments_ || !suffix_.empty();
    if (!suffix_.empty()) FillBefore(suffix_, &options);
    *(infill ? infill_.mutable_options() : generate_.mutable_options()) = std::move(options);
    const std::vector<std::pair<std::string, std::string>> rest = {{"options", "diffusion"},
                                                                   {"segments", "diffusion.segments"},
                                                                   {"output", "diffusion.output"},
                                                                   {"priority", "diffusion.priority"},
                                                                   {"request_id", "diffusion.request_id"},
                                                                   {"chat.messages", "messages"},
                                                                   {"chat", "messages"},
                                                                   {"input", chat_ ? "messages" : "prompt"},
                                                                   {"text", "prompt"},
                                                                   {"token_ids.ids", "prompt"},
                                                                   {"token_ids", "prompt"}};
    out_.origins.insert(out_.origins.end(), rest.begin(), rest.end());
    if (!infill) {
      out_.request = std::move(generate_);
      return;
    }
    infill_.set_model(generate_.model());
    infill_.set_priority(generate_.priority());
    infill_.set_request_id(generate_.request_id());
    if (generate_.has_output()) *infill_.mutable_output() = generate_.output();
    if (generate_.has_chat()) *infill_.mutable_chat() = generate_.chat();
    out_.request = std::move(infill_);
  }

  // The prompt, a gap, the suffix.
  void FillBefore(const std::string& suffix, v1::GenerationOptions* options) {
    v1::Segment* before = infill_.add_segments();
    if (generate_.has_token_ids()) {
      *before->mutable_token_ids() = generate_.token_ids();
    } else {
      before->set_text(generate_.text());
    }
    infill_.add_segments()->set_masks(options->has_gen_length() ? options->gen_length() : kDefaultGap);
    options->clear_gen_length();
    infill_.add_segments()->set_text(suffix);
    out_.suffix = true;
    const std::string length = max_tokens_.has_gen_length() ? "max_tokens" : "diffusion.gen_length";
    const std::vector<std::pair<std::string, std::string>> own = {{"segments[0].token_ids.ids", "prompt"},
                                                                  {"segments[0].text", "prompt"},
                                                                  {"segments[0]", "prompt"},
                                                                  {"segments[1]", length},
                                                                  {"segments[2].text", "suffix"},
                                                                  {"segments[2]", "suffix"}};
    out_.origins.insert(out_.origins.end(), own.begin(), own.end());
  }

  const bool chat_;
  Completion& out_;
  v1::GenerateRequest generate_;  // All but options and segments, for both kinds.
  v1::InfillRequest infill_;
  v1::GenerationOptions max_tokens_, openai_, diffusion_;  // By where they stand in the body.
  std::string suffix_;
  bool stream_ = false;
  bool steps_ = false;
  bool segments_ = false;
};

}  // namespace

const char* EndpointPath(Endpoint endpoint) {
  return endpoint == Endpoint::kCompletions ? "/v1/completions" : "/v1/chat/completions";
}

absl::StatusOr<Completion> ReadCompletion(Endpoint endpoint, const json& body) {
  Completion completion;
  UNMASK_RETURN_IF_ERROR(Reader(endpoint, &completion).Read(body));
  return completion;
}

absl::StatusOr<Completion> ParseCompletion(Endpoint endpoint, absl::string_view body) {
  UNMASK_ASSIGN_OR_RETURN(const json document, ParseJson(body));
  return ReadCompletion(endpoint, document);
}

std::string OriginOf(const Completion& completion, absl::string_view field) {
  for (const auto& [prefix, origin] : completion.origins) {
    absl::string_view rest = field;
    if (!absl::ConsumePrefix(&rest, prefix)) continue;
    if (rest.empty() || rest[0] == '.' || rest[0] == '[') return absl::StrCat(origin, rest);
  }
  return std::string(field);
}

}  // namespace unmask::openai
