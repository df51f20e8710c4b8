// Addresses to listen on: "127.0.0.1:50051", "localhost:0", "[::1]:9090".
#ifndef UNMASK_COORDINATOR_HOST_PORT_H_
#define UNMASK_COORDINATOR_HOST_PORT_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace unmask {

struct HostPort {
  std::string host;  // Without brackets.
  int port = 0;      // 0: any free one.

  // As it was written, IPv6 in brackets.
  std::string ToString() const;
};

// INVALID_ARGUMENT names the address.
absl::StatusOr<HostPort> ParseHostPort(absl::string_view address);

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_HOST_PORT_H_
