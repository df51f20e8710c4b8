// A file as memory, for reading. Its pages are the page cache's: many ranks of a machine share them.
#ifndef UNMASK_WORKER_MAPPED_FILE_H_
#define UNMASK_WORKER_MAPPED_FILE_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace unmask {

// Whether what failed so may work another time: a disk or a server of files that does not answer, no memory. Not a file
// that is missing, malformed or another's.
inline bool MayPass(const absl::Status& status) {
  return absl::IsUnknown(status) || absl::IsUnavailable(status) || absl::IsAborted(status) ||
         absl::IsResourceExhausted(status);
}

class MappedFile {
 public:
  // NOT_FOUND, PERMISSION_DENIED, or DATA_LOSS for what is no regular file.
  static absl::StatusOr<std::unique_ptr<MappedFile>> Open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  absl::Span<const char> bytes() const { return bytes_; }

  // The pages of `range`, a part of bytes(), are not needed soon: they no longer count as this process's memory.
  void Drop(absl::Span<const char> range) const;

 private:
  MappedFile(std::string path, absl::Span<const char> bytes) : path_(std::move(path)), bytes_(bytes) {}

  const std::string path_;
  const absl::Span<const char> bytes_;
};

}  // namespace unmask

#endif  // UNMASK_WORKER_MAPPED_FILE_H_
