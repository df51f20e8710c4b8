// Where things stand in the text of a JSON object: what no JSON library of ours tells.
#ifndef UNMASK_COORDINATOR_BATCH_JSON_PLACE_H_
#define UNMASK_COORDINATOR_BATCH_JSON_PLACE_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace unmask {

// Nothing where `text` is JSON, else the byte at which it ceases to be, and why in *problem.
std::optional<size_t> JsonFault(absl::string_view text, std::string* problem);

struct JsonMember {
  absl::string_view key;    // As it is written, without its quotes.
  absl::string_view value;  // A part of the text.
};

// The members of an object, given that the text is JSON. Nothing where it is no object.
std::optional<std::vector<JsonMember>> JsonMembers(absl::string_view text);

// The value at a path such as options.steps, or of its deepest part that is there; index parts ([2]) end the search.
absl::string_view JsonAt(absl::string_view text, absl::string_view path);

// The column of a part of `line`, from 1, in characters of UTF-8.
int JsonColumn(absl::string_view line, size_t byte);

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_BATCH_JSON_PLACE_H_
