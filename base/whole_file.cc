#include "base/whole_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace unmask {
namespace {

constexpr size_t kBuffer = 1 << 16;

absl::Status WriteError(int error) {
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) return absl::ResourceExhaustedError("the disk is full");
  return absl::ErrnoToStatus(error, "writing");
}

}  // namespace

OwnedFd::~OwnedFd() {
  if (fd_ >= 0) close(fd_);
}

absl::Status WriteBytes(int fd, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return WriteError(errno);
    bytes.remove_prefix(written);
  }
  return absl::OkStatus();
}

WholeFile::~WholeFile() {
  if (file_.ok()) unlinkat(folder_.get(), partial().c_str(), 0);
}

absl::Status WholeFile::Begin() {
  // A link that somebody has put there goes, not what it points to.
  if (unlinkat(folder_.get(), partial().c_str(), 0) != 0 && errno != ENOENT) return WriteError(errno);
  file_ = OwnedFd(openat(folder_.get(), partial().c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
  return file_.ok() ? absl::OkStatus() : WriteError(errno);
}

absl::Status WholeFile::Append(absl::string_view bytes) {
  absl::StrAppend(&buffer_, bytes);
  return buffer_.size() < kBuffer ? absl::OkStatus() : Flush();
}

absl::Status WholeFile::Flush() {
  UNMASK_RETURN_IF_ERROR(WriteBytes(file_.get(), buffer_));
  buffer_.clear();
  return absl::OkStatus();
}

absl::Status WholeFile::Commit() {
  UNMASK_RETURN_IF_ERROR(Flush());
  if (fsync(file_.get()) != 0) return WriteError(errno);
  if (renameat(folder_.get(), partial().c_str(), folder_.get(), name_.c_str()) != 0) return WriteError(errno);
  file_ = OwnedFd();
  return fsync(folder_.get()) == 0 ? absl::OkStatus() : WriteError(errno);
}

}  // namespace unmask
