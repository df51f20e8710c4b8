// W3C trace context (https://www.w3.org/TR/trace-context/): which trace of its caller's a request is a part of.
#ifndef UNMASK_BASE_TRACE_CONTEXT_H_
#define UNMASK_BASE_TRACE_CONTEXT_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace unmask {

struct TraceContext {
  std::string trace_id;  // 32 lower-case hexadecimal digits.
  std::string span_id;   // 16: who asks.
  std::string flags;     // 2; the last bit: sampled.

  // The header that tells it on.
  std::string ToString() const;
  // The same trace, one step further in: of the span `id`, which is not 0.
  TraceContext Child(uint64_t id) const;
};

// A `traceparent` header. Nothing where it breaks the standard's form, which then is to be taken as if there was none.
std::optional<TraceContext> ParseTraceparent(absl::string_view header);

}  // namespace unmask

#endif  // UNMASK_BASE_TRACE_CONTEXT_H_
