#include "coordinator/openai/batch.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "coordinator/errors.h"
#include "coordinator/json_message.h"
#include "coordinator/openai/completion.h"

namespace unmask::openai {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr char kWindow[] = "24h";
// OpenAI's own bounds.
constexpr size_t kMostMetadata = 16;
constexpr size_t kLongestKey = 64;
constexpr size_t kLongestValue = 512;

absl::Status ReadString(const json& value, absl::string_view path, std::string* out) {
  if (!value.is_string()) return WrongType(path, "a string", value);
  *out = value.get<std::string>();
  return absl::OkStatus();
}

absl::Status CheckMetadata(const json& value) {
  if (!value.is_object()) return WrongType("metadata", "an object", value);
  if (value.size() > kMostMetadata) {
    return InvalidField(kOptionInvalid, "metadata",
                        absl::StrCat("metadata has ", value.size(), " entries, more than ", kMostMetadata));
  }
  for (const auto& [name, text] : value.items()) {
    const std::string where = JsonPath("metadata", name);
    if (!text.is_string()) return WrongType(where, "a string", text);
    if (name.size() <= kLongestKey && text.get_ref<const std::string&>().size() <= kLongestValue) continue;
    return InvalidField(
        kOptionInvalid, where,
        absl::StrCat(where, " is longer than ", kLongestKey, " bytes of a name or ", kLongestValue, " of a value"));
  }
  return absl::OkStatus();
}

absl::Status CheckEndpoint(const std::string& endpoint) {
  for (const Endpoint known : {Endpoint::kCompletions, Endpoint::kChatCompletions}) {
    if (endpoint == EndpointPath(known)) return absl::OkStatus();
  }
  return InvalidField(kOptionInvalid, "endpoint", "endpoint is neither /v1/completions nor /v1/chat/completions");
}

absl::Status ReadDiffusion(const json& value, v1::BatchJob* job) {
  if (!value.is_object()) return WrongType("diffusion", "an object", value);
  for (const auto& [name, part] : value.items()) {
    const std::string where = JsonPath("diffusion", name);
    if (name != "seed" && name != "default_options") return UnknownField(where);
    UNMASK_RETURN_IF_ERROR(ReadField(part, where, job->GetDescriptor()->FindFieldByName(name), job));
  }
  return absl::OkStatus();
}

absl::Status ReadKey(const std::string& name, const json& value, BatchRequest* out) {
  if (name == "input_file_id") return ReadString(value, name, &out->input_file);
  if (name == "endpoint") return ReadString(value, name, &out->endpoint);
  if (name == "diffusion") return ReadDiffusion(value, &out->job);
  if (name == "metadata") {
    out->metadata = value.dump(-1, ' ', false, json::error_handler_t::replace);
    return CheckMetadata(value);
  }
  if (name != "completion_window") return UnknownField(JsonPath("", name));
  if (value == kWindow) return absl::OkStatus();
  return InvalidField(kOptionInvalid, name, "completion_window is not \"24h\"");
}

const char* StatusOf(v1::BatchJobState state) {
  switch (state) {
    case v1::BATCH_JOB_STATE_SUCCEEDED:
      return "completed";
    case v1::BATCH_JOB_STATE_FAILED:
      return "failed";
    case v1::BATCH_JOB_STATE_CANCELLED:
      return "cancelled";
    default:  // One that is paused goes on some day; "diffusion" says it.
      return "in_progress";
  }
}

ordered_json OrNull(const std::string& text) { return text.empty() ? ordered_json() : ordered_json(text); }

}  // namespace

absl::StatusOr<BatchRequest> ParseBatch(absl::string_view body) {
  UNMASK_ASSIGN_OR_RETURN(const json document, ParseJson(body));
  if (!document.is_object()) return WrongType("", "an object", document);
  BatchRequest request;
  for (const auto& [name, value] : document.items()) {
    if (!value.is_null()) UNMASK_RETURN_IF_ERROR(ReadKey(name, value, &request));
  }
  if (request.input_file.empty()) return InvalidField(kInputMissing, "input_file_id", "input_file_id is missing");
  UNMASK_RETURN_IF_ERROR(CheckEndpoint(request.endpoint));
  return request;
}

ordered_json FileJson(const FileNames& file, int64_t bytes, int64_t created) {
  return {{"id", file.id},         {"object", "file"},      {"bytes", bytes},
          {"created_at", created}, {"filename", file.name}, {"purpose", file.results ? "batch_output" : "batch"},
          {"status", "processed"}};
}

ordered_json BatchJson(const v1::BatchJob& job, const BatchNames& names) {
  const std::string status = StatusOf(job.state());
  const auto ended = [&](const char* with) {
    return status == with ? ordered_json(job.end_time().seconds()) : ordered_json();
  };
  const v1::BatchJobCounts& counts = job.counts();
  ordered_json batch;
  batch["id"] = job.name();
  batch["object"] = "batch";
  batch["endpoint"] = names.endpoint;
  batch["errors"] = nullptr;  // A file with errors becomes no batch.
  batch["input_file_id"] = names.input_file;
  batch["completion_window"] = kWindow;
  batch["status"] = status;
  batch["output_file_id"] = OrNull(names.output_file);
  batch["error_file_id"] = OrNull(names.error_file);
  batch["created_at"] = job.create_time().seconds();
  batch["in_progress_at"] = job.create_time().seconds();  // It is validated when it is created.
  batch["completed_at"] = ended("completed");
  batch["failed_at"] = ended("failed");
  batch["cancelled_at"] = ended("cancelled");
  batch["expires_at"] = nullptr;  // It never does.
  batch["request_counts"] = {{"total", counts.total()}, {"completed", counts.succeeded()}, {"failed", counts.failed()}};
  batch["metadata"] = ordered_json::parse(names.metadata);
  batch["diffusion"] = MessageJson(job);
  return batch;
}

absl::StatusOr<Page> ParsePage(const std::vector<std::pair<std::string, std::string>>& query, int64_t limit,
                               int64_t most) {
  Page page;
  page.limit = limit;
  for (const auto& [name, value] : query) {
    if (name == "after") {
      page.after = value;
    } else if (name == "limit") {
      if (absl::SimpleAtoi(value, &page.limit) && page.limit >= 1 && page.limit <= most) continue;
      return InvalidField(kOptionInvalid, name, absl::StrCat("limit is not in [1, ", most, "]"));
    } else if (name == "order") {
      page.ascending = value == "asc";
      if (value == "asc" || value == "desc") continue;
      return InvalidField(kOptionInvalid, name, "order is neither asc nor desc");
    } else {
      return UnknownField(JsonPath("", name));
    }
  }
  return page;
}

absl::StatusOr<ordered_json> ListJson(std::vector<ordered_json> all, const Page& page) {
  if (!page.ascending) std::reverse(all.begin(), all.end());
  auto first = all.begin();
  if (!page.after.empty()) {
    first = std::find_if(all.begin(), all.end(), [&](const ordered_json& each) { return each["id"] == page.after; });
    if (first == all.end()) return InvalidField(kPageTokenInvalid, "after", "after is no id in this list");
    ++first;
  }
  const auto last = first + std::min<int64_t>(page.limit, all.end() - first);
  ordered_json list = {{"object", "list"}, {"data", ordered_json::array()}};
  list["first_id"] = first == last ? ordered_json() : (*first)["id"];
  list["last_id"] = first == last ? ordered_json() : (*std::prev(last))["id"];
  list["has_more"] = last != all.end();
  for (auto at = first; at != last; ++at) list["data"].push_back(std::move(*at));
  return list;
}

}  // namespace unmask::openai
