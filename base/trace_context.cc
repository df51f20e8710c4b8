#include "base/trace_context.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace unmask {
namespace {

constexpr size_t kLength = 55;  // "00-" trace "-" span "-" flags, of version 00.

bool LowerHex(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool AllZero(absl::string_view text) { return text.find_first_not_of('0') == absl::string_view::npos; }

}  // namespace

std::string TraceContext::ToString() const { return absl::StrCat("00-", trace_id, "-", span_id, "-", flags); }

TraceContext TraceContext::Child(uint64_t id) const {
  return {trace_id, absl::StrCat(absl::Hex(id, absl::kZeroPad16)), flags};
}

std::optional<TraceContext> ParseTraceparent(absl::string_view header) {
  if (header.size() < kLength || header[2] != '-' || header[35] != '-' || header[52] != '-') return std::nullopt;
  const absl::string_view version = header.substr(0, 2);
  const absl::string_view trace_id = header.substr(3, 32);
  const absl::string_view span_id = header.substr(36, 16);
  const absl::string_view flags = header.substr(53, 2);
  if (!LowerHex(version) || version == "ff") return std::nullopt;
  // Later versions may say more, behind another dash.
  if (header.size() > kLength && (version == "00" || header[kLength] != '-')) return std::nullopt;
  if (!LowerHex(trace_id) || AllZero(trace_id) || !LowerHex(span_id) || AllZero(span_id) || !LowerHex(flags)) {
    return std::nullopt;
  }
  return TraceContext{std::string(trace_id), std::string(span_id), std::string(flags)};
}

}  // namespace unmask
