// Tells other processes where the coordinator listens.
#ifndef UNMASK_COORDINATOR_ADDRESS_FILE_H_
#define UNMASK_COORDINATOR_ADDRESS_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "coordinator/server.h"

namespace unmask {

// Writes {"grpc": "host:port", "fleet": ..., "admin": ...}, and "http" where there is such a port, beside `path`, then
// renames: readers see all of it or nothing. FAILED_PRECONDITION names the file.
absl::Status WriteAddressFile(const std::string& path, const Server& server);

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_ADDRESS_FILE_H_
