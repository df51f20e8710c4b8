#include "cli/screen.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace unmask {
namespace {

// Line wrap is off while frames are drawn: a character that the terminal takes for wider than we do cannot break a
// line.
constexpr char kHide[] = "\x1b[?25l\x1b[?7l";
constexpr char kShow[] = "\x1b[0m\x1b[?7h\x1b[?25h";
// Frames appear whole on terminals that know synchronised updates; the others ignore it.
constexpr char kBeginFrame[] = "\x1b[?2026h";
constexpr char kEndFrame[] = "\x1b[?2026l";

std::atomic<int> hidden_on{-1};  // The terminal whose cursor is hidden.

}  // namespace

bool WriteAll(int fd, const std::string& bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = write(fd, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    done += n;
  }
  return true;
}

void RestoreTerminalNow() {
  const int fd = hidden_on;
  if (fd < 0) return;
  [[maybe_unused]] const ssize_t written = write(fd, kShow, std::strlen(kShow));
}

Screen::~Screen() {
  if (!cursor_hidden_) return;
  WriteAll(fd_, kShow);
  hidden_on = -1;
}

ScreenSize Screen::size() const {
  winsize size = {};
  if (ioctl(fd_, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) return {};
  return {.width = std::max<int>(size.ws_col, 2), .height = std::max<int>(size.ws_row, 2)};
}

// To the start of the last frame. A terminal that has become narrower has broken its lines into more rows.
std::string Screen::Rewind() const {
  const int width = size().width;
  int rows = 0;
  for (int line : drawn_) rows += std::max(1, (line + width - 1) / width);
  return rows > 0 ? absl::StrCat("\r\x1b[", rows, "A") : "\r";
}

void Screen::Draw(const std::vector<Line>& lines) {
  std::string out = kBeginFrame;
  if (!cursor_hidden_) out += kHide;
  cursor_hidden_ = true;
  hidden_on = fd_;
  out += Rewind();
  drawn_.clear();
  const int width = size().width;
  for (const Line& line : lines) {
    drawn_.push_back(WidthOf(line));
    // Behind a full line the cursor still stands on its last character.
    const char* erase = drawn_.back() < width ? "\x1b[K" : "";
    absl::StrAppend(&out, EncodeLine(line, depth_), erase, "\r\n");
  }
  absl::StrAppend(&out, "\x1b[J", kEndFrame);
  WriteAll(fd_, out);
}

void Screen::Print(const std::vector<Line>& lines) {
  std::string out = kBeginFrame;
  if (!drawn_.empty()) absl::StrAppend(&out, Rewind(), "\x1b[J");
  for (const Line& line : lines) absl::StrAppend(&out, EncodeLine(line, depth_), "\r\n");
  drawn_.clear();
  out += kEndFrame;
  if (cursor_hidden_) out += kShow;
  cursor_hidden_ = false;
  WriteAll(fd_, out);
  hidden_on = -1;
}

}  // namespace unmask
