#include "cli/progress_bar.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/log.h"

namespace unmask {
namespace {

constexpr int kLongestBar = 40;

void WriteError(const std::string& text) {
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, text.data(), text.size());
}

int TerminalWidth() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

double Fraction(int64_t done, int64_t total) {
  return total <= 0 ? 0 : std::clamp(static_cast<double>(done) / static_cast<double>(total), 0.0, 1.0);
}

std::string Bytes(int64_t done, int64_t total) {
  const bool large = total >= 1'000'000'000;
  const double unit = large ? 1e9 : 1e6;
  return absl::StrFormat("%.1f of %.1f %s", static_cast<double>(done) / unit, static_cast<double>(total) / unit,
                         large ? "GB" : "MB");
}

}  // namespace

std::string ProgressLine(absl::string_view what, int64_t done, int64_t total, int width) {
  if (total <= 0) return std::string(absl::StrCat(what, " ...").substr(0, static_cast<size_t>(std::max(0, width))));
  const double fraction = Fraction(done, total);
  const std::string figures = absl::StrFormat("%3d %%  %s", static_cast<int>(fraction * 100), Bytes(done, total));
  const int room = width - static_cast<int>(what.size() + figures.size()) - 6;  // Blanks and brackets.
  std::string line(what);
  if (room >= 5) {
    const int bar = std::min(room, kLongestBar);
    const int full = static_cast<int>(fraction * bar);
    absl::StrAppend(&line, "  [", std::string(full, '#'), std::string(bar - full, '.'), "]");
  }
  absl::StrAppend(&line, "  ", figures);
  return line.substr(0, static_cast<size_t>(std::max(0, width)));
}

ProgressBar::ProgressBar(bool plain_lines) : terminal_(isatty(STDERR_FILENO) == 1), plain_lines_(plain_lines) {}

void ProgressBar::Show(absl::string_view what, int64_t done, int64_t total) {
  if (terminal_) {
    WriteError(absl::StrCat("\r\x1b[K", ProgressLine(what, done, total, TerminalWidth() - 1)));
    drawn_ = true;
    return;
  }
  const int tenth = static_cast<int>(Fraction(done, total) * 10);
  if (!plain_lines_ || tenth <= last_tenth_) return;
  last_tenth_ = tenth;
  LogInfo(what, ": ", tenth * 10, " %, ", Bytes(done, total));
}

void ProgressBar::Clear() {
  if (!drawn_) return;
  WriteError("\r\x1b[K");
  drawn_ = false;
}

}  // namespace unmask
