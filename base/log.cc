#include "base/log.h"

#include <unistd.h>

#include <atomic>
#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace unmask {
namespace {

std::string& Component() {
  static std::string* component = new std::string("unmask");
  return *component;
}

std::atomic<Severity> minimum_severity = Severity::kInfo;

}  // namespace

void SetLogComponent(absl::string_view component) { Component() = std::string(component); }

void SetMinimumLogSeverity(Severity severity) { minimum_severity = severity; }

void Log(Severity severity, absl::string_view message) {
  if (severity < minimum_severity) return;
  constexpr char kLetters[] = {'I', 'W', 'E'};
  const std::string line =
      absl::StrCat(absl::FormatTime("%H:%M:%E3S", absl::Now(), absl::LocalTimeZone()), " ",
                   absl::string_view(&kLetters[static_cast<int>(severity)], 1), " ", Component(), ": ", message, "\n");
  // One write a line: lines of several threads and ranks do not mix.
  [[maybe_unused]] ssize_t written = write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace unmask
