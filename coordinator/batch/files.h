// The files that clients may name: those in one folder, and nothing that a path, a link or a device in it leads to.
#ifndef UNMASK_COORDINATOR_BATCH_FILES_H_
#define UNMASK_COORDINATOR_BATCH_FILES_H_

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/whole_file.h"

namespace unmask {

class FilesRoot {
 public:
  explicit FilesRoot(std::string folder) : folder_(std::move(folder)) {}

  // Errors of both: INVALID_ARGUMENT with reason PATH_NOT_ALLOWED for a path that leaves the folder, passes a link, or
  // names anything but a file; NOT_FOUND. Nothing that is refused was opened. field: for the error.
  absl::StatusOr<OwnedFd> OpenForReading(const std::string& path, absl::string_view field) const;
  // The file need not exist; its folder must.
  absl::StatusOr<WholeFile> ForWriting(const std::string& path, absl::string_view field) const;
  bool Exists(const std::string& path) const;

 private:
  struct Place {
    OwnedFd folder;
    std::string name;
  };
  absl::StatusOr<Place> Find(const std::string& path, absl::string_view field) const;

  const std::string folder_;
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_BATCH_FILES_H_
