// One line an event on standard error: "20:01:02.123 I component: message". Debian's Abseil has no absl/log.
// Thread-safe; a line is written whole. Never log prompt or answer text.
#ifndef UNMASK_BASE_LOG_H_
#define UNMASK_BASE_LOG_H_

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace unmask {

enum class Severity { kInfo, kWarning, kError };

// Names the process in every line ("coordinator", "worker/1"). Call once, before threads start.
void SetLogComponent(absl::string_view component);

// Lines below this severity are dropped. Default kInfo.
void SetMinimumLogSeverity(Severity severity);

void Log(Severity severity, absl::string_view message);

template <typename... Parts>
void LogInfo(const Parts&... parts) {
  Log(Severity::kInfo, absl::StrCat(parts...));
}
template <typename... Parts>
void LogWarning(const Parts&... parts) {
  Log(Severity::kWarning, absl::StrCat(parts...));
}
template <typename... Parts>
void LogError(const Parts&... parts) {
  Log(Severity::kError, absl::StrCat(parts...));
}

}  // namespace unmask

#endif  // UNMASK_BASE_LOG_H_
