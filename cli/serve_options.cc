#include "cli/serve_options.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/cores.h"
#include "base/exit_codes.h"
#include "base/status.h"
#include "cli/installation.h"
#include "cli/service_addresses.h"
#include "cluster/worker_command.h"

namespace unmask {
namespace {

namespace fs = std::filesystem;

// A program or model that is not there is a configuration that cannot work.
absl::Status AsPrecondition(const absl::Status& status) { return absl::FailedPreconditionError(status.message()); }

// What TLS and tokens need of each other, and what `serve` needs to talk to its own coordinator.
absl::StatusOr<Credentials> OwnCredentials(const ServeOptions& options) {
  UNMASK_RETURN_IF_ERROR(CheckServerTls(options.tls, "tls", "tls-client-ca"));
  UNMASK_RETURN_IF_ERROR(CheckServerTls(options.fleet_tls, "fleet-tls", "fleet-tls-client-ca"));
  if (options.tls.cert.empty() != options.tls_ca.empty()) {
    return absl::FailedPreconditionError("tls-cert and tls-ca need each other: serve is a client of its own port");
  }
  if (options.fleet_tls.cert.empty() != options.fleet_tls_ca.empty()) {
    return absl::FailedPreconditionError("fleet-tls-cert and fleet-tls-ca need each other: the replicas dial in");
  }
  if (!options.auth_tokens.empty() && options.token_file.empty()) {
    return absl::FailedPreconditionError("auth-tokens needs token-file: serve asks its coordinator with scope admin");
  }
  Credentials own;
  if (!options.tls_ca.empty()) own.tls = {options.tls_ca, options.tls.cert, options.tls.key};
  UNMASK_RETURN_IF_ERROR(CheckClientTls(own.tls, "tls", "tls-ca"));
  UNMASK_RETURN_IF_ERROR(CheckClientTls({options.fleet_tls_ca, "", ""}, "fleet-tls", "fleet-tls-ca"));
  UNMASK_ASSIGN_OR_RETURN(own.token, ReadToken(options.token_file, "token-file"));
  return own;
}

}  // namespace

absl::Status CheckModel(const std::string& folder, int tensor_parallel) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    return absl::FailedPreconditionError(absl::StrCat("model: '", folder, "' is not a folder"));
  }
  std::ifstream file(fs::path(folder) / "config.json");
  if (!file) {
    return absl::FailedPreconditionError(absl::StrCat("model: '", folder, "' holds no readable config.json"));
  }
  const nlohmann::json config = nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) {
    return absl::DataLossError(absl::StrCat("model: '", folder, "/config.json' is not a JSON object"));
  }
  if (!fs::exists(fs::path(folder) / "model.safetensors", error) &&
      !fs::exists(fs::path(folder) / "model.safetensors.index.json", error)) {
    return absl::DataLossError(
        absl::StrCat("model: '", folder, "' holds neither model.safetensors nor model.safetensors.index.json"));
  }
  const auto heads = config.find("n_heads");
  if (heads != config.end() && heads->is_number_integer() && heads->get<int64_t>() < tensor_parallel) {
    return absl::FailedPreconditionError(absl::StrCat(
        "tensor_parallel: ", tensor_parallel, " ranks are more than the model's ", heads->get<int64_t>(), " heads"));
  }
  return absl::OkStatus();
}

std::string FolderName(const std::string& folder) {
  std::error_code error;
  fs::path path = fs::weakly_canonical(folder, error);
  if (path.filename().empty()) path = path.parent_path();
  return path.filename().string();
}

absl::StatusOr<ServePlan> PlanServe(ServeOptions options) {
  UNMASK_RETURN_IF_ERROR(CheckAddress("listen", options.listen));
  UNMASK_RETURN_IF_ERROR(CheckAddress("fleet_listen", options.fleet_listen));
  UNMASK_RETURN_IF_ERROR(CheckAddress("admin_listen", options.admin_listen));
  if (!options.http_listen.empty()) UNMASK_RETURN_IF_ERROR(CheckAddress("http_listen", options.http_listen));
  UNMASK_ASSIGN_OR_RETURN(Credentials own, OwnCredentials(options));
  if (options.model.empty()) {
    absl::StatusOr<std::string> embedded = EmbeddedModel();
    if (!embedded.ok()) return AsPrecondition(embedded.status());
    options.model = *std::move(embedded);
  }
  UNMASK_RETURN_IF_ERROR(CheckModel(options.model, options.tensor_parallel));
  if (options.model_name.empty()) options.model_name = FolderName(options.model);
  if (options.threads == 0) {
    options.threads = std::max(1, AllowedCores() / std::max(1, options.replicas * options.tensor_parallel));
  }
  const absl::StatusOr<std::string> coordinator = SisterProgram("unmask-coordinator");
  if (!coordinator.ok()) return AsPrecondition(coordinator.status());
  const absl::StatusOr<std::string> worker = SisterProgram("unmask-worker");
  if (!worker.ok()) return AsPrecondition(worker.status());
  if (options.tensor_parallel > 1) {
    const absl::StatusOr<std::string> mpirun = FindProgram("mpirun");
    if (!mpirun.ok()) return AsPrecondition(Annotate(mpirun.status(), "tensor_parallel > 1 needs Open MPI"));
  }
  return ServePlan{std::move(options), *coordinator, *worker, std::move(own)};
}

int ConfigExitCode(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kExitOk;
    case absl::StatusCode::kInvalidArgument:
      return kExitUsage;
    case absl::StatusCode::kDataLoss:
      return kExitData;
    case absl::StatusCode::kFailedPrecondition:
      return kExitConfig;
    default:
      return kExitSoftware;
  }
}

std::string PlanJson(const ServePlan& plan) {
  const ServeOptions& options = plan.options;
  nlohmann::ordered_json json = {{"model", options.model},
                                 {"model_name", options.model_name},
                                 {"replicas", options.replicas},
                                 {"tensor_parallel", options.tensor_parallel},
                                 {"dtype", options.dtype},
                                 {"device", options.device},
                                 {"threads", options.threads},
                                 {"listen", options.listen},
                                 {"fleet_listen", options.fleet_listen},
                                 {"admin_listen", options.admin_listen},
                                 {"drain_timeout", options.drain_timeout},
                                 {"log_format", options.log_format}};
  if (options.eot_token_id.has_value()) json["eot_token_id"] = *options.eot_token_id;
  if (!options.kv_memory.empty()) json["kv_memory"] = options.kv_memory;
  if (!options.weights_digest.empty()) json["weights_digest"] = options.weights_digest;
  const std::pair<const char*, const std::string*> texts[] = {
      {"http_listen", &options.http_listen},
      {"tls_cert", &options.tls.cert},
      {"tls_client_ca", &options.tls.ca},
      {"fleet_tls_cert", &options.fleet_tls.cert},
      {"fleet_tls_client_ca", &options.fleet_tls.ca},
      {"auth_tokens", &options.auth_tokens},
      {"store", &options.store},
  };
  for (const auto& [name, text] : texts) {
    if (!text->empty()) json[name] = *text;
  }
  return json.dump(2) + "\n";
}

}  // namespace unmask
