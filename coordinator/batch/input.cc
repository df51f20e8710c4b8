#include "coordinator/batch/input.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace unmask {
namespace {

constexpr size_t kPiece = 1 << 16;

}  // namespace

BatchInput BatchInput::OfText(std::string text, const BatchLimits& limits) {
  BatchInput input(limits);
  input.bytes_ = text.size();
  input.digest_.Add(text);
  input.buffer_ = std::move(text);
  input.ended_ = true;
  return input;
}

BatchInput BatchInput::OfFile(OwnedFd file, const BatchLimits& limits) {
  BatchInput input(limits);
  input.file_ = std::move(file);
  return input;
}

absl::Status BatchInput::Fill() {
  buffer_.erase(0, std::exchange(at_, 0));
  const size_t size = buffer_.size();
  buffer_.resize(size + kPiece);
  ssize_t got;
  do {
    got = read(file_.get(), &buffer_[size], kPiece);
  } while (got < 0 && errno == EINTR);
  buffer_.resize(size + std::max<ssize_t>(got, 0));
  if (got < 0) return absl::ErrnoToStatus(errno, "reading the input");
  ended_ = got == 0;
  bytes_ += got;
  digest_.Add(absl::string_view(buffer_).substr(size));
  return absl::OkStatus();
}

absl::StatusOr<bool> BatchInput::Next(std::string* line) {
  while (true) {
    size_t end = buffer_.find('\n', at_);
    while (end == std::string::npos && !ended_) {
      if (static_cast<int64_t>(buffer_.size() - at_) > limits_.line_bytes) break;
      const size_t searched = buffer_.size() - at_;
      UNMASK_RETURN_IF_ERROR(Fill());
      end = buffer_.find('\n', at_ + searched);
    }
    if (bytes_ > limits_.bytes) {
      return absl::InvalidArgumentError(absl::StrCat("the input has more than ", limits_.bytes, " bytes"));
    }
    if (end == std::string::npos && at_ == buffer_.size()) return false;
    ++number_;
    end = std::min(end, buffer_.size());
    const absl::string_view text = absl::string_view(buffer_).substr(at_, end - at_);
    if (static_cast<int64_t>(text.size()) > limits_.line_bytes) {
      return absl::InvalidArgumentError(absl::StrCat("a line has more than ", limits_.line_bytes, " bytes"));
    }
    at_ = std::min(end + 1, buffer_.size());
    if (absl::StripAsciiWhitespace(text).empty()) continue;
    line->assign(text.data(), text.size());
    if (line->back() == '\r') line->pop_back();
    return true;
  }
}

}  // namespace unmask
