#include "coordinator/batch/line.h"

#include <google/protobuf/util/json_util.h>

#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/philox.h"
#include "base/status.h"
#include "coordinator/batch/json_place.h"
#include "coordinator/errors.h"
#include "coordinator/openai/error.h"
#include "coordinator/openai/reply.h"

namespace unmask {
namespace {

constexpr size_t kLongestId = 256;
constexpr uint32_t kSeedStream = 2;  // Beside those of base/philox.h's NoiseStream, with which it shares no words.

// One line's text with the way to its faults.
class LineReader {
 public:
  LineReader(absl::string_view text, int* column) : text_(text), column_(*column) {}

  absl::Status Fault(absl::string_view place, const std::string& problem) const {
    column_ = JsonColumn(text_, place.data() - text_.data());
    return absl::InvalidArgumentError(problem);
  }

  absl::StatusOr<std::vector<JsonMember>> Members() const {
    std::string problem;
    if (const auto at = JsonFault(text_, &problem)) return Fault(text_.substr(*at), problem);
    auto members = JsonMembers(text_);
    if (!members) return Fault(text_, "the line is no JSON object");
    return *std::move(members);
  }

  absl::StatusOr<std::string> Id(absl::string_view value) const {
    const auto id = nlohmann::json::parse(value.begin(), value.end());
    if (!id.is_string()) return Fault(value, "custom_id is no string");
    std::string text = id.get<std::string>();
    if (text.empty() || text.size() > kLongestId) {
      return Fault(value, absl::StrCat("custom_id has ", text.size(), " bytes, not 1 to ", kLongestId));
    }
    return text;
  }

  // OpenAI's members, of which none is needless.
  absl::StatusOr<openai::Completion> Completion(const std::map<absl::string_view, absl::string_view>& values) const {
    const auto value = [&](absl::string_view key) {
      const auto found = values.find(key);
      return found == values.end() ? absl::string_view() : found->second;
    };
    const absl::string_view method = value("method");
    const absl::string_view url = value("url");
    const absl::string_view body = value("body");
    if (method.empty() || url.empty() || body.empty()) return Fault(text_, "method, url and body belong together");
    if (method != "\"POST\"") return Fault(method, "method is not POST");
    for (const openai::Endpoint endpoint : {openai::Endpoint::kCompletions, openai::Endpoint::kChatCompletions}) {
      if (url != absl::StrCat("\"", openai::EndpointPath(endpoint), "\"")) continue;
      absl::StatusOr<openai::Completion> completion = openai::ParseCompletion(endpoint, body);
      if (!completion.ok()) {
        return Fault(JsonAt(body, ErrorField(completion.status())), std::string(completion.status().message()));
      }
      if (completion->stream != openai::Stream::kNone) return Fault(JsonAt(body, "stream"), "stream: nobody reads it");
      return completion;
    }
    return Fault(url, "url is neither /v1/completions nor /v1/chat/completions");
  }

  // Into a message, by proto3's JSON.
  absl::Status Read(absl::string_view key, absl::string_view value, google::protobuf::Message* message) const {
    const auto read = google::protobuf::util::JsonStringToMessage({value.data(), value.size()}, message);
    if (read.ok()) return absl::OkStatus();
    // "(options.steps): invalid value …", or "(options) stepz: Cannot find field."
    const std::string problem(read.message().data(), read.message().size());
    const size_t close = problem.find(')');
    const bool has_path = !problem.empty() && problem[0] == '(' && close != std::string::npos;
    return Fault(has_path ? JsonAt(value, problem.substr(1, close - 1)) : value, absl::StrCat(key, ": ", problem));
  }

 private:
  const absl::string_view text_;
  int& column_;
};

// What the job says for requests that leave it unset. seed: of a request without one.
void Complete(const v1::GenerationOptions& defaults, uint64_t seed, v1::GenerationOptions* options) {
  v1::GenerationOptions merged = defaults;
  if (options->stop_size() > 0) merged.clear_stop();
  merged.MergeFrom(*options);
  if (!merged.has_seed()) merged.set_seed(seed);
  *options = std::move(merged);
}
void Complete(const v1::GenerationOptions& defaults, uint64_t seed, v1::GenerateRequest* request) {
  Complete(defaults, seed, request->mutable_options());
}
void Complete(v1::GenerationOptions defaults, uint64_t seed, v1::InfillRequest* request) {
  defaults.clear_gen_length();
  Complete(defaults, seed, request->mutable_options());
}
void Complete(const v1::GenerationOptions& defaults, uint64_t seed, v1::ScoreRequest* request) {
  if (!request->has_seed()) request->set_seed(defaults.has_seed() ? defaults.seed() : seed);
  if (!request->has_cfg_scale() && defaults.has_cfg_scale()) request->set_cfg_scale(defaults.cfg_scale());
  if (!request->has_reference_parity() && defaults.has_reference_parity()) {
    request->set_reference_parity(defaults.reference_parity());
  }
}

const char* KeyOf(const v1::GenerateRequest&) { return "generate"; }
const char* KeyOf(const v1::InfillRequest&) { return "infill"; }
const char* KeyOf(const v1::ScoreRequest&) { return "score"; }

// proto3's JSON with the proto's own names and all scalars, like the command's, without what tells of the run.
template <typename Response>
nlohmann::ordered_json ToJson(Response response) {
  const bool own_id = !response.request_id().empty();
  response.clear_timing();
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string text;
  // Fails only for messages with Any or Struct that cannot be resolved; this has none.
  (void)google::protobuf::util::MessageToJsonString(response, &text, options);
  nlohmann::ordered_json json = nlohmann::ordered_json::parse(text);
  json.erase("replays");
  if (!own_id) json.erase("request_id");
  return json;
}

// As OpenAI's batches answer: the reply that a call would have had.
nlohmann::ordered_json OpenAiJson(const BatchLine& line, const absl::StatusOr<BatchReply>& result) {
  nlohmann::ordered_json reply = {{"status_code", 200}, {"request_id", line.reply_id}};
  nlohmann::ordered_json error;  // null
  if (result.ok()) {
    v1::GenerateResponse response = std::get<v1::GenerateResponse>(*result);
    response.clear_timing();
    response.clear_request_id();
    response.clear_replays();
    reply["body"] = openai::CompletionJson(*line.completion, {line.reply_id, 0, response.model()}, response);
  } else {
    reply["status_code"] = openai::HttpCode(result.status().code());
    reply["body"] = openai::ErrorJson(result.status(), &*line.completion);
    error = {{"code", reply["body"]["error"]["code"]}, {"message", reply["body"]["error"]["message"]}};
  }
  return {{"id", "batch_req_" + line.reply_id},
          {"custom_id", line.custom_id},
          {"response", std::move(reply)},
          {"error", std::move(error)}};
}

nlohmann::ordered_json ToJson(const absl::Status& error) {
  nlohmann::ordered_json json = {{"code", absl::StatusCodeToString(error.code())}};
  const std::string reason = ErrorReason(error);
  json["reason"] = reason.empty() ? kInternal : reason;
  json["message"] = std::string(error.message());
  return json;
}

}  // namespace

absl::StatusOr<BatchLine> ParseBatchLine(absl::string_view text, int* column) {
  const LineReader reader(text, column);
  UNMASK_ASSIGN_OR_RETURN(const std::vector<JsonMember> members, reader.Members());
  BatchLine line;
  std::map<absl::string_view, absl::string_view> values;
  for (const auto& [key, value] : members) {
    if (!values.emplace(key, value).second) return reader.Fault(value, absl::StrCat("\"", key, "\" is there twice"));
    if (key == "custom_id") {
      UNMASK_ASSIGN_OR_RETURN(line.custom_id, reader.Id(value));
    } else if (key == "generate") {
      UNMASK_RETURN_IF_ERROR(reader.Read(key, value, &line.request.emplace<v1::GenerateRequest>()));
    } else if (key == "infill") {
      UNMASK_RETURN_IF_ERROR(reader.Read(key, value, &line.request.emplace<v1::InfillRequest>()));
    } else if (key == "score") {
      UNMASK_RETURN_IF_ERROR(reader.Read(key, value, &line.request.emplace<v1::ScoreRequest>()));
    } else if (key != "method" && key != "url" && key != "body") {
      return reader.Fault(value, absl::StrCat("a line has no \"", Shown(key), "\""));
    }
  }
  const auto has = [&](absl::string_view key) { return values.count(key) > 0; };
  if (!has("custom_id")) return reader.Fault(text, "custom_id is missing");
  const bool openai = has("method") || has("url") || has("body");
  if (has("generate") + has("infill") + has("score") + openai != 1) {
    return reader.Fault(text, "exactly one of generate, infill, score and body must be there");
  }
  if (openai) {
    UNMASK_ASSIGN_OR_RETURN(line.completion, reader.Completion(values));
    std::visit([&line](auto& request) { line.request = std::move(request); }, line.completion->request);
  }
  return line;
}

void PrepareBatchLine(const v1::BatchJob& job, int64_t index, BatchLine* line) {
  const PhiloxWords words =
      Philox4x32({static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), 0, kSeedStream},
                 static_cast<uint32_t>(job.seed()), static_cast<uint32_t>(job.seed() >> 32));
  const uint64_t seed = uint64_t{words[0]} << 32 | words[1];
  line->reply_id = absl::StrFormat("%08x%08x", words[2], words[3]);
  std::visit(
      [&](auto& request) {
        Complete(job.default_options(), seed, &request);
        request.set_priority(v1::PRIORITY_BATCH);
      },
      line->request);
}

v1::BatchJobResult RenderBatchResult(const BatchLine& line, int64_t index, const absl::StatusOr<BatchReply>& result) {
  nlohmann::ordered_json json;
  if (line.completion) {
    json = OpenAiJson(line, result);
  } else if (result.ok()) {
    json["custom_id"] = line.custom_id;
    std::visit(
        [&](const auto& request, auto response) {
          response.set_request_id(request.request_id());  // What the line asked for, not what was drawn for the log.
          json[KeyOf(request)] = ToJson(std::move(response));
        },
        line.request, *result);
  } else {
    json["custom_id"] = line.custom_id;
    json["error"] = ToJson(result.status());
  }
  v1::BatchJobResult rendered;
  rendered.set_index(index);
  rendered.set_failed(!result.ok());
  rendered.set_line(json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  return rendered;
}

}  // namespace unmask
