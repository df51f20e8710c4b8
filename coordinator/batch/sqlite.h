// SQLite, as absl::Status and RAII. One thread at a time.
#ifndef UNMASK_COORDINATOR_BATCH_SQLITE_H_
#define UNMASK_COORDINATOR_BATCH_SQLITE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

struct sqlite3;
struct sqlite3_stmt;

namespace unmask {

// Values are bound and read in order of appearance.
class Statement {
 public:
  Statement(sqlite3* database, sqlite3_stmt* statement) : database_(database), statement_(statement) {}
  Statement(Statement&& other) noexcept;
  ~Statement();

  Statement& Bind(int64_t value);
  Statement& BindText(absl::string_view value);  // Valid until the statement is stepped for the last time.
  Statement& BindBlob(absl::string_view value);  // Likewise.

  // Whether there is a row.
  absl::StatusOr<bool> Step();
  // Runs a statement that yields no rows, and makes it ready for the next values.
  absl::Status Run();

  int64_t Int(int column) const;
  std::string Bytes(int column) const;

 private:
  sqlite3* database_;
  sqlite3_stmt* statement_;
  int bound_ = 0;
};

// A file in WAL mode whose commits reach the disk before they return. No other process can open it: there is no shared
// memory, whose pages a full disk would turn into SIGBUS.
class Database {
 public:
  // FAILED_PRECONDITION for a file that cannot be used, or that another process has.
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::string& path);
  ~Database();

  // Errors of these and of statements: RESOURCE_EXHAUSTED with reason STORAGE_FULL where the disk is full, else
  // INTERNAL with reason STORAGE_FAILED.
  absl::Status Execute(const char* sql);
  absl::StatusOr<Statement> Prepare(absl::string_view sql);

 private:
  explicit Database(sqlite3* database) : database_(database) {}
  sqlite3* const database_;
};

// All or nothing: rolls back unless it was committed.
class Transaction {
 public:
  static absl::StatusOr<std::unique_ptr<Transaction>> Begin(Database* database);
  ~Transaction();
  absl::Status Commit();

 private:
  explicit Transaction(Database* database) : database_(database) {}
  Database* database_;  // Null once committed.
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_BATCH_SQLITE_H_
