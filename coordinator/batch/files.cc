#include "coordinator/batch/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "coordinator/errors.h"

namespace unmask {
namespace {

absl::Status NotAllowed(absl::string_view field, const char* why) {
  return InvalidField(kPathNotAllowed, field, absl::StrCat(field, " ", why));
}

absl::Status NotFound(absl::string_view field) {
  return ServiceError(absl::StatusCode::kNotFound, kFileNotFound, "no such file or folder",
                      {{"field", std::string(field)}});
}

}  // namespace

// Step by step, so that no part of the path is followed anywhere. (openat2's RESOLVE_BENEATH would do most of it, on
// the kernels and in the sandboxes that have it.)
absl::StatusOr<FilesRoot::Place> FilesRoot::Find(const std::string& path, absl::string_view field) const {
  std::vector<std::string> parts = absl::StrSplit(path, '/');
  for (const std::string& part : parts) {
    if (part.empty() || part == "." || part == ".." || part.find('\0') != std::string::npos) {
      return NotAllowed(field, "is no plain path below the store's folder of files");
    }
  }
  const std::string name = std::move(parts.back());
  parts.pop_back();
  constexpr int kFolder = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  OwnedFd folder(open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.ok()) return absl::ErrnoToStatus(errno, folder_);
  for (const std::string& part : parts) {
    OwnedFd next(openat(folder.get(), part.c_str(), kFolder));
    if (!next.ok()) {
      if (errno == ENOENT) return NotFound(field);
      return NotAllowed(field, "passes something that is no folder");
    }
    folder = std::move(next);
  }
  if (!parts.empty()) {
    // It is a folder; one that can be synced.
    folder = OwnedFd(openat(folder.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder.ok()) return NotAllowed(field, "passes a folder that cannot be read");
  }
  return Place{std::move(folder), name};
}

absl::StatusOr<OwnedFd> FilesRoot::OpenForReading(const std::string& path, absl::string_view field) const {
  UNMASK_ASSIGN_OR_RETURN(const Place place, Find(path, field));
  // First without opening it: opening a device may do something.
  struct stat named = {};
  if (fstatat(place.folder.get(), place.name.c_str(), &named, AT_SYMLINK_NOFOLLOW) != 0) return NotFound(field);
  if (!S_ISREG(named.st_mode)) return NotAllowed(field, "is no regular file");
  OwnedFd file(openat(place.folder.get(), place.name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat opened = {};
  if (!file.ok() || fstat(file.get(), &opened) != 0 || opened.st_ino != named.st_ino || opened.st_dev != named.st_dev) {
    return NotAllowed(field, "cannot be read");
  }
  return file;
}

absl::StatusOr<WholeFile> FilesRoot::ForWriting(const std::string& path, absl::string_view field) const {
  UNMASK_ASSIGN_OR_RETURN(Place place, Find(path, field));
  struct stat named = {};
  if (fstatat(place.folder.get(), place.name.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(named.st_mode)) {
    return NotAllowed(field, "is no regular file");
  }
  return WholeFile(std::move(place.folder), std::move(place.name));
}

bool FilesRoot::Exists(const std::string& path) const {
  const auto place = Find(path, "path");
  struct stat named = {};
  return place.ok() && fstatat(place->folder.get(), place->name.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0;
}

}  // namespace unmask
