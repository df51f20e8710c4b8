// A service's error for a person: what happened, and which field of the request it was about.
#ifndef UNMASK_CLI_ERRORS_H_
#define UNMASK_CLI_ERRORS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace unmask {

// "block_length 30 does not divide gen_length 128 (INVALID_ARGUMENT)", then one indented line for every field violation
// that says more than that. No newline at the end. Control characters in what the service said are shown, not obeyed.
std::string DescribeError(const absl::Status& status);

// The constant reason of google.rpc.ErrorInfo, such as "SEQUENCE_TOO_LONG"; empty where there is none.
std::string ReasonOf(const absl::Status& status);

// Prints "unmask: " and the description to standard error and returns the exit code (ExitCodeOf).
int ReportError(const absl::Status& status);

}  // namespace unmask

#endif  // UNMASK_CLI_ERRORS_H_
