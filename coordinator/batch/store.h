// Batch jobs on disk: their headers, their lines and their results. What a method has returned OK for survives
// everything but the disk's end. One thread at a time.
#ifndef UNMASK_COORDINATOR_BATCH_STORE_H_
#define UNMASK_COORDINATOR_BATCH_STORE_H_

#include <cstdint>
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

// Jobs have keys that grow and are never used again. Errors are those of coordinator/batch/sqlite.h.
class BatchStore {
 public:
  // In a folder that exists.
  static absl::StatusOr<std::unique_ptr<BatchStore>> Open(const std::string& folder);

  // All jobs that were created whole, the oldest first.
  absl::StatusOr<std::vector<std::pair<int64_t, v1::BatchJob>>> Jobs();

  // A job is created in this order: BeginJob, AddLines*, FinishJob. Until the last one it does not exist, and Sweep
  // takes away what is there of it.
  absl::StatusOr<int64_t> BeginJob();
  absl::Status AddLines(int64_t key, absl::Span<const StoredLine> lines);
  absl::Status FinishJob(int64_t key, const v1::BatchJob& job);
  absl::Status Sweep();

  absl::Status SaveJob(int64_t key, const v1::BatchJob& job);
  // Results and what the job is with them, in one transaction. Their lines must have none yet.
  absl::Status SaveResults(int64_t key, absl::Span<const v1::BatchJobResult> results, const v1::BatchJob& job);
  absl::Status DeleteJob(int64_t key);

  // Up to `limit` lines without a result, from this index on.
  absl::StatusOr<std::vector<StoredLine>> LinesToDo(int64_t key, int64_t from, int64_t limit);
  // Up to `limit` results from this index on, and no more after max_bytes of lines.
  absl::StatusOr<std::vector<v1::BatchJobResult>> Results(int64_t key, int64_t from, int64_t limit, size_t max_bytes);

 private:
  explicit BatchStore(std::unique_ptr<Database> database) : database_(std::move(database)) {}
  absl::Status Remove(absl::string_view jobs);  // By a condition on them.

  const std::unique_ptr<Database> database_;
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_BATCH_STORE_H_
