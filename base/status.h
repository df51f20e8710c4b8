// What Debian's Abseil (20220623) lacks for absl::Status: early returns, and prefixing a message.
#ifndef UNMASK_BASE_STATUS_H_
#define UNMASK_BASE_STATUS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace unmask {

// The same code with "prefix: " before the message. OK stays OK.
inline absl::Status Annotate(const absl::Status& status, absl::string_view prefix) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(prefix, ": ", status.message()));
}

}  // namespace unmask

// Returns from the enclosing function if `expression` (an absl::Status) is not OK.
#define UNMASK_RETURN_IF_ERROR(expression)                                   \
  do {                                                                       \
    if (::absl::Status unmask_status = (expression); !unmask_status.ok()) {  \
      return unmask_status;                                                  \
    }                                                                        \
  } while (false)

// UNMASK_ASSIGN_OR_RETURN(auto x, F()): x = *F(), or returns F's error.
#define UNMASK_ASSIGN_OR_RETURN(target, expression) \
  UNMASK_ASSIGN_OR_RETURN_IMPL_(UNMASK_CONCAT_(unmask_statusor_, __LINE__), target, expression)
#define UNMASK_ASSIGN_OR_RETURN_IMPL_(name, target, expression) \
  auto name = (expression);                                     \
  if (!name.ok()) return std::move(name).status();              \
  target = *std::move(name)
#define UNMASK_CONCAT_(a, b) UNMASK_CONCAT_INNER_(a, b)
#define UNMASK_CONCAT_INNER_(a, b) a##b

#endif  // UNMASK_BASE_STATUS_H_
