#include "coordinator/request_names.h"

#include <random>

#include "absl/strings/str_cat.h"
#include "base/trace_context.h"
#include "coordinator/errors.h"

namespace unmask {
namespace {

constexpr size_t kMaxRequestIdBytes = 128;

bool IsName(absl::string_view id) { return !id.empty() && CheckRequestId(id).ok(); }

}  // namespace

RequestNames NameRequest(const std::string& id_field, absl::string_view id_header, absl::string_view traceparent) {
  RequestNames names;
  names.request_id = IsName(id_field)    ? id_field
                     : IsName(id_header) ? std::string(id_header)
                                         : absl::StrCat(absl::Hex(RandomWord(), absl::kZeroPad16));
  if (const auto caller = ParseTraceparent(traceparent)) {
    const TraceContext own = caller->Child(RandomWord() | 1);  // Never 0.
    names.trace_id = own.trace_id;
    names.span_id = own.span_id;
    names.parent_span_id = caller->span_id;
    names.traceparent = own.ToString();
  }
  return names;
}

absl::Status CheckRequestId(absl::string_view id) {
  if (id.size() > kMaxRequestIdBytes) {
    return InvalidField(kOptionInvalid, "request_id",
                        absl::StrCat("request_id has ", id.size(), " bytes, more than ", kMaxRequestIdBytes));
  }
  for (size_t i = 0; i < id.size(); ++i) {
    if (id[i] >= ' ' && id[i] <= '~') continue;
    return InvalidField(kOptionInvalid, "request_id",
                        absl::StrCat("request_id has a byte at ", i, " that is not printable ASCII"));
  }
  return absl::OkStatus();
}

uint64_t RandomWord() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

}  // namespace unmask
