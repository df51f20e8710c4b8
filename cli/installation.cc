#include "cli/installation.h"

#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/status.h"
#include "cluster/process.h"

namespace unmask {
namespace {

namespace fs = std::filesystem;

// A build's bin/ lies up to three folders below the repository (build/bin, build/cuda/bin).
constexpr int kFoldersAbove = 3;

}  // namespace

std::string OwnProgram() {
  std::error_code ignored;
  return fs::read_symlink("/proc/self/exe", ignored).string();
}

absl::StatusOr<std::string> SisterProgram(const std::string& name) {
  const std::string variable = absl::AsciiStrToUpper(absl::StrReplaceAll(name, {{"-", "_"}})) + "_BINARY";
  if (const char* chosen = getenv(variable.c_str()); chosen != nullptr && chosen[0] != '\0') {
    absl::StatusOr<std::string> found = FindProgram(chosen);
    return found.ok() ? found : Annotate(found.status(), variable);
  }
  return FindProgram((fs::path(OwnProgram()).parent_path() / name).string());
}

absl::StatusOr<std::string> EmbeddedModel() {
  std::error_code ignored;
  fs::path above = fs::path(OwnProgram()).parent_path();
  const fs::path installed = above.parent_path() / "share/unmask/models/demo";
  if (fs::exists(installed / "config.json", ignored)) return installed.string();
  for (int i = 0; i < kFoldersAbove; ++i) {
    above = above.parent_path();
    if (fs::exists(above / "models/demo/config.json", ignored)) return (above / "models/demo").string();
  }
  return absl::NotFoundError("no embedded model beside this program: name a checkpoint folder with --model DIR");
}

}  // namespace unmask
