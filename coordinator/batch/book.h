// The batch jobs of a service: what clients ask of them, which line is next, and what has come of each. Nothing is told
// before the store has it. One thread at a time; holds no clock and no lines in flight.
#ifndef UNMASK_COORDINATOR_BATCH_BOOK_H_
#define UNMASK_COORDINATOR_BATCH_BOOK_H_

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/batch/files.h"
#include "coordinator/batch/folder.h"
#include "coordinator/batch/input.h"
#include "coordinator/batch/kept_files.h"
#include "coordinator/batch/store.h"
#include "unmask/v1/batch_service.pb.h"

namespace unmask {

class BatchBook {
 public:
  // Errors: as of coordinator/batch/sqlite.h's Open.
  static absl::StatusOr<std::unique_ptr<BatchBook>> Open(const BatchFolder& folder, const BatchLimits& limits = {});

  // --- For clients. Errors are those of coordinator/errors.h.
  // drawn: a random word, for what the request leaves to be drawn. now: seconds since 1970.
  // origin: of a batch, whose input is the file that it names, and the request's is unset; else null.
  absl::StatusOr<v1::BatchJob> Create(const v1::CreateBatchJobRequest& request, uint64_t drawn, int64_t now,
                                      const BatchOrigin* origin = nullptr);
  absl::StatusOr<v1::BatchJob> Get(const std::string& name) const;
  absl::StatusOr<v1::ListBatchJobsResponse> List(const v1::ListBatchJobsRequest& request) const;
  absl::StatusOr<v1::BatchJob> Pause(const std::string& name);
  absl::StatusOr<v1::BatchJob> Resume(const std::string& name);
  absl::StatusOr<v1::BatchJob> Cancel(const std::string& name, int64_t now);
  absl::Status Delete(const std::string& name);
  absl::StatusOr<v1::ListBatchJobResultsResponse> Results(const v1::ListBatchJobResultsRequest& request);

  // --- For clients of OpenAI's API.
  struct Batch {
    v1::BatchJob job;
    BatchOrigin origin;
    std::string output_file;  // Ids; "": there is none.
    std::string error_file;
  };
  absl::StatusOr<Batch> GetBatch(const std::string& name) const;
  std::vector<Batch> Batches() const;  // The oldest first.
  KeptFiles& files() { return kept_; }
  // The next piece of a file of results, from the line of *index on, which becomes that of the one behind; "": that was
  // all.
  absl::StatusOr<std::string> ResultLines(const KeptFile& file, int64_t* index);

  // --- For who runs them.
  struct Task {
    int64_t key = 0;  // Of its job.
    StoredLine line;
  };
  // The first line without a result of the oldest job that runs. Exactly one of Return and Record follows.
  std::optional<Task> Next();
  void Return(Task task);
  void Record(int64_t key, v1::BatchJobResult result);
  // Whether the job's lines in flight are worth going on with.
  bool Runs(int64_t key) const;
  const v1::BatchJob& job(int64_t key) const { return entries_.at(key).job; }

  // Stores what was recorded, and ends jobs that are through. An error: all that runs is paused, nothing is lost, and
  // the next call tries again.
  absl::Status Save(int64_t now);
  bool in_trouble() const { return !trouble_.ok(); }

  // By state, as clients see them.
  std::array<int64_t, v1::BatchJobState_ARRAYSIZE> JobsByState() const;
  // How many results have been stored since the last call: only the counts of lines that have one.
  v1::BatchJobCounts TakeSaved() { return std::exchange(saved_, {}); }

  // Jobs that have changed since the last call, as they are now; a deleted one is unspecified but for its name.
  std::vector<v1::BatchJob> TakeChanges();

 private:
  struct Entry {
    v1::BatchJob job;  // As stored: PENDING stands for RUNNING, too.
    std::optional<BatchOrigin> origin;
    std::deque<StoredLine> ready;  // Taken from the store.
    int64_t next = 0;              // Where the store's others begin.
    int64_t out = 0;               // Handed out by Next.
    std::vector<v1::BatchJobResult> unsaved;
  };
  using Entries = std::map<int64_t, Entry>;

  BatchBook(const BatchFolder& folder, const BatchLimits& limits, std::unique_ptr<BatchStore> store);
  absl::Status Load();
  absl::StatusOr<BatchInput> InputOf(const v1::CreateBatchJobRequest& request, const BatchOrigin* origin);
  absl::StatusOr<int64_t> StoreLines(int64_t key, bool store, const BatchOrigin* origin, BatchInput* input);
  absl::StatusOr<int64_t> KeyOf(const std::string& name) const;
  absl::StatusOr<Entries::iterator> Find(const std::string& name);
  absl::StatusOr<v1::BatchJob> Change(Entries::iterator at, v1::BatchJob changed);
  absl::StatusOr<v1::BatchJob> End(Entries::iterator at, v1::BatchJob ended, int64_t now);
  absl::StatusOr<std::vector<KeptFile>> OutputsOf(int64_t key, const v1::BatchJob& job, int64_t now);
  Batch BatchOf(const Entry& entry) const;
  absl::Status SaveResults(Entries::iterator at);
  absl::Status EndIfThrough(Entries::iterator at, int64_t now);
  absl::Status WriteOutput(Entries::iterator at);
  v1::BatchJobState StateOf(const Entry& entry) const;
  v1::BatchJob View(const Entry& entry) const;
  void SetTrouble(const absl::Status& status);
  void Changed(const Entry& entry) { changed_.push_back(entry.job.name()); }

  const BatchFolder folder_;
  const BatchLimits limits_;
  const FilesRoot files_;
  const std::unique_ptr<BatchStore> store_;
  KeptFiles kept_;
  Entries entries_;  // By key: the oldest first.
  std::map<std::string, int64_t> keys_;
  absl::Status trouble_;  // Of the store; while it lasts, nothing runs.
  v1::BatchJobCounts saved_;
  std::vector<std::string> changed_;
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_BATCH_BOOK_H_
