#include "coordinator/batch/book.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "coordinator/errors.h"

namespace unmask {
namespace {

constexpr int64_t kReadAhead = 64;      // Lines of a job taken from the store at a time.
constexpr size_t kPageBytes = 1 << 20;  // Of results in a message.
constexpr int32_t kLargestPage = 1000;
constexpr int32_t kDefaultPage = 50;

bool Ended(const v1::BatchJob& job) { return job.state() >= v1::BATCH_JOB_STATE_SUCCEEDED; }

bool Paused(const v1::BatchJob& job) { return job.state() == v1::BATCH_JOB_STATE_PAUSED; }

absl::Status CheckPageSize(int32_t size) {
  if (size >= 0 && size <= kLargestPage) return absl::OkStatus();
  return InvalidField(kOptionInvalid, "page_size",
                      absl::StrCat("page_size ", size, " is not in [0, ", kLargestPage, "]"));
}

}  // namespace

BatchBook::BatchBook(const BatchFolder& folder, const BatchLimits& limits, std::unique_ptr<BatchStore> store)
    : folder_(folder), limits_(limits), files_(folder.files()), store_(std::move(store)), kept_(folder, store_.get()) {}

absl::StatusOr<std::unique_ptr<BatchBook>> BatchBook::Open(const BatchFolder& folder, const BatchLimits& limits) {
  UNMASK_ASSIGN_OR_RETURN(std::unique_ptr<BatchStore> store, BatchStore::Open(folder.path));
  std::unique_ptr<BatchBook> book(new BatchBook(folder, limits, std::move(store)));
  UNMASK_RETURN_IF_ERROR(book->Load());
  return book;
}

absl::Status BatchBook::Load() {
  store_->Sweep().IgnoreError();  // Needs space; Create sweeps again.
  UNMASK_ASSIGN_OR_RETURN(auto jobs, store_->Jobs());
  for (auto& [key, job] : jobs) {
    keys_[job.name()] = key;
    entries_[key].job = std::move(job);
  }
  UNMASK_ASSIGN_OR_RETURN(auto origins, store_->Origins());
  for (auto& [key, origin] : origins) {
    // A batch that was not created whole has none.
    if (const auto at = entries_.find(key); at != entries_.end()) at->second.origin = std::move(origin);
  }
  return kept_.Load();
}

// What clients see: a job that could run is paused while the store is in trouble, and runs once a line of it did.
v1::BatchJobState BatchBook::StateOf(const Entry& entry) const {
  if (entry.job.state() != v1::BATCH_JOB_STATE_PENDING) return entry.job.state();
  if (in_trouble()) return v1::BATCH_JOB_STATE_PAUSED;
  const v1::BatchJobCounts& counts = entry.job.counts();
  return entry.out > 0 || counts.succeeded() + counts.failed() > 0 ? v1::BATCH_JOB_STATE_RUNNING
                                                                   : v1::BATCH_JOB_STATE_PENDING;
}

v1::BatchJob BatchBook::View(const Entry& entry) const {
  v1::BatchJob job = entry.job;
  job.set_state(StateOf(entry));
  if (Paused(job) && !Paused(entry.job)) {
    job.mutable_error()->set_reason(ErrorReason(trouble_));
    job.mutable_error()->set_message(std::string(trouble_.message()));
  }
  return job;
}

std::array<int64_t, v1::BatchJobState_ARRAYSIZE> BatchBook::JobsByState() const {
  std::array<int64_t, v1::BatchJobState_ARRAYSIZE> jobs = {};
  for (const auto& [key, entry] : entries_) ++jobs[StateOf(entry)];
  return jobs;
}

absl::StatusOr<int64_t> BatchBook::KeyOf(const std::string& name) const {
  const auto key = keys_.find(name);
  if (key != keys_.end()) return key->second;
  return ServiceError(absl::StatusCode::kNotFound, kJobNotFound, "no such batch job", {{"job", Shown(name)}});
}

absl::StatusOr<BatchBook::Entries::iterator> BatchBook::Find(const std::string& name) {
  UNMASK_ASSIGN_OR_RETURN(const int64_t key, KeyOf(name));
  return entries_.find(key);
}

absl::StatusOr<v1::BatchJob> BatchBook::Get(const std::string& name) const {
  UNMASK_ASSIGN_OR_RETURN(const int64_t key, KeyOf(name));
  return View(entries_.at(key));
}

absl::StatusOr<v1::ListBatchJobsResponse> BatchBook::List(const v1::ListBatchJobsRequest& request) const {
  UNMASK_RETURN_IF_ERROR(CheckPageSize(request.page_size()));
  int64_t after = 0;
  if (!request.page_token().empty() && (!absl::SimpleAtoi(request.page_token(), &after) || after < 1)) {
    return InvalidField(kPageTokenInvalid, "page_token", "page_token did not come from ListBatchJobs");
  }
  const int size = request.page_size() > 0 ? request.page_size() : kDefaultPage;
  v1::ListBatchJobsResponse response;
  for (auto at = entries_.upper_bound(after); at != entries_.end(); ++at) {
    v1::BatchJob job = View(at->second);
    if (request.state() != v1::BATCH_JOB_STATE_UNSPECIFIED && job.state() != request.state()) continue;
    if (response.jobs_size() == size) {
      response.set_next_page_token(absl::StrCat(after));
      break;
    }
    *response.add_jobs() = std::move(job);
    after = at->first;
  }
  return response;
}

absl::StatusOr<v1::BatchJob> BatchBook::Change(Entries::iterator at, v1::BatchJob changed) {
  UNMASK_RETURN_IF_ERROR(store_->SaveJob(at->first, changed));
  at->second.job = std::move(changed);
  Changed(at->second);
  return View(at->second);
}

absl::StatusOr<v1::BatchJob> BatchBook::End(Entries::iterator at, v1::BatchJob ended, int64_t now) {
  ended.mutable_end_time()->set_seconds(now);
  std::vector<KeptFile> outputs;
  if (at->second.origin) {
    UNMASK_ASSIGN_OR_RETURN(outputs, OutputsOf(at->first, ended, now));
  }
  UNMASK_RETURN_IF_ERROR(store_->EndJob(at->first, ended, &outputs));
  for (KeptFile& output : outputs) kept_.Add(std::move(output));
  at->second.job = std::move(ended);
  Changed(at->second);
  return View(at->second);
}

absl::StatusOr<v1::BatchJob> BatchBook::Pause(const std::string& name) {
  UNMASK_ASSIGN_OR_RETURN(const auto at, Find(name));
  v1::BatchJob job = at->second.job;
  if (Ended(job) || Paused(job)) return View(at->second);
  job.set_state(v1::BATCH_JOB_STATE_PAUSED);
  return Change(at, std::move(job));
}

absl::StatusOr<v1::BatchJob> BatchBook::Resume(const std::string& name) {
  UNMASK_ASSIGN_OR_RETURN(const auto at, Find(name));
  v1::BatchJob job = at->second.job;
  if (!Paused(job)) return View(at->second);
  job.set_state(v1::BATCH_JOB_STATE_PENDING);
  return Change(at, std::move(job));
}

absl::StatusOr<v1::BatchJob> BatchBook::Cancel(const std::string& name, int64_t now) {
  UNMASK_ASSIGN_OR_RETURN(const auto at, Find(name));
  v1::BatchJob job = at->second.job;
  if (Ended(job)) return View(at->second);
  job.set_state(v1::BATCH_JOB_STATE_CANCELLED);
  UNMASK_ASSIGN_OR_RETURN(v1::BatchJob changed, End(at, std::move(job), now));
  at->second.unsaved.clear();
  at->second.ready.clear();
  return changed;
}

absl::Status BatchBook::Delete(const std::string& name) {
  UNMASK_ASSIGN_OR_RETURN(const auto at, Find(name));
  if (!Ended(at->second.job)) {
    return ServiceError(absl::StatusCode::kFailedPrecondition, kJobNotTerminal,
                        "the batch job has not ended: cancel it first");
  }
  UNMASK_RETURN_IF_ERROR(store_->DeleteJob(at->first));
  kept_.ForgetJob(at->first);
  Changed(at->second);
  keys_.erase(name);
  entries_.erase(at);
  return absl::OkStatus();
}

absl::StatusOr<v1::ListBatchJobResultsResponse> BatchBook::Results(const v1::ListBatchJobResultsRequest& request) {
  UNMASK_ASSIGN_OR_RETURN(const auto at, Find(request.name()));
  UNMASK_RETURN_IF_ERROR(CheckPageSize(request.page_size()));
  if (request.start_index() < 0 || request.start_index() > limits_.lines) {
    return InvalidField(kOptionInvalid, "start_index",
                        absl::StrCat("start_index ", request.start_index(), " is not in [0, ", limits_.lines, "]"));
  }
  const int64_t size = request.page_size() > 0 ? request.page_size() : kLargestPage;
  UNMASK_ASSIGN_OR_RETURN(auto results, store_->Results(at->first, request.start_index(), size, kPageBytes));
  v1::ListBatchJobResultsResponse response;
  if (!results.empty()) {
    const int64_t next = results.back().index() + 1;
    if (next < at->second.job.counts().total()) response.set_next_index(next);
  }
  for (auto& result : results) *response.add_results() = std::move(result);
  return response;
}

std::optional<BatchBook::Task> BatchBook::Next() {
  if (in_trouble()) return std::nullopt;
  for (auto& [key, entry] : entries_) {
    if (entry.job.state() != v1::BATCH_JOB_STATE_PENDING) continue;
    if (entry.ready.empty() && entry.next < entry.job.counts().total()) {
      auto lines = store_->LinesToDo(key, entry.next, kReadAhead);
      if (!lines.ok()) {
        SetTrouble(lines.status());
        return std::nullopt;
      }
      entry.next = lines->empty() ? entry.job.counts().total() : lines->back().index + 1;
      for (StoredLine& line : *lines) entry.ready.push_back(std::move(line));
    }
    if (entry.ready.empty()) continue;
    Task task{key, std::move(entry.ready.front())};
    entry.ready.pop_front();
    if (++entry.out == 1) Changed(entry);
    return task;
  }
  return std::nullopt;
}

void BatchBook::Return(Task task) {
  const auto at = entries_.find(task.key);
  if (at == entries_.end()) return;
  --at->second.out;
  if (!Ended(at->second.job)) at->second.ready.push_front(std::move(task.line));
}

void BatchBook::Record(int64_t key, v1::BatchJobResult result) {
  const auto at = entries_.find(key);
  if (at == entries_.end()) return;
  --at->second.out;
  if (!Ended(at->second.job)) at->second.unsaved.push_back(std::move(result));
}

bool BatchBook::Runs(int64_t key) const {
  const auto at = entries_.find(key);
  return at != entries_.end() && at->second.job.state() == v1::BATCH_JOB_STATE_PENDING;
}

absl::Status BatchBook::SaveResults(Entries::iterator at) {
  Entry& entry = at->second;
  if (entry.unsaved.empty()) return absl::OkStatus();
  v1::BatchJob job = entry.job;
  v1::BatchJobCounts& counts = *job.mutable_counts();
  const int64_t failed = std::count_if(entry.unsaved.begin(), entry.unsaved.end(),
                                       [](const v1::BatchJobResult& result) { return result.failed(); });
  const int64_t succeeded = entry.unsaved.size() - failed;
  counts.set_failed(counts.failed() + failed);
  counts.set_succeeded(counts.succeeded() + succeeded);
  UNMASK_RETURN_IF_ERROR(store_->SaveResults(at->first, entry.unsaved, job));
  saved_.set_failed(saved_.failed() + failed);
  saved_.set_succeeded(saved_.succeeded() + succeeded);
  entry.job = std::move(job);
  entry.unsaved.clear();
  Changed(entry);
  return absl::OkStatus();
}

absl::Status BatchBook::EndIfThrough(Entries::iterator at, int64_t now) {
  const v1::BatchJobCounts& counts = at->second.job.counts();
  if (Ended(at->second.job) || counts.succeeded() + counts.failed() < counts.total()) return absl::OkStatus();
  v1::BatchJob job = at->second.job;
  const absl::Status written = job.output_path().empty() ? absl::OkStatus() : WriteOutput(at);
  if (absl::IsResourceExhausted(written)) return StorageFull();
  if (ErrorReason(written) == kStorageFailed) return written;  // The store's trouble, not the output's.
  job.set_state(written.ok() ? v1::BATCH_JOB_STATE_SUCCEEDED : v1::BATCH_JOB_STATE_FAILED);
  if (!written.ok()) {
    Log(Severity::kError, "a batch job's output cannot be written", {{"job", job.name()}});
    job.mutable_error()->set_reason(kOutputFailed);
    job.mutable_error()->set_message(std::string(written.message()));
  }
  return End(at, std::move(job), now).status();
}

// From the store alone, so that a second time, after a kill between the renaming and the end, gives the same bytes.
absl::Status BatchBook::WriteOutput(Entries::iterator at) {
  UNMASK_ASSIGN_OR_RETURN(WholeFile file, files_.ForWriting(at->second.job.output_path(), "job.output_path"));
  UNMASK_RETURN_IF_ERROR(file.Begin());
  for (int64_t index = 0; index < at->second.job.counts().total();) {
    UNMASK_ASSIGN_OR_RETURN(const auto results, store_->Results(at->first, index, kLargestPage, kPageBytes));
    if (results.empty()) return absl::DataLossError("a result is missing");
    for (const auto& result : results) UNMASK_RETURN_IF_ERROR(file.Append(absl::StrCat(result.line(), "\n")));
    index = results.back().index() + 1;
  }
  return file.Commit();
}

absl::Status BatchBook::Save(int64_t now) {
  absl::Status status;
  for (auto at = entries_.begin(); at != entries_.end() && status.ok(); ++at) {
    status = SaveResults(at);
    if (status.ok() && !Paused(at->second.job)) status = EndIfThrough(at, now);
  }
  // What could not be read must be read again before all is well.
  for (auto at = entries_.begin(); at != entries_.end() && status.ok() && in_trouble(); ++at) {
    if (Ended(at->second.job) || at->second.next >= at->second.job.counts().total()) continue;
    status = store_->LinesToDo(at->first, at->second.next, 1).status();
  }
  SetTrouble(status);
  return status;
}

void BatchBook::SetTrouble(const absl::Status& status) {
  if (status.ok() != trouble_.ok()) {
    Log(status.ok() ? Severity::kInfo : Severity::kError,
        status.ok() ? "the batch store works again" : "the batch store fails: its jobs are paused",
        {{"reason", ErrorReason(status)}});
    for (const auto& [key, entry] : entries_) {
      if (!Ended(entry.job)) Changed(entry);
    }
  }
  trouble_ = status;
}

std::vector<v1::BatchJob> BatchBook::TakeChanges() {
  std::vector<std::string> names = std::exchange(changed_, {});
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  std::vector<v1::BatchJob> jobs;
  for (const std::string& name : names) {
    if (const auto key = keys_.find(name); key != keys_.end()) {
      jobs.push_back(View(entries_.at(key->second)));
    } else {
      jobs.emplace_back().set_name(name);
    }
  }
  return jobs;
}

}  // namespace unmask
