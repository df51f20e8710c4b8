#include "cli/batch_progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/screen.h"

namespace unmask {
namespace {

constexpr int kLongestBar = 40;

int64_t Done(const v1::BatchJob& job) { return job.counts().succeeded() + job.counts().failed(); }

double Fraction(const v1::BatchJob& job) {
  return job.counts().total() > 0 ? static_cast<double>(Done(job)) / static_cast<double>(job.counts().total()) : 0;
}

int TerminalWidth() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

std::string BatchStateName(const v1::BatchJob& job) {
  const std::string name = absl::AsciiStrToLower(v1::BatchJobState_Name(job.state()).substr(16));  // BATCH_JOB_STATE_
  return job.error().message().empty() ? name : absl::StrCat(name, ": ", job.error().message());
}

std::string BatchProgressLine(const v1::BatchJob& job, double rate, int width) {
  const std::string state = BatchStateName(job);
  std::string figures =
      absl::StrFormat("%3d %%  %d of %d", static_cast<int>(Fraction(job) * 100), Done(job), job.counts().total());
  if (job.counts().failed() > 0) absl::StrAppend(&figures, "  ", job.counts().failed(), " failed");
  if (rate > 0) {
    absl::StrAppend(&figures, absl::StrFormat("  %.1f/s", rate));
    const absl::Duration left = absl::Seconds(static_cast<double>(job.counts().total() - Done(job)) / rate);
    if (Done(job) < job.counts().total()) {
      absl::StrAppend(&figures, "  ", absl::FormatDuration(absl::Ceil(left, absl::Seconds(1))), " left");
    }
  }
  const int room = width - static_cast<int>(state.size() + figures.size()) - 6;  // Blanks and brackets.
  std::string line = state;
  if (room >= 5) {
    const int bar = std::min(room, kLongestBar);
    const int full = static_cast<int>(Fraction(job) * bar);
    absl::StrAppend(&line, "  [", std::string(full, '#'), std::string(bar - full, '.'), "]");
  }
  absl::StrAppend(&line, "  ", figures);
  return line.substr(0, static_cast<size_t>(std::max(0, width)));
}

BatchProgress::BatchProgress() : terminal_(isatty(STDERR_FILENO) == 1) {}

void BatchProgress::Show(const v1::BatchJob& job, Clock::time_point now) {
  if (!begin_ || Done(job) < done_then_) {
    begin_ = now;
    done_then_ = Done(job);
  }
  const double seconds = std::chrono::duration<double>(now - *begin_).count();
  const double rate = seconds > 0 ? static_cast<double>(Done(job) - done_then_) / seconds : 0;
  if (terminal_) {
    WriteAll(STDERR_FILENO, absl::StrCat("\r\x1b[K", BatchProgressLine(job, rate, TerminalWidth() - 1)));
    drawn_ = true;
    return;
  }
  const std::string now_at = absl::StrCat(BatchStateName(job), static_cast<int>(Fraction(job) * 10));
  if (now_at == last_) return;
  last_ = now_at;
  WriteAll(STDERR_FILENO, absl::StrCat(BatchProgressLine(job, rate, 80), "\n"));
}

void BatchProgress::Clear() {
  if (drawn_) WriteAll(STDERR_FILENO, "\r\x1b[K");
  drawn_ = false;
}

}  // namespace unmask
