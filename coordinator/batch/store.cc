#include "coordinator/batch/store.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace unmask {
namespace {

// A line's id is its job's key and its index in one integer, the table's own order: no second index.
constexpr char kSchema[] =
    "CREATE TABLE IF NOT EXISTS jobs (key INTEGER PRIMARY KEY AUTOINCREMENT, job BLOB);"  // NULL: not created whole.
    "CREATE TABLE IF NOT EXISTS lines (id INTEGER PRIMARY KEY, line TEXT NOT NULL);"
    "CREATE TABLE IF NOT EXISTS results (id INTEGER PRIMARY KEY, failed INTEGER NOT NULL, line TEXT NOT NULL);";

constexpr int kIndexBits = 32;
int64_t LineId(int64_t key, int64_t index) { return key << kIndexBits | index; }
int64_t IndexOf(int64_t id) { return id & ((int64_t{1} << kIndexBits) - 1); }

}  // namespace

absl::StatusOr<std::unique_ptr<BatchStore>> BatchStore::Open(const std::string& folder) {
  UNMASK_ASSIGN_OR_RETURN(std::unique_ptr<Database> database, Database::Open(folder + "/batch.sqlite"));
  UNMASK_RETURN_IF_ERROR(database->Execute(kSchema));
  return std::unique_ptr<BatchStore>(new BatchStore(std::move(database)));
}

absl::StatusOr<std::vector<std::pair<int64_t, v1::BatchJob>>> BatchStore::Jobs() {
  UNMASK_ASSIGN_OR_RETURN(Statement select,
                          database_->Prepare("SELECT key, job FROM jobs WHERE job IS NOT NULL ORDER BY key"));
  std::vector<std::pair<int64_t, v1::BatchJob>> jobs;
  while (true) {
    UNMASK_ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) return jobs;
    v1::BatchJob job;
    if (!job.ParseFromString(select.Bytes(1))) return absl::DataLossError("the store holds a job that is none");
    jobs.emplace_back(select.Int(0), std::move(job));
  }
}

absl::StatusOr<int64_t> BatchStore::BeginJob() {
  UNMASK_ASSIGN_OR_RETURN(Statement insert, database_->Prepare("INSERT INTO jobs (job) VALUES (NULL) RETURNING key"));
  UNMASK_ASSIGN_OR_RETURN(const bool row, insert.Step());
  const int64_t key = row ? insert.Int(0) : 0;
  UNMASK_RETURN_IF_ERROR(insert.Run());  // To its end, which commits it.
  return key;
}

absl::Status BatchStore::AddLines(int64_t key, absl::Span<const StoredLine> lines) {
  UNMASK_ASSIGN_OR_RETURN(const auto transaction, Transaction::Begin(database_.get()));
  UNMASK_ASSIGN_OR_RETURN(Statement insert, database_->Prepare("INSERT INTO lines (id, line) VALUES (?, ?)"));
  for (const StoredLine& line : lines) {
    UNMASK_RETURN_IF_ERROR(insert.Bind(LineId(key, line.index)).BindText(line.text).Run());
  }
  return transaction->Commit();
}

absl::Status BatchStore::FinishJob(int64_t key, const v1::BatchJob& job) { return SaveJob(key, job); }

absl::Status BatchStore::Sweep() { return Remove("job IS NULL"); }

absl::Status BatchStore::SaveJob(int64_t key, const v1::BatchJob& job) {
  const std::string bytes = job.SerializeAsString();
  UNMASK_ASSIGN_OR_RETURN(Statement update, database_->Prepare("UPDATE jobs SET job = ? WHERE key = ?"));
  return update.BindBlob(bytes).Bind(key).Run();
}

absl::Status BatchStore::SaveResults(int64_t key, absl::Span<const v1::BatchJobResult> results,
                                     const v1::BatchJob& job) {
  UNMASK_ASSIGN_OR_RETURN(const auto transaction, Transaction::Begin(database_.get()));
  UNMASK_ASSIGN_OR_RETURN(Statement insert,
                          database_->Prepare("INSERT INTO results (id, failed, line) VALUES (?, ?, ?)"));
  for (const v1::BatchJobResult& result : results) {
    UNMASK_RETURN_IF_ERROR(
        insert.Bind(LineId(key, result.index())).Bind(result.failed()).BindText(result.line()).Run());
  }
  UNMASK_RETURN_IF_ERROR(SaveJob(key, job));
  return transaction->Commit();
}

absl::Status BatchStore::DeleteJob(int64_t key) { return Remove(absl::StrCat("key = ", key)); }

absl::Status BatchStore::Remove(absl::string_view jobs) {
  UNMASK_ASSIGN_OR_RETURN(const auto transaction, Transaction::Begin(database_.get()));
  UNMASK_ASSIGN_OR_RETURN(Statement select, database_->Prepare(absl::StrCat("SELECT key FROM jobs WHERE ", jobs)));
  std::vector<int64_t> keys;
  while (true) {
    UNMASK_ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) break;
    keys.push_back(select.Int(0));
  }
  for (const char* table : {"lines", "results"}) {
    UNMASK_ASSIGN_OR_RETURN(Statement remove,
                            database_->Prepare(absl::StrCat("DELETE FROM ", table, " WHERE id >= ? AND id < ?")));
    for (const int64_t key : keys) {
      UNMASK_RETURN_IF_ERROR(remove.Bind(LineId(key, 0)).Bind(LineId(key + 1, 0)).Run());
    }
  }
  UNMASK_ASSIGN_OR_RETURN(Statement remove, database_->Prepare("DELETE FROM jobs WHERE key = ?"));
  for (const int64_t key : keys) UNMASK_RETURN_IF_ERROR(remove.Bind(key).Run());
  return transaction->Commit();
}

absl::StatusOr<std::vector<StoredLine>> BatchStore::LinesToDo(int64_t key, int64_t from, int64_t limit) {
  UNMASK_ASSIGN_OR_RETURN(
      Statement select,
      database_->Prepare("SELECT id, line FROM lines WHERE id >= ? AND id < ? AND "
                         "NOT EXISTS (SELECT 1 FROM results WHERE results.id = lines.id) ORDER BY id LIMIT ?"));
  select.Bind(LineId(key, from)).Bind(LineId(key + 1, 0)).Bind(limit);
  std::vector<StoredLine> lines;
  while (true) {
    UNMASK_ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) return lines;
    lines.push_back({IndexOf(select.Int(0)), select.Bytes(1)});
  }
}

absl::StatusOr<std::vector<v1::BatchJobResult>> BatchStore::Results(int64_t key, int64_t from, int64_t limit,
                                                                    size_t max_bytes) {
  UNMASK_ASSIGN_OR_RETURN(
      Statement select,
      database_->Prepare("SELECT id, failed, line FROM results WHERE id >= ? AND id < ? ORDER BY id LIMIT ?"));
  select.Bind(LineId(key, from)).Bind(LineId(key + 1, 0)).Bind(limit);
  std::vector<v1::BatchJobResult> results;
  size_t bytes = 0;
  while (bytes < max_bytes) {
    UNMASK_ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) break;
    v1::BatchJobResult& result = results.emplace_back();
    result.set_index(IndexOf(select.Int(0)));
    result.set_failed(select.Int(1) != 0);
    result.set_line(select.Bytes(2));
    bytes += result.line().size();
  }
  return results;
}

}  // namespace unmask
