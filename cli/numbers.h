// Numbers on the command line. CLI11 2.1 reads "010" as eight, "" as zero and "-1" as the largest unsigned; these do
// not.
#ifndef UNMASK_CLI_NUMBERS_H_
#define UNMASK_CLI_NUMBERS_H_

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace unmask {

// Throws what CLI11 reports, naming the flag and the text.
template <typename Number>
Number ParseNumber(const std::string& flag, const std::string& text) {
  Number number{};
  bool ok = false;
  if constexpr (std::is_same_v<Number, double>) {
    ok = absl::SimpleAtod(text, &number);
  } else if constexpr (std::is_floating_point_v<Number>) {
    ok = absl::SimpleAtof(text, &number);
  } else {
    ok = absl::SimpleAtoi(text, &number);
  }
  if (!ok) {
    const char* kind = std::is_floating_point_v<Number> ? "a number"
                       : std::is_unsigned_v<Number>     ? "a whole number >= 0"
                                                        : "a whole number";
    throw CLI::ValidationError(flag, absl::StrCat("'", text, "' is not ", kind, " in range"));
  }
  return number;
}

// "1,2,3".
inline std::vector<int32_t> ParseIds(const std::string& flag, const std::string& text) {
  std::vector<int32_t> ids;
  for (const absl::string_view id : absl::StrSplit(text, ','))
    ids.push_back(ParseNumber<int32_t>(flag, std::string(id)));
  return ids;
}

}  // namespace unmask

#endif  // UNMASK_CLI_NUMBERS_H_
