// One line an event on standard error, as text ("20:01:02.123 I component: message key=value") or as a JSON object
// ({"ts": ..., "level": ..., "component": ..., "msg": ..., "key": value}). Debian's Abseil has no absl/log.
// Thread-safe; a line is written whole. Never log prompt or answer text.
#ifndef UNMASK_BASE_LOG_H_
#define UNMASK_BASE_LOG_H_

#include <cstdint>
#include <string>
#include <type_traits>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace unmask {

enum class Severity { kInfo, kWarning, kError };
enum class LogFormat { kText, kJson };

// Names the process in every line ("coordinator", "worker/1"). Call once, before threads start.
void SetLogComponent(absl::string_view component);

// Of all lines. Default kText. Call before threads start.
void SetLogFormat(LogFormat format);
// "text" or "json", as --log-format has it; anything else is text.
LogFormat ParseLogFormat(absl::string_view name);

// Lines below this severity are dropped. Default kInfo.
void SetMinimumLogSeverity(Severity severity);

// A part of an event that machines look for. An empty text is left out.
struct LogField {
  LogField(absl::string_view key, absl::string_view value) : key(key), value(std::string(value)) {}
  LogField(absl::string_view key, const char* value) : LogField(key, absl::string_view(value)) {}
  LogField(absl::string_view key, const std::string& value) : LogField(key, absl::string_view(value)) {}
  LogField(absl::string_view key, double value) : key(key), value(value) {}
  template <typename Integer, typename = std::enable_if_t<std::is_integral_v<Integer>>>
  LogField(absl::string_view key, Integer value) : key(key), value(static_cast<int64_t>(value)) {}

  absl::string_view key;
  std::variant<std::string, int64_t, double> value;
};

void Log(Severity severity, absl::string_view message, absl::Span<const LogField> fields = {});

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

// Passes on a line that a child process wrote. Where JSON is asked for and it is none (mpirun's own words, a
// library's), it becomes the message of one.
void RelayLogLine(absl::string_view line);

// The message of a line that Log wrote as an error, in either format; else "".
std::string ErrorMessageOfLogLine(absl::string_view line);

}  // namespace unmask

#endif  // UNMASK_BASE_LOG_H_
