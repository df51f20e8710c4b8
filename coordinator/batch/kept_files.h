// The files of OpenAI's API: what clients have uploaded, and the results of batches that have ended. One thread at a
// time, the book's.
#ifndef UNMASK_COORDINATOR_BATCH_KEPT_FILES_H_
#define UNMASK_COORDINATOR_BATCH_KEPT_FILES_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "coordinator/batch/files.h"
#include "coordinator/batch/folder.h"
#include "coordinator/batch/store.h"

namespace unmask {

// Each file has its row in the store; one without a row does not exist. Errors of the store are as of
// coordinator/batch/sqlite.h.
class KeptFiles {
 public:
  KeptFiles(BatchFolder folder, BatchStore* store) : folder_(std::move(folder)), store_(*store) {}

  // What the store has, and nothing else stays in the folder.
  absl::Status Load();

  // Takes over an upload of this name, which is on the disk.
  absl::StatusOr<KeptFile> Keep(const std::string& upload, const std::string& name, int64_t bytes, int64_t now);

  bool Has(const std::string& id) const { return keys_.count(id) > 0; }
  // NOT_FOUND with reason FILE_NOT_FOUND.
  absl::StatusOr<KeptFile> Get(const std::string& id) const;
  // Of an upload. Likewise; field: for the error.
  absl::StatusOr<OwnedFd> Open(const std::string& id, absl::string_view field) const;
  std::vector<KeptFile> All() const;  // The oldest first.
  absl::Status Delete(const std::string& id);

  // Results that the store shows from now on, and no longer.
  void Add(KeptFile file);
  void ForgetJob(int64_t job);

 private:
  const BatchFolder folder_;
  BatchStore& store_;
  std::map<int64_t, KeptFile> files_;
  std::map<std::string, int64_t> keys_;  // By id.
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_BATCH_KEPT_FILES_H_
