#include "worker/json.h"

#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "worker/mapped_file.h"

namespace unmask {
namespace {

// Before the parser sees it: the parser remembers every open bracket, so depth must be bounded outside it.
bool DeeperThan(int max_depth, absl::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > max_depth) return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

}  // namespace

absl::StatusOr<nlohmann::json> ParseJsonObject(absl::string_view text, int max_depth) {
  using Json = nlohmann::json;
  if (DeeperThan(max_depth, text)) {
    return absl::DataLossError(absl::StrCat("the JSON is nested more than ", max_depth, " deep"));
  }
  std::vector<std::set<std::string>> keys;  // Of the objects that are open.
  std::string duplicate;
  const auto watch = [&](int, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key && !keys.back().insert(parsed.get<std::string>()).second) {
      duplicate = parsed.get<std::string>();
    }
    return true;
  };
  Json json;
  try {
    json = Json::parse(text.begin(), text.end(), watch);
  } catch (const Json::exception& error) {
    return absl::DataLossError(absl::StrCat("not JSON: ", error.what()));
  }
  if (!duplicate.empty()) return absl::DataLossError(absl::StrCat("the key ", duplicate, " appears twice"));
  if (!json.is_object()) return absl::DataLossError("the JSON is not an object");
  return json;
}

absl::StatusOr<std::string> ReadFile(const std::string& path, int64_t max_bytes) {
  UNMASK_ASSIGN_OR_RETURN(const auto file, MappedFile::Open(path));
  const absl::Span<const char> bytes = file->bytes();
  if (static_cast<int64_t>(bytes.size()) > max_bytes) {
    return absl::DataLossError(absl::StrCat(path, " has ", bytes.size(), " bytes, more than ", max_bytes));
  }
  return std::string(bytes.begin(), bytes.end());
}

}  // namespace unmask
