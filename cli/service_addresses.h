// The ports that a service listens on, as processes tell each other: a JSON file {"grpc": "host:port", "fleet": ...,
// "admin": ...}, with "http" where there is such a port; written whole.
#ifndef UNMASK_CLI_SERVICE_ADDRESSES_H_
#define UNMASK_CLI_SERVICE_ADDRESSES_H_

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace unmask {

struct ServiceAddresses {
  std::string grpc;
  std::string fleet;
  std::string admin;
  std::string http;  // Empty: there is none.
};

// NOT_FOUND while there is no such file.
absl::StatusOr<ServiceAddresses> ReadAddresses(const std::string& path);

// With "pid" added, for --ready-file.
std::string AddressesJson(const ServiceAddresses& addresses, pid_t pid);

// Readers see all of the content or none: written beside `path`, then renamed.
absl::Status WriteWhole(const std::string& path, const std::string& content);

// INVALID_ARGUMENT, naming `field`, unless `address` is HOST:PORT or [IPV6]:PORT with a port of 0 to 65535.
absl::Status CheckAddress(const std::string& field, const std::string& address);

// Where to dial a listener from its own host: the loopback address instead of a wildcard.
std::string DialAddress(const std::string& listening);

}  // namespace unmask

#endif  // UNMASK_CLI_SERVICE_ADDRESSES_H_
