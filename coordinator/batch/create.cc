// BatchBook::Create: from a request to a job in the store, or to all that is wrong with its input.
#include <algorithm>
#include <filesystem>
#include <unordered_map>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"
#include "coordinator/batch/book.h"
#include "coordinator/batch/json_place.h"
#include "coordinator/batch/line.h"
#include "coordinator/errors.h"

namespace unmask {
namespace {

constexpr size_t kLongestName = 63;
constexpr size_t kMostViolations = 16;  // They travel in a header.
constexpr size_t kPiece = 500;          // Lines stored in a transaction.

bool IsName(absl::string_view name) {
  return !name.empty() && name.size() <= kLongestName && std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-' || c == '_';
  });
}

absl::Status CheckName(absl::string_view name, absl::string_view field) {
  if (IsName(name)) return absl::OkStatus();
  return InvalidField(kJobInvalid, field, absl::StrCat(field, " is not 1 to ", kLongestName, " of a-z, 0-9, - and _"));
}

bool IsFor(absl::string_view endpoint, const BatchLine& line) {
  return line.completion && openai::EndpointPath(line.completion->endpoint) == endpoint;
}

}  // namespace

absl::StatusOr<BatchInput> BatchBook::InputOf(const v1::CreateBatchJobRequest& request, const BatchOrigin* origin) {
  if (origin != nullptr) {
    UNMASK_ASSIGN_OR_RETURN(OwnedFd file, kept_.Open(origin->input_file, "input_file_id"));
    return BatchInput::OfFile(std::move(file), limits_);
  }
  switch (request.input_case()) {
    case v1::CreateBatchJobRequest::kLines:
      return BatchInput::OfText(request.lines(), limits_);
    case v1::CreateBatchJobRequest::kPath: {
      UNMASK_ASSIGN_OR_RETURN(OwnedFd file, files_.OpenForReading(request.path(), "path"));
      return BatchInput::OfFile(std::move(file), limits_);
    }
    case v1::CreateBatchJobRequest::kUpload: {
      UNMASK_RETURN_IF_ERROR(CheckName(request.upload(), "upload"));
      UNMASK_ASSIGN_OR_RETURN(OwnedFd file, FilesRoot(folder_.uploads()).OpenForReading(request.upload(), "upload"));
      return BatchInput::OfFile(std::move(file), limits_);
    }
    case v1::CreateBatchJobRequest::INPUT_NOT_SET:
      break;
  }
  return InvalidField(kInputMissing, "input", "one of lines, path and upload must be set");
}

// How many there are. The first faults are collected; from the first one on, nothing more is stored.
absl::StatusOr<int64_t> BatchBook::StoreLines(int64_t key, bool store, const BatchOrigin* origin, BatchInput* input) {
  std::vector<Violation> faults;
  const auto fault = [&](int column, absl::string_view problem) {
    faults.push_back({absl::StrFormat("line %d, column %d", input->number(), column), std::string(problem)});
  };
  std::unordered_map<std::string, int64_t> first_with;  // The line of each custom_id.
  std::vector<StoredLine> piece;
  int64_t count = 0;
  std::string text;
  while (faults.size() < kMostViolations) {
    const absl::StatusOr<bool> more = input->Next(&text);
    if (!more.ok() && !absl::IsInvalidArgument(more.status())) return more.status();
    if (!more.ok()) fault(1, more.status().message());
    if (!more.ok() || !*more) break;
    int column = 1;
    const absl::StatusOr<BatchLine> line = ParseBatchLine(text, &column);
    if (!line.ok()) {
      fault(column, line.status().message());
    } else if (const auto [at, is_new] = first_with.emplace(line->custom_id, input->number()); !is_new) {
      fault(JsonColumn(text, JsonAt(text, "custom_id").data() - text.data()),
            absl::StrCat("custom_id is that of line ", at->second, ", too"));
    } else if (origin != nullptr && !IsFor(origin->endpoint, *line)) {
      fault(JsonColumn(text, JsonAt(text, "url").data() - text.data()),
            absl::StrCat("url is not the batch's endpoint, ", origin->endpoint));
    }
    if (count == limits_.lines) {
      fault(1, absl::StrCat("the input has more than ", limits_.lines, " lines"));
      break;
    }
    if (!faults.empty() || !store) {
      ++count;
      continue;
    }
    piece.push_back({count++, text});
    if (piece.size() == kPiece) {
      UNMASK_RETURN_IF_ERROR(store_->AddLines(key, piece));
      piece.clear();
    }
  }
  if (!faults.empty()) return InvalidFields(kBatchInputInvalid, faults);
  if (count == 0) return InvalidField(kInputMissing, "input", "the input has no lines");
  if (!piece.empty()) UNMASK_RETURN_IF_ERROR(store_->AddLines(key, piece));
  return count;
}

absl::StatusOr<v1::BatchJob> BatchBook::Create(const v1::CreateBatchJobRequest& request, uint64_t drawn, int64_t now,
                                               const BatchOrigin* origin) {
  v1::BatchJob job;
  job.set_name(request.job().name().empty() ? absl::StrFormat("job-%016x", drawn) : request.job().name());
  UNMASK_RETURN_IF_ERROR(CheckName(job.name(), "job.name"));
  if (keys_.count(job.name()) > 0) {
    return ServiceError(absl::StatusCode::kAlreadyExists, kJobExists, "a batch job of this name exists",
                        {{"job", job.name()}});
  }
  if (!request.job().output_path().empty()) {
    UNMASK_RETURN_IF_ERROR(files_.ForWriting(request.job().output_path(), "job.output_path").status());
    bool taken = files_.Exists(request.job().output_path());
    for (const auto& [key, entry] : entries_) taken |= entry.job.output_path() == request.job().output_path();
    if (taken) return ServiceError(absl::StatusCode::kAlreadyExists, kOutputExists, "the job's output exists");
    job.set_output_path(request.job().output_path());
  }
  job.set_state(v1::BATCH_JOB_STATE_PENDING);
  job.set_seed(request.job().has_seed() ? request.job().seed() : drawn);
  *job.mutable_default_options() = request.job().default_options();
  job.mutable_create_time()->set_seconds(now);

  UNMASK_ASSIGN_OR_RETURN(BatchInput input, InputOf(request, origin));
  int64_t key = 0;
  if (!request.validate_only()) {
    UNMASK_RETURN_IF_ERROR(store_->Sweep());
    UNMASK_ASSIGN_OR_RETURN(key, store_->BeginJob());
  }
  const absl::StatusOr<int64_t> lines = StoreLines(key, !request.validate_only(), origin, &input);
  if (!lines.ok()) {
    if (key != 0) store_->DeleteJob(key).IgnoreError();  // Else the next Sweep takes it.
    return lines.status();
  }
  job.mutable_counts()->set_total(*lines);
  job.set_input_digest(input.TakeDigest());
  if (request.validate_only()) return job;
  UNMASK_RETURN_IF_ERROR(store_->FinishJob(key, job, origin));
  if (request.input_case() == v1::CreateBatchJobRequest::kUpload) {
    std::error_code ignored;  // It is a copy now; what cannot be removed goes at the next start.
    std::filesystem::remove(folder_.uploads() + "/" + request.upload(), ignored);
  }
  keys_[job.name()] = key;
  Entry& entry = entries_[key];
  entry.job = job;
  if (origin != nullptr) entry.origin = *origin;
  Changed(entry);
  return job;
}

}  // namespace unmask
