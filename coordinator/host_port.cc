#include "coordinator/host_port.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace unmask {

std::string HostPort::ToString() const {
  const bool ipv6 = host.find(':') != std::string::npos;
  return ipv6 ? absl::StrCat("[", host, "]:", port) : absl::StrCat(host, ":", port);
}

absl::StatusOr<HostPort> ParseHostPort(absl::string_view address) {
  const auto invalid = [&] {
    return absl::InvalidArgumentError(
        absl::StrCat("address \"", address, "\" is not host:port, [IPv6]:port with a port in [0, 65535]"));
  };
  const size_t colon = address.rfind(':');
  if (colon == absl::string_view::npos) return invalid();
  HostPort parsed;
  absl::string_view host = address.substr(0, colon);
  const absl::string_view port = address.substr(colon + 1);
  const bool bracketed = absl::ConsumePrefix(&host, "[") && absl::ConsumeSuffix(&host, "]");
  if (host.empty() || host.find_first_of("[]") != absl::string_view::npos) return invalid();
  if (!bracketed && host.find(':') != absl::string_view::npos) return invalid();
  if (port.empty() || port.find_first_not_of("0123456789") != absl::string_view::npos) return invalid();
  if (!absl::SimpleAtoi(port, &parsed.port) || parsed.port > 65535) return invalid();
  parsed.host = std::string(host);
  return parsed;
}

}  // namespace unmask
