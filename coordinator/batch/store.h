// Batch jobs on disk: their headers, their lines and their results. What a method has returned OK for survives
// everything but the disk's end. One thread at a time.
#ifndef UNMASK_COORDINATOR_BATCH_STORE_H_
#define UNMASK_COORDINATOR_BATCH_STORE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "coordinator/batch/sqlite.h"
#include "unmask/v1/batch_service.pb.h"

namespace unmask {

struct StoredLine {
  int64_t index = 0;
  std::string text;  // As it came.
};

// What OpenAI's API adds to a job that was created through it, a batch.
struct BatchOrigin {
  std::string input_file;  // A file's id.
  std::string endpoint;    // Of each line: "/v1/completions".
  std::string metadata;    // The client's own, a JSON object.
};

// A file of OpenAI's API: an upload, or results of a batch that has ended.
struct KeptFile {
  int64_t key = 0;
  std::string id;
  std::string name;  // The client's.
  int64_t bytes = 0;
  int64_t created = 0;  // Seconds since 1970.
  int64_t job = 0;      // Whose results it is, line by line; 0: an upload, which lies in a folder.
  bool failed = false;  // The results that are errors, or the others.
};

// Jobs and files have keys that grow and are never used again. Errors are those of coordinator/batch/sqlite.h.
class BatchStore {
 public:
  // In a folder that exists.
  static absl::StatusOr<std::unique_ptr<BatchStore>> Open(const std::string& folder);

  // All jobs that were created whole, the oldest first.
  absl::StatusOr<std::vector<std::pair<int64_t, v1::BatchJob>>> Jobs();
  // Of those that are batches, by key.
  absl::StatusOr<std::map<int64_t, BatchOrigin>> Origins();

  // A job is created in this order: BeginJob, AddLines*, FinishJob. Until the last one it does not exist, and Sweep
  // takes away what is there of it.
  absl::StatusOr<int64_t> BeginJob();
  absl::Status AddLines(int64_t key, absl::Span<const StoredLine> lines);
  // origin: null for a job that is no batch.
  absl::Status FinishJob(int64_t key, const v1::BatchJob& job, const BatchOrigin* origin);
  absl::Status Sweep();

  absl::Status SaveJob(int64_t key, const v1::BatchJob& job);
  // Results and what the job is with them, in one transaction. Their lines must have none yet.
  absl::Status SaveResults(int64_t key, absl::Span<const v1::BatchJobResult> results, const v1::BatchJob& job);
  // What the job is at its end, and the files that show its results: they get their keys.
  absl::Status EndJob(int64_t key, const v1::BatchJob& job, std::vector<KeptFile>* outputs);
  absl::Status DeleteJob(int64_t key);  // With its files.

  // Up to `limit` lines without a result, from this index on.
  absl::StatusOr<std::vector<StoredLine>> LinesToDo(int64_t key, int64_t from, int64_t limit);
  // Up to `limit` results from this index on, and no more after max_bytes of lines.
  absl::StatusOr<std::vector<v1::BatchJobResult>> Results(int64_t key, int64_t from, int64_t limit, size_t max_bytes);
  // What they take as lines: of those that are errors, or of the others.
  absl::StatusOr<int64_t> ResultBytes(int64_t key, bool failed);

  absl::StatusOr<std::vector<KeptFile>> Files();  // The oldest first.
  absl::Status AddFile(KeptFile* file);           // It gets its key.
  absl::Status DeleteFile(const KeptFile& file);  // With the results that it shows.

 private:
  explicit BatchStore(std::unique_ptr<Database> database) : database_(std::move(database)) {}
  absl::Status Remove(absl::string_view jobs);  // By a condition on them.

  const std::unique_ptr<Database> database_;
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_BATCH_STORE_H_
