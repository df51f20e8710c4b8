#include "coordinator/batch/sqlite.h"

#include <sqlite3.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "coordinator/errors.h"

namespace unmask {
namespace {

constexpr int kLockMillis = 10'000;  // How long a coordinator that is about to end may keep its store from the next.

bool IsFull(sqlite3* database, int code) {
  if ((code & 0xff) == SQLITE_FULL) return true;
  const int error = sqlite3_system_errno(database);
  return (code & 0xff) == SQLITE_IOERR && (error == ENOSPC || error == EDQUOT || error == EFBIG);
}

absl::Status ErrorOf(sqlite3* database) {
  const int code = sqlite3_extended_errcode(database);
  if (IsFull(database, code)) return StorageFull();
  return ServiceError(absl::StatusCode::kInternal, kStorageFailed, "the store failed",
                      {{"sqlite", absl::StrCat(code, ": ", sqlite3_errmsg(database))}});
}

}  // namespace

Statement::Statement(Statement&& other) noexcept
    : database_(other.database_), statement_(std::exchange(other.statement_, nullptr)), bound_(other.bound_) {}

Statement::~Statement() { sqlite3_finalize(statement_); }

Statement& Statement::Bind(int64_t value) {
  sqlite3_bind_int64(statement_, ++bound_, value);
  return *this;
}

Statement& Statement::BindText(absl::string_view value) {
  sqlite3_bind_text64(statement_, ++bound_, value.data(), value.size(), SQLITE_STATIC, SQLITE_UTF8);
  return *this;
}

Statement& Statement::BindBlob(absl::string_view value) {
  sqlite3_bind_blob64(statement_, ++bound_, value.data(), value.size(), SQLITE_STATIC);
  return *this;
}

absl::StatusOr<bool> Statement::Step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return ErrorOf(database_);
}

absl::Status Statement::Run() {
  const absl::StatusOr<bool> row = Step();
  sqlite3_reset(statement_);
  bound_ = 0;
  return row.status();
}

int64_t Statement::Int(int column) const { return sqlite3_column_int64(statement_, column); }

std::string Statement::Bytes(int column) const {
  const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_, column));
  return std::string(bytes != nullptr ? bytes : "", sqlite3_column_bytes(statement_, column));
}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const std::string& path) {
  sqlite3* opened = nullptr;
  const int code = sqlite3_open_v2(
      path.c_str(), &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
      nullptr);
  std::unique_ptr<Database> database(new Database(opened));
  const auto refuse = [&](const char* why) {
    return absl::FailedPreconditionError(absl::StrCat("store: ", path, ": ", why));
  };
  if (code != SQLITE_OK) return refuse(sqlite3_errmsg(opened));
  sqlite3_busy_timeout(opened, kLockMillis);
  const absl::Status ready = database->Execute(
      "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; BEGIN IMMEDIATE; COMMIT");
  if (ready.ok() || absl::IsResourceExhausted(ready)) {
    if (!ready.ok()) return ready;
    return database;
  }
  return refuse((sqlite3_errcode(opened) & 0xff) == SQLITE_BUSY ? "another coordinator has it"
                                                                : sqlite3_errmsg(opened));
}

Database::~Database() { sqlite3_close_v2(database_); }

absl::Status Database::Execute(const char* sql) {
  return sqlite3_exec(database_, sql, nullptr, nullptr, nullptr) == SQLITE_OK ? absl::OkStatus() : ErrorOf(database_);
}

absl::StatusOr<Statement> Database::Prepare(absl::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(database_, sql.data(), static_cast<int>(sql.size()), &statement, nullptr) != SQLITE_OK) {
    return ErrorOf(database_);
  }
  return Statement(database_, statement);
}

absl::StatusOr<std::unique_ptr<Transaction>> Transaction::Begin(Database* database) {
  UNMASK_RETURN_IF_ERROR(database->Execute("BEGIN IMMEDIATE"));
  return std::unique_ptr<Transaction>(new Transaction(database));
}

Transaction::~Transaction() {
  // SQLite may have rolled back by itself, and then there is none to roll back.
  if (database_ != nullptr) database_->Execute("ROLLBACK").IgnoreError();
}

absl::Status Transaction::Commit() {
  UNMASK_RETURN_IF_ERROR(database_->Execute("COMMIT"));
  database_ = nullptr;
  return absl::OkStatus();
}

}  // namespace unmask
