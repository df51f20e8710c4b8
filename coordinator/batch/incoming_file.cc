#include "coordinator/batch/incoming_file.h"

#include <fcntl.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"
#include "coordinator/errors.h"
#include "coordinator/request_names.h"

namespace unmask {

IncomingFile::IncomingFile(const std::string& folder, const BatchLimits& limits)
    : most_(limits.bytes),
      name_(absl::StrFormat("%016x%016x", RandomWord(), RandomWord())),
      path_(absl::StrCat(folder, "/", name_)) {}

absl::StatusOr<std::unique_ptr<IncomingFile>> IncomingFile::Begin(const std::string& folder,
                                                                  const BatchLimits& limits) {
  std::unique_ptr<IncomingFile> begun(new IncomingFile(folder, limits));
  begun->file_ = OwnedFd(open(begun->path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!begun->file_.ok()) return StorageFull();
  return begun;
}

IncomingFile::~IncomingFile() {
  if (file_.ok() && !kept_) unlink(path_.c_str());
}

absl::Status IncomingFile::Append(absl::string_view piece, absl::string_view field) {
  size_ += piece.size();
  if (size_ > most_) {
    return InvalidField(kBatchInputInvalid, field, absl::StrCat("the input has more than ", most_, " bytes"));
  }
  digest_.Add(piece);
  const absl::Status written = WriteBytes(file_.get(), piece);
  return absl::IsResourceExhausted(written) ? StorageFull() : written;
}

absl::Status IncomingFile::Keep() {
  if (fsync(file_.get()) != 0) return StorageFull();
  kept_ = true;
  return absl::OkStatus();
}

}  // namespace unmask
