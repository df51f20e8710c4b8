#include "base/log.h"

#include <unistd.h>

#include <atomic>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace unmask {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kLetters[] = {'I', 'W', 'E'};
constexpr const char* kLevels[] = {"info", "warning", "error"};

std::string& Component() {
  static std::string* component = new std::string("unmask");
  return *component;
}

std::atomic<LogFormat> log_format = LogFormat::kText;
std::atomic<Severity> minimum_severity = Severity::kInfo;

// One write a line: lines of several threads and ranks do not mix.
void WriteLine(std::string line) {
  line.push_back('\n');
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line.data(), line.size());
}

bool Empty(const LogField& field) {
  const auto* text = std::get_if<std::string>(&field.value);
  return text != nullptr && text->empty();
}

// In quotes where it would not be read back as one word.
std::string Word(const std::string& text) {
  const bool plain = text.find_first_of(" =\"\\") == std::string::npos && text == absl::CEscape(text);
  return plain ? text : absl::StrCat("\"", absl::CEscape(text), "\"");
}

std::string TextLine(Severity severity, absl::string_view message, absl::Span<const LogField> fields) {
  std::string line =
      absl::StrCat(absl::FormatTime("%H:%M:%E3S", absl::Now(), absl::LocalTimeZone()), " ",
                   absl::string_view(&kLetters[static_cast<int>(severity)], 1), " ", Component(), ": ", message);
  for (const LogField& field : fields) {
    if (Empty(field)) continue;
    absl::StrAppend(&line, " ", field.key, "=");
    if (const auto* text = std::get_if<std::string>(&field.value)) {
      absl::StrAppend(&line, Word(*text));
    } else if (const auto* integer = std::get_if<int64_t>(&field.value)) {
      absl::StrAppend(&line, *integer);
    } else {
      absl::StrAppend(&line, std::get<double>(field.value));
    }
  }
  return line;
}

std::string JsonLine(Severity severity, absl::string_view message, absl::Span<const LogField> fields) {
  Json line = {{"ts", absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", absl::Now(), absl::UTCTimeZone())},
               {"level", kLevels[static_cast<int>(severity)]},
               {"component", Component()},
               {"msg", std::string(message)}};
  for (const LogField& field : fields) {
    if (Empty(field)) continue;
    std::visit([&](const auto& value) { line[std::string(field.key)] = value; }, field.value);
  }
  return line.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);  // Of bytes that are no UTF-8.
}

// The message of "20:01:02.123 E worker/1: message".
absl::string_view TextErrorMessage(absl::string_view line) {
  if (line.size() < 15 || line[2] != ':' || line.substr(12, 3) != " E ") return {};
  line.remove_prefix(15);
  const size_t colon = line.find(": ");
  return colon == absl::string_view::npos ? line : line.substr(colon + 2);
}

}  // namespace

void SetLogComponent(absl::string_view component) { Component() = std::string(component); }

void SetLogFormat(LogFormat format) { log_format = format; }

LogFormat ParseLogFormat(absl::string_view name) { return name == "json" ? LogFormat::kJson : LogFormat::kText; }

void SetMinimumLogSeverity(Severity severity) { minimum_severity = severity; }

void Log(Severity severity, absl::string_view message, absl::Span<const LogField> fields) {
  if (severity < minimum_severity) return;
  WriteLine(log_format == LogFormat::kJson ? JsonLine(severity, message, fields) : TextLine(severity, message, fields));
}

void RelayLogLine(absl::string_view line) {
  if (log_format == LogFormat::kJson && !absl::StartsWith(line, "{\"ts\":")) {
    Log(Severity::kInfo, line);
  } else {
    WriteLine(std::string(line));
  }
}

std::string ErrorMessageOfLogLine(absl::string_view line) {
  if (!absl::StartsWith(line, "{\"ts\":")) return std::string(TextErrorMessage(line));
  const Json json = Json::parse(line.begin(), line.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return "";
  const auto level = json.find("level");
  const auto message = json.find("msg");
  const bool error = level != json.end() && *level == "error" && message != json.end() && message->is_string();
  return error ? message->get<std::string>() : "";
}

}  // namespace unmask
