#include "cli/line_reader.h"

#include <unistd.h>

#include <cerrno>

namespace unmask {

LineReader::Result LineReader::Read(std::string* line) {
  while (true) {
    if (const size_t end = buffer_.find('\n'); end != std::string::npos) {
      *line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      return Result::kLine;
    }
    char bytes[4096];
    const ssize_t n = read(fd_, bytes, sizeof bytes);
    if (n > 0) {
      buffer_.append(bytes, n);
    } else if (n < 0 && errno == EINTR) {
      buffer_.clear();
      return Result::kInterrupted;
    } else if (buffer_.empty()) {
      return Result::kEnd;
    } else {
      line->swap(buffer_);
      buffer_.clear();
      return Result::kLine;
    }
  }
}

}  // namespace unmask
