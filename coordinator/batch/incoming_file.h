// A file on its way in: to the store's folder of uploads, piece by piece, bounded in size.
#ifndef UNMASK_COORDINATOR_BATCH_INCOMING_FILE_H_
#define UNMASK_COORDINATOR_BATCH_INCOMING_FILE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/digest.h"
#include "base/whole_file.h"
#include "coordinator/batch/input.h"

namespace unmask {

class IncomingFile {
 public:
  // RESOURCE_EXHAUSTED with reason STORAGE_FULL: there is no place for it.
  static absl::StatusOr<std::unique_ptr<IncomingFile>> Begin(const std::string& folder, const BatchLimits& limits = {});
  // Nothing stays of one that was not kept.
  ~IncomingFile();

  // INVALID_ARGUMENT, which blames `field`: more bytes than an input may have.
  absl::Status Append(absl::string_view piece, absl::string_view field);
  // It is on the disk, and stays.
  absl::Status Keep();

  const std::string& name() const { return name_; }  // In the folder; drawn.
  int64_t size() const { return size_; }
  std::string TakeDigest() { return digest_.Finish(); }

 private:
  IncomingFile(const std::string& folder, const BatchLimits& limits);

  const int64_t most_;
  const std::string name_;
  const std::string path_;
  OwnedFd file_;
  bool kept_ = false;
  int64_t size_ = 0;
  Digest digest_;
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_BATCH_INCOMING_FILE_H_
