// JSON of a checkpoint, which nobody vouches for: bounded in size and depth, duplicate keys refused.
#ifndef UNMASK_WORKER_JSON_H_
#define UNMASK_WORKER_JSON_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace unmask {

// DATA_LOSS, saying what is wrong and where, for anything but one JSON object of at most `max_depth` nested levels.
absl::StatusOr<nlohmann::json> ParseJsonObject(absl::string_view text, int max_depth);

// A whole file of at most `max_bytes`. NOT_FOUND, or DATA_LOSS for one that is too large or no regular file.
absl::StatusOr<std::string> ReadFile(const std::string& path, int64_t max_bytes);

}  // namespace unmask

#endif  // UNMASK_WORKER_JSON_H_
