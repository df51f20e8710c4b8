#include "base/credential_files.h"

#include <fstream>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace unmask {
namespace {

absl::Status Wrong(absl::string_view flag, const std::string& file, absl::string_view what) {
  return absl::FailedPreconditionError(absl::StrCat(flag, ": ", file, " ", what));
}

absl::StatusOr<std::string> Content(absl::string_view flag, const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  if (!file || !(content << file.rdbuf())) return Wrong(flag, path, "cannot be read, or is empty");
  return content.str();
}

absl::Status CheckPem(absl::string_view flag, const std::string& path) {
  if (path.empty()) return absl::OkStatus();
  UNMASK_ASSIGN_OR_RETURN(const std::string content, Content(flag, path));
  if (!absl::StrContains(content, "-----BEGIN ")) return Wrong(flag, path, "holds no PEM");
  return absl::OkStatus();
}

absl::Status CheckFiles(const TlsFiles& files, absl::string_view prefix, absl::string_view ca_flag) {
  if (files.cert.empty() != files.key.empty()) {
    return absl::FailedPreconditionError(files.key.empty()
                                             ? absl::StrCat(prefix, "-cert ", files.cert, " needs ", prefix, "-key")
                                             : absl::StrCat(prefix, "-key ", files.key, " needs ", prefix, "-cert"));
  }
  UNMASK_RETURN_IF_ERROR(CheckPem(ca_flag, files.ca));
  UNMASK_RETURN_IF_ERROR(CheckPem(absl::StrCat(prefix, "-cert"), files.cert));
  return CheckPem(absl::StrCat(prefix, "-key"), files.key);
}

}  // namespace

absl::Status CheckClientTls(const TlsFiles& files, absl::string_view prefix, absl::string_view ca_flag) {
  UNMASK_RETURN_IF_ERROR(CheckFiles(files, prefix, ca_flag));
  if (files.ca.empty() && !files.cert.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(prefix, "-cert ", files.cert, " needs ", ca_flag));
  }
  return absl::OkStatus();
}

absl::Status CheckServerTls(const TlsFiles& files, absl::string_view prefix, absl::string_view ca_flag) {
  UNMASK_RETURN_IF_ERROR(CheckFiles(files, prefix, ca_flag));
  if (files.cert.empty() && !files.ca.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(ca_flag, " ", files.ca, " needs ", prefix, "-cert"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadToken(const std::string& file, absl::string_view flag) {
  if (file.empty()) return std::string();
  UNMASK_ASSIGN_OR_RETURN(const std::string content, Content(flag, file));
  const std::string token(absl::StripAsciiWhitespace(content));
  bool printable = !token.empty();  // What a header can carry.
  for (const char c : token) printable = printable && absl::ascii_isgraph(static_cast<unsigned char>(c));
  if (!printable) return Wrong(flag, file, "holds no token of printable characters without spaces");
  return token;
}

}  // namespace unmask
