#include "coordinator/batch/kept_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "coordinator/errors.h"

namespace unmask {
namespace {

namespace fs = std::filesystem;

}  // namespace

absl::Status KeptFiles::Load() {
  UNMASK_ASSIGN_OR_RETURN(std::vector<KeptFile> files, store_.Files());
  for (KeptFile& file : files) Add(std::move(file));
  std::error_code ignored;
  for (const auto& file : fs::directory_iterator(folder_.kept(), ignored)) {
    if (!Has(file.path().filename())) fs::remove_all(file.path(), ignored);
  }
  return absl::OkStatus();
}

absl::StatusOr<KeptFile> KeptFiles::Keep(const std::string& upload, const std::string& name, int64_t bytes,
                                         int64_t now) {
  KeptFile file;
  file.id = absl::StrCat("file-", upload);
  file.name = name;
  file.bytes = bytes;
  file.created = now;
  const std::string from = absl::StrCat(folder_.uploads(), "/", upload);
  const std::string to = absl::StrCat(folder_.kept(), "/", file.id);
  // In its place for good before its row says so.
  const OwnedFd kept(open(folder_.kept().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (std::rename(from.c_str(), to.c_str()) != 0 || fsync(kept.get()) != 0) {
    unlink(from.c_str());
    return StorageFull();
  }
  if (const absl::Status stored = store_.AddFile(&file); !stored.ok()) {
    unlink(to.c_str());
    return stored;
  }
  Add(file);
  return file;
}

absl::StatusOr<KeptFile> KeptFiles::Get(const std::string& id) const {
  const auto key = keys_.find(id);
  if (key != keys_.end()) return files_.at(key->second);
  return ServiceError(absl::StatusCode::kNotFound, kFileNotFound, "no such file", {{"file", Shown(id)}});
}

absl::StatusOr<OwnedFd> KeptFiles::Open(const std::string& id, absl::string_view field) const {
  UNMASK_RETURN_IF_ERROR(Get(id).status());
  return FilesRoot(folder_.kept()).OpenForReading(id, field);
}

std::vector<KeptFile> KeptFiles::All() const {
  std::vector<KeptFile> all;
  for (const auto& [key, file] : files_) all.push_back(file);
  return all;
}

absl::Status KeptFiles::Delete(const std::string& id) {
  UNMASK_ASSIGN_OR_RETURN(const KeptFile file, Get(id));
  UNMASK_RETURN_IF_ERROR(store_.DeleteFile(file));
  // What a kill leaves here, Load takes away.
  if (file.job == 0) unlink(absl::StrCat(folder_.kept(), "/", file.id).c_str());
  keys_.erase(id);
  files_.erase(file.key);
  return absl::OkStatus();
}

void KeptFiles::Add(KeptFile file) {
  keys_[file.id] = file.key;
  files_[file.key] = std::move(file);
}

void KeptFiles::ForgetJob(int64_t job) {
  for (auto at = files_.begin(); at != files_.end();) {
    if (at->second.job != job) {
      ++at;
      continue;
    }
    keys_.erase(at->second.id);
    at = files_.erase(at);
  }
}

}  // namespace unmask
