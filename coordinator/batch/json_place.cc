#include "coordinator/batch/json_place.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"

namespace unmask {
namespace {

// Takes everything in and keeps nothing but the fault.
struct FaultFinder : nlohmann::json_sax<nlohmann::json> {
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(size_t) override { return true; }
  bool key(string_t&) override { return true; }
  bool end_object() override { return true; }
  bool start_array(size_t) override { return true; }
  bool end_array() override { return true; }
  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception& error) override {
    at = position > 0 ? position - 1 : 0;
    // "[json.exception.parse_error.101] parse error at line 1, column 5: syntax error …": the tail is ours to tell.
    problem = error.what();
    if (const size_t tail = problem.find(": "); tail != std::string::npos) problem = problem.substr(tail + 2);
    problem = problem.substr(0, problem.find("; last read"));  // Of a string that does not end, the whole prompt.
    return false;
  }
  size_t at = 0;
  std::string problem;
};

// The end of the value that begins at `at`, or of the text.
size_t ValueEnd(absl::string_view text, size_t at) {
  int depth = 0;
  bool quoted = false;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (quoted) {
      if (c == '\\') ++at;
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (c == '}' || c == ']') {
      if (depth == 0) return at;
      --depth;
    } else if (c == ',' && depth == 0) {
      return at;
    }
  }
  return at;
}

size_t SkipBlanks(absl::string_view text, size_t at) {
  while (at < text.size() && absl::ascii_isspace(text[at])) ++at;
  return at;
}

}  // namespace

std::optional<size_t> JsonFault(absl::string_view text, std::string* problem) {
  FaultFinder finder;
  if (nlohmann::json::sax_parse(text.begin(), text.end(), &finder)) return std::nullopt;
  *problem = finder.problem;
  return std::min(finder.at, text.size());
}

std::optional<std::vector<JsonMember>> JsonMembers(absl::string_view text) {
  size_t at = SkipBlanks(text, 0);
  if (at == text.size() || text[at] != '{') return std::nullopt;
  std::vector<JsonMember> members;
  at = SkipBlanks(text, at + 1);
  while (at < text.size() && text[at] == '"') {
    size_t quote = at + 1;
    while (text[quote] != '"') quote += text[quote] == '\\' ? 2 : 1;
    const absl::string_view key = text.substr(at + 1, quote - at - 1);
    at = SkipBlanks(text, text.find(':', quote) + 1);
    const size_t end = ValueEnd(text, at);
    members.push_back({key, absl::StripTrailingAsciiWhitespace(text.substr(at, end - at))});
    at = SkipBlanks(text, std::min(end + 1, text.size()));
  }
  return members;
}

absl::string_view JsonAt(absl::string_view text, absl::string_view path) {
  for (const absl::string_view part : absl::StrSplit(path, '.')) {
    const auto members = JsonMembers(text);
    if (!members) return text;
    const auto found =
        std::find_if(members->begin(), members->end(), [&](const JsonMember& member) { return member.key == part; });
    if (found == members->end()) return text;
    text = found->value;
  }
  return text;
}

int JsonColumn(absl::string_view line, size_t byte) {
  const auto starts_character = [](char c) { return (c & 0xC0) != 0x80; };
  return 1 +
         static_cast<int>(std::count_if(line.begin(), line.begin() + std::min(byte, line.size()), starts_character));
}

}  // namespace unmask
