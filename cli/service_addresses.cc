#include "cli/service_addresses.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace unmask {
namespace {

// "[::1]:80" → ("[::1]", "80").
std::pair<std::string, std::string> SplitAddress(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) return {address, ""};
  return {address.substr(0, colon), address.substr(colon + 1)};
}

}  // namespace

absl::StatusOr<ServiceAddresses> ReadAddresses(const std::string& path) {
  std::ifstream file(path);
  if (!file) return absl::NotFoundError(absl::StrCat(path, ": no such file"));
  const nlohmann::json json = nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
  ServiceAddresses addresses;
  for (const auto& [key, target] : {std::pair{"grpc", &addresses.grpc},
                                    {"fleet", &addresses.fleet},
                                    {"admin", &addresses.admin},
                                    {"http", &addresses.http}}) {
    if (json.is_object() && !json.contains(key) && target == &addresses.http) continue;
    if (!json.is_object() || !json.contains(key) || !json[key].is_string()) {
      return absl::DataLossError(absl::StrCat(path, ": no string \"", key, "\""));
    }
    *target = json[key].get<std::string>();
    UNMASK_RETURN_IF_ERROR(Annotate(CheckAddress(key, *target), path));
  }
  return addresses;
}

std::string AddressesJson(const ServiceAddresses& addresses, pid_t pid) {
  nlohmann::ordered_json json = {
      {"grpc", addresses.grpc}, {"fleet", addresses.fleet}, {"admin", addresses.admin}, {"pid", pid}};
  if (!addresses.http.empty()) json["http"] = addresses.http;
  return json.dump() + "\n";
}

absl::Status WriteWhole(const std::string& path, const std::string& content) {
  const std::string beside = absl::StrCat(path, ".", getpid(), ".tmp");
  {
    std::ofstream file(beside, std::ios::binary | std::ios::trunc);
    file << content << std::flush;
    if (!file) {
      const int error = errno;
      unlink(beside.c_str());
      return absl::ErrnoToStatus(error, path);
    }
  }
  if (rename(beside.c_str(), path.c_str()) == 0) return absl::OkStatus();
  const int error = errno;
  unlink(beside.c_str());
  return absl::ErrnoToStatus(error, path);
}

absl::Status CheckAddress(const std::string& field, const std::string& address) {
  const auto [host, port_text] = SplitAddress(address);
  int port;
  const bool bracketed = absl::StartsWith(host, "[") && absl::EndsWith(host, "]");
  if (host.empty() || (!bracketed && absl::StrContains(host, ':')) || !absl::SimpleAtoi(port_text, &port) || port < 0 ||
      port > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": '", address, "' is not HOST:PORT with a port from 0 to 65535"));
  }
  return absl::OkStatus();
}

std::string DialAddress(const std::string& listening) {
  const auto [host, port] = SplitAddress(listening);
  if (host == "0.0.0.0") return "127.0.0.1:" + port;
  if (host == "[::]") return "[::1]:" + port;
  return listening;
}

}  // namespace unmask
