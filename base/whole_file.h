// A file that is there whole or not at all.
#ifndef UNMASK_BASE_WHOLE_FILE_H_
#define UNMASK_BASE_WHOLE_FILE_H_

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace unmask {

// A file descriptor that closes itself.
class OwnedFd {
 public:
  explicit OwnedFd(int fd = -1) : fd_(fd) {}
  OwnedFd(OwnedFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~OwnedFd();
  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }

 private:
  int fd_;
};

// All of `bytes`. RESOURCE_EXHAUSTED where the disk is full.
absl::Status WriteBytes(int fd, absl::string_view bytes);

// Is written beside its name (NAME.partial), synced and renamed. In this order: Begin, Append*, Commit; without Commit
// nothing stays. Errors: RESOURCE_EXHAUSTED where the disk is full.
class WholeFile {
 public:
  // folder: open for reading; name: in it.
  WholeFile(OwnedFd folder, std::string name) : folder_(std::move(folder)), name_(std::move(name)) {}
  ~WholeFile();
  WholeFile(WholeFile&&) = default;

  absl::Status Begin();
  absl::Status Append(absl::string_view bytes);  // Buffered.
  absl::Status Commit();

 private:
  absl::Status Flush();
  std::string partial() const { return name_ + ".partial"; }

  OwnedFd folder_;
  std::string name_;
  OwnedFd file_;
  std::string buffer_;
};

}  // namespace unmask

#endif  // UNMASK_BASE_WHOLE_FILE_H_
