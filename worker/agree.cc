#include "worker/agree.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace unmask {

absl::Status Agree(const absl::Status& status, Communicator* ranks) {
  // One byte of code, then the message.
  const std::string own = absl::StrCat(std::string(1, static_cast<char>(status.code())), status.message());
  for (const std::string& other : ranks->AllGather(own)) {
    const auto code = static_cast<absl::StatusCode>(other[0]);
    if (code != absl::StatusCode::kOk) return absl::Status(code, absl::string_view(other).substr(1));
  }
  return absl::OkStatus();
}

}  // namespace unmask
