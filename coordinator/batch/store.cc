#include "coordinator/batch/store.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace unmask {
namespace {

// A line's id is its job's key and its index in one integer, the table's own order: no second index.
constexpr char kSchema[] =
    "CREATE TABLE IF NOT EXISTS jobs (key INTEGER PRIMARY KEY AUTOINCREMENT, job BLOB);"  // NULL: not created whole.
    "CREATE TABLE IF NOT EXISTS lines (id INTEGER PRIMARY KEY, line TEXT NOT NULL);"
    "CREATE TABLE IF NOT EXISTS results (id INTEGER PRIMARY KEY, failed INTEGER NOT NULL, line TEXT NOT NULL);"
    "CREATE TABLE IF NOT EXISTS origins (key INTEGER PRIMARY KEY, input_file TEXT NOT NULL, endpoint TEXT NOT NULL, "
    "metadata TEXT NOT NULL);"
    "CREATE TABLE IF NOT EXISTS files (key INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, "
    "name TEXT NOT NULL, bytes INTEGER NOT NULL, created INTEGER NOT NULL, job INTEGER NOT NULL, "
    "failed INTEGER NOT NULL);";

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

absl::StatusOr<std::map<int64_t, BatchOrigin>> BatchStore::Origins() {
  UNMASK_ASSIGN_OR_RETURN(Statement select,
                          database_->Prepare("SELECT key, input_file, endpoint, metadata FROM origins"));
  std::map<int64_t, BatchOrigin> origins;
  while (true) {
    UNMASK_ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) return origins;
    origins[select.Int(0)] = {select.Bytes(1), select.Bytes(2), select.Bytes(3)};
  }
}

absl::Status BatchStore::FinishJob(int64_t key, const v1::BatchJob& job, const BatchOrigin* origin) {
  if (origin == nullptr) return SaveJob(key, job);
  UNMASK_ASSIGN_OR_RETURN(const auto transaction, Transaction::Begin(database_.get()));
  UNMASK_ASSIGN_OR_RETURN(
      Statement insert,
      database_->Prepare("INSERT INTO origins (key, input_file, endpoint, metadata) VALUES (?, ?, ?, ?)"));
  insert.Bind(key).BindText(origin->input_file).BindText(origin->endpoint).BindText(origin->metadata);
  UNMASK_RETURN_IF_ERROR(insert.Run());
  UNMASK_RETURN_IF_ERROR(SaveJob(key, job));
  return transaction->Commit();
}

absl::Status BatchStore::EndJob(int64_t key, const v1::BatchJob& job, std::vector<KeptFile>* outputs) {
  UNMASK_ASSIGN_OR_RETURN(const auto transaction, Transaction::Begin(database_.get()));
  for (KeptFile& output : *outputs) UNMASK_RETURN_IF_ERROR(AddFile(&output));
  UNMASK_RETURN_IF_ERROR(SaveJob(key, job));
  return transaction->Commit();
}

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
  for (const char* of_job : {"files WHERE job = ?", "origins WHERE key = ?", "jobs WHERE key = ?"}) {
    UNMASK_ASSIGN_OR_RETURN(Statement remove, database_->Prepare(absl::StrCat("DELETE FROM ", of_job)));
    for (const int64_t key : keys) UNMASK_RETURN_IF_ERROR(remove.Bind(key).Run());
  }
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

absl::StatusOr<int64_t> BatchStore::ResultBytes(int64_t key, bool failed) {
  UNMASK_ASSIGN_OR_RETURN(Statement select,
                          database_->Prepare("SELECT TOTAL(LENGTH(CAST(line AS BLOB)) + 1) FROM results "
                                             "WHERE id >= ? AND id < ? AND failed = ?"));
  select.Bind(LineId(key, 0)).Bind(LineId(key + 1, 0)).Bind(failed);
  UNMASK_RETURN_IF_ERROR(select.Step().status());
  return select.Int(0);
}

absl::StatusOr<std::vector<KeptFile>> BatchStore::Files() {
  UNMASK_ASSIGN_OR_RETURN(
      Statement select,
      database_->Prepare("SELECT key, id, name, bytes, created, job, failed FROM files ORDER BY key"));
  std::vector<KeptFile> files;
  while (true) {
    UNMASK_ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) return files;
    files.push_back({select.Int(0), select.Bytes(1), select.Bytes(2), select.Int(3), select.Int(4), select.Int(5),
                     select.Int(6) != 0});
  }
}

absl::Status BatchStore::AddFile(KeptFile* file) {
  UNMASK_ASSIGN_OR_RETURN(Statement insert,
                          database_->Prepare("INSERT INTO files (id, name, bytes, created, job, failed) "
                                             "VALUES (?, ?, ?, ?, ?, ?) RETURNING key"));
  insert.BindText(file->id).BindText(file->name).Bind(file->bytes).Bind(file->created).Bind(file->job);
  UNMASK_ASSIGN_OR_RETURN(const bool row, insert.Bind(file->failed).Step());
  file->key = row ? insert.Int(0) : 0;
  return insert.Run();  // To its end, which commits it.
}

absl::Status BatchStore::DeleteFile(const KeptFile& file) {
  UNMASK_ASSIGN_OR_RETURN(const auto transaction, Transaction::Begin(database_.get()));
  if (file.job != 0) {
    UNMASK_ASSIGN_OR_RETURN(Statement remove,
                            database_->Prepare("DELETE FROM results WHERE id >= ? AND id < ? AND failed = ?"));
    remove.Bind(LineId(file.job, 0)).Bind(LineId(file.job + 1, 0)).Bind(file.failed);
    UNMASK_RETURN_IF_ERROR(remove.Run());
  }
  UNMASK_ASSIGN_OR_RETURN(Statement remove, database_->Prepare("DELETE FROM files WHERE key = ?"));
  UNMASK_RETURN_IF_ERROR(remove.Bind(file.key).Run());
  return transaction->Commit();
}

}  // namespace unmask
