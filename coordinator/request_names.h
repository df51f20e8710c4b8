// By what a request is found again, whatever protocol it came by: its id, and its place in a trace of its caller's.
#ifndef UNMASK_COORDINATOR_REQUEST_NAMES_H_
#define UNMASK_COORDINATOR_REQUEST_NAMES_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace unmask {

// Headers, of requests and of their replies.
inline constexpr char kRequestIdHeader[] = "x-request-id";
inline constexpr char kTraceparentHeader[] = "traceparent";

struct RequestNames {
  std::string request_id;
  std::string trace_id;  // These: empty without a trace.
  std::string span_id;   // Ours, newly drawn.
  std::string parent_span_id;
  std::string traceparent;  // Ours, as the reply's header.
};

// id: of the request's own field, else of its header x-request-id, else drawn. What is malformed is taken as if it was
// not there.
RequestNames NameRequest(const std::string& id_field, absl::string_view id_header, absl::string_view traceparent);

// INVALID_ARGUMENT for an id that is no name: it stands in logs and comes back in headers, so no control characters and
// no length to drown in. An empty one is none.
absl::Status CheckRequestId(absl::string_view id);

// From the system's entropy: seeds and ids that nobody can guess or repeat by accident.
uint64_t RandomWord();

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_REQUEST_NAMES_H_
