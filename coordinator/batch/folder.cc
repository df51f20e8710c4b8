#include "coordinator/batch/folder.h"

#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace unmask {

namespace fs = std::filesystem;

absl::Status BatchFolder::Prepare() const {
  std::error_code error;
  for (const std::string& folder : {path, uploads(), kept(), files()}) {
    fs::create_directories(folder, error);
    if (error) return absl::FailedPreconditionError(absl::StrCat("store: ", folder, ": ", error.message()));
  }
  // The folder stays: a full disk might not take it again.
  for (const auto& upload : fs::directory_iterator(uploads(), error)) fs::remove_all(upload.path(), error);
  return absl::OkStatus();
}

}  // namespace unmask
