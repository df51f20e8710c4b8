// unmask-coordinator: the front door of the service. See coordinator/server.h.
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <filesystem>
#include <optional>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/exit_codes.h"
#include "base/log.h"
#include "base/status.h"
#include "base/version.h"
#include "coordinator/address_file.h"
#include "coordinator/server.h"

namespace unmask {
namespace {

constexpr char kEndOfTurn[] = "<|eot_id|>";
constexpr std::chrono::milliseconds kDrainPoll(20);

struct Flags {
  std::string model;
  std::string model_name;
  std::optional<int32_t> eot_token_id;
  std::string address_file;
  std::string log_format = "text";
  int drain_timeout = 0;  // Seconds; 0: no limit.
  double lease = 10;      // Seconds.
  ServerOptions server;
};

// Each flag is also an environment variable: --fleet-listen is UNMASK_FLEET_LISTEN.
void AddFlags(CLI::App* app, Flags* flags) {
  const auto add = [app](const std::string& name, auto* value, const char* help) {
    const std::string variable = absl::AsciiStrToUpper(absl::StrReplaceAll(name.substr(2), {{"-", "_"}}));
    return app->add_option(name, *value, help)->envname("UNMASK_" + variable);
  };
  add("--listen", &flags->server.listen, "gRPC for clients; port 0 takes a free one")->capture_default_str();
  add("--fleet-listen", &flags->server.fleet_listen, "gRPC for replicas")->capture_default_str();
  add("--admin-listen", &flags->server.admin_listen, "HTTP: /livez /readyz /metrics")->capture_default_str();
  add("--http-listen", &flags->server.http_listen,
      "HTTP for clients: OpenAI's API, and a page at /; else there is none");
  add("--model", &flags->model, "checkpoint folder, for its tokenizer; without one only ids come and go")
      ->required()
      ->check(CLI::ExistingDirectory);
  add("--model-name", &flags->model_name, "name that requests and replicas use; the folder's");
  add("--eot-token-id", &flags->eot_token_id, "end-of-turn token; the tokenizer's <|eot_id|>")
      ->check(CLI::NonNegativeNumber);
  const auto add_tls = [&add](const std::string& prefix, const char* port, TlsFiles* files) {
    add("--" + prefix + "-cert", &files->cert, "PEM certificate of the port, with its chain; looked at each second")
        ->group(port);
    add("--" + prefix + "-key", &files->key, "PEM private key of the certificate")->group(port);
    add("--" + prefix + "-client-ca", &files->ca, "PEM certificates that clients' must lead to; else they need none")
        ->group(port);
  };
  add_tls("tls", "TLS for clients", &flags->server.tls);
  add_tls("fleet-tls", "TLS for replicas", &flags->server.fleet_tls);
  add("--auth-tokens", &flags->server.auth_tokens,
      "file of lines SCOPE[,SCOPE] SHA256-HEX: only holders of these bearer tokens may call; read anew when it changes")
      ->group("Access");
  add("--store", &flags->server.store,
      "folder of the batch jobs, which outlive the process; without one there are none");
  app->add_flag("--open-reflection", flags->server.open_reflection, "reflection also without a token")
      ->envname("UNMASK_OPEN_REFLECTION")
      ->group("Access");
  add("--max-open-requests", &flags->server.max_open_requests,
      "requests that are computed or wait at once; more are refused. Each takes some 25 kB")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  add("--expected-replicas", &flags->server.expected_replicas, "for unmask_expected_replicas and alerts; 0: unknown")
      ->check(CLI::NonNegativeNumber);
  add("--log-format", &flags->log_format, "lines of text, or one JSON object a line")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  add("--address-file", &flags->address_file, "write the addresses here, as JSON, when the ports are bound");
  add("--drain-timeout", &flags->drain_timeout, "seconds that SIGTERM leaves to what runs; 0: no limit")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  add("--lease", &flags->lease, "seconds of silence after which a replica is dropped")
      ->check(CLI::Range(0.05, 3600.0))
      ->capture_default_str();
}

// "models/demo/" -> "demo".
std::string FolderName(const std::string& folder) {
  const std::filesystem::path path = std::filesystem::path(folder).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

// What the folder holds for text. INVALID_ARGUMENT: a broken tokenizer.
absl::StatusOr<FleetOptions> ReadModel(const Flags& flags) {
  FleetOptions model;
  model.model_name = flags.model_name.empty() ? FolderName(flags.model) : flags.model_name;
  model.eot = flags.eot_token_id;
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = Tokenizer::Load(flags.model);
  if (absl::IsNotFound(tokenizer.status())) {
    LogInfo("no tokenizer in ", flags.model, ": only token ids come and go");
    return model;
  }
  UNMASK_RETURN_IF_ERROR(tokenizer.status());
  model.tokenizer = *std::move(tokenizer);
  if (!model.eot) model.eot = model.tokenizer->TokenId(kEndOfTurn);
  return model;
}

// The first signal drains, the second ends at once. Blocked in all threads, so that only sigtimedwait sees them.
sigset_t BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return signals;
}

// Waits until nothing runs, the time is up or a second signal comes.
int Drain(Server* server, const sigset_t& signals, int timeout_seconds) {
  const auto begin = std::chrono::steady_clock::now();
  server->Drain();
  LogInfo("draining");
  while (!server->idle()) {
    const timespec poll = {.tv_sec = 0, .tv_nsec = std::chrono::nanoseconds(kDrainPoll).count()};
    if (const int again = sigtimedwait(&signals, nullptr, &poll); again > 0) {
      LogWarning("a second signal: ending at once");
      _exit(128 + again);
    }
    if (timeout_seconds > 0 && std::chrono::steady_clock::now() - begin > std::chrono::seconds(timeout_seconds)) {
      LogWarning("the drain timeout has passed: cutting off what still runs");
      return kExitSoftware;
    }
  }
  return kExitOk;
}

int Run(Flags flags) {
  const sigset_t signals = BlockSignals();
  absl::StatusOr<FleetOptions> model = ReadModel(flags);
  if (!model.ok()) {
    LogError(model.status().message());
    return kExitData;
  }
  flags.server.model = *std::move(model);
  flags.server.lease = absl::Seconds(flags.lease);
  flags.server.version = kCommit;
  absl::StatusOr<std::unique_ptr<Server>> server = Server::Start(flags.server);
  if (!server.ok()) {
    LogError(server.status().message());
    return absl::IsInvalidArgument(server.status()) ? kExitUsage : kExitConfig;
  }
  LogInfo("gRPC on ", (*server)->grpc_address(), ", fleet on ", (*server)->fleet_address(), ", admin on ",
          (*server)->admin_address());
  if (!(*server)->http_address().empty()) LogInfo("HTTP on ", (*server)->http_address());
  if (!flags.address_file.empty()) {
    const absl::Status written = WriteAddressFile(flags.address_file, **server);
    if (!written.ok()) {
      LogError(written.message());
      return kExitConfig;
    }
  }
  int signal = 0;
  sigwait(&signals, &signal);
  const int exit_code = Drain(server->get(), signals, flags.drain_timeout);
  server->reset();
  LogInfo("ended");
  return exit_code;
}

}  // namespace
}  // namespace unmask

int main(int argc, char** argv) {
  CLI::App app("The front door of an Unmask service: takes requests and drives the replicas that dial in.",
               "unmask-coordinator");
  app.set_version_flag("--version", absl::StrCat("unmask-coordinator ", unmask::kCommit));
  unmask::Flags flags;
  unmask::AddFlags(&app, &flags);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? unmask::kExitOk : unmask::kExitUsage;
  }
  unmask::SetLogComponent("coordinator");
  unmask::SetLogFormat(unmask::ParseLogFormat(flags.log_format));
  return unmask::Run(std::move(flags));
}
