#include "coordinator/address_file.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace unmask {

absl::Status WriteAddressFile(const std::string& path, const Server& server) {
  nlohmann::ordered_json addresses = {
      {"grpc", server.grpc_address()}, {"fleet", server.fleet_address()}, {"admin", server.admin_address()}};
  if (!server.http_address().empty()) addresses["http"] = server.http_address();
  const std::string temporary = absl::StrCat(path, ".", getpid());
  std::ofstream file(temporary);
  file << addresses.dump() << "\n";
  file.close();
  if (!file || rename(temporary.c_str(), path.c_str()) != 0) {
    const int error = errno;
    unlink(temporary.c_str());
    return absl::FailedPreconditionError(absl::StrCat("cannot write ", path, ": ", strerror(error)));
  }
  return absl::OkStatus();
}

}  // namespace unmask
