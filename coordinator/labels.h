// Names of enum values as metrics and logs spell them.
#ifndef UNMASK_COORDINATOR_LABELS_H_
#define UNMASK_COORDINATOR_LABELS_H_

#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace unmask {

// REMASKING_LOW_CONFIDENCE without REMASKING_ -> low_confidence.
inline std::string EnumLabel(absl::string_view enum_name, absl::string_view prefix) {
  return absl::AsciiStrToLower(absl::StripPrefix(enum_name, prefix));
}

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_LABELS_H_
