#include "cli/service.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/exit_codes.h"
#include "base/log.h"
#include "cluster/worker_command.h"

namespace unmask {
namespace {

constexpr absl::Duration kAddressPoll = absl::Milliseconds(20);
constexpr absl::Duration kFleetPoll = absl::Milliseconds(250);
// Nothing depends on a replica any more once the coordinator has ended.
constexpr absl::Duration kReplicaGrace = absl::Seconds(2);
constexpr absl::Duration kFailureGrace = absl::Seconds(2);
constexpr absl::Duration kCutOffTime = absl::Seconds(3);

std::string ReplicaName(int index) { return absl::StrCat("replica-", index); }

// Ended by the SIGTERM that we sent counts as ended well: it had nothing to finish.
bool EndedWell(int exit_code) { return exit_code == kExitOk || exit_code == 128 + SIGTERM; }

}  // namespace

Service::Service(const ServePlan& plan, EventLoop* loop, const RuntimeDirectory* runtime)
    : plan_(plan),
      loop_(loop),
      bar_(/*plain_lines=*/true),
      coordinator_(loop, runtime,
                   {.name = "coordinator",
                    .command = [this](const Incarnation& incarnation) { return CoordinatorCommand(incarnation); },
                    .on_line = [this](absl::string_view line) { PrintLine(line); },
                    .on_ended = [this](const Ending& ending) { CoordinatorEnded(ending); },
                    .backoff = {},
                    .life_signs = {}}) {
  for (int i = 0; i < plan_.options.replicas; ++i) {
    const std::string name = ReplicaName(i);
    replicas_.push_back(std::make_unique<Supervisor>(
        loop, runtime,
        SupervisorOptions{.name = name,
                          .command = [this, i](const Incarnation& life) { return ReplicaCommand(i, life); },
                          .on_line = [this](absl::string_view line) { PrintLine(line); },
                          .on_ended = [this, name](const Ending& ending) { ReplicaEnded(name, ending); },
                          .backoff = {},
                          .life_signs = LifeSigns()}));
  }
}

Service::~Service() { watch_.reset(); }

int Service::Run() {
  if (!plan_.options.ready_file.empty()) unlink(plan_.options.ready_file.c_str());
  for (const int signal_number : {SIGTERM, SIGHUP}) loop_->OnSignal(signal_number, [this] { Drain(); });
  loop_->OnSignal(SIGINT, [this] { Interrupt(); });
  coordinator_.Start();
  loop_->Run();
  watch_.reset();
  bar_.Clear();
  if (ready_ && !plan_.options.ready_file.empty()) unlink(plan_.options.ready_file.c_str());
  return exit_code_;
}

Command Service::CoordinatorCommand(const Incarnation& incarnation) {
  const ServeOptions& options = plan_.options;
  address_file_ = incarnation.directory + "/addresses.json";
  // Clients and replicas know the first life's ports: later ones keep them.
  const ServiceAddresses listen = addresses_.value_or(
      ServiceAddresses{options.listen, options.fleet_listen, options.admin_listen, options.http_listen});
  Command command;
  command.argv = {plan_.coordinator_program,
                  "--listen",
                  listen.grpc,
                  "--fleet-listen",
                  listen.fleet,
                  "--admin-listen",
                  listen.admin,
                  "--model",
                  options.model,
                  "--model-name",
                  options.model_name,
                  "--address-file",
                  address_file_,
                  "--expected-replicas",
                  absl::StrCat(options.replicas),
                  "--drain-timeout",
                  absl::StrCat(options.drain_timeout),
                  "--log-format",
                  options.log_format};
  if (options.eot_token_id.has_value()) {
    command.argv.insert(command.argv.end(), {"--eot-token-id", absl::StrCat(*options.eot_token_id)});
  }
  const std::pair<const char*, const std::string*> texts[] = {
      {"--http-listen", &listen.http},
      {"--tls-cert", &options.tls.cert},
      {"--tls-key", &options.tls.key},
      {"--tls-client-ca", &options.tls.ca},
      {"--fleet-tls-cert", &options.fleet_tls.cert},
      {"--fleet-tls-key", &options.fleet_tls.key},
      {"--fleet-tls-client-ca", &options.fleet_tls.ca},
      {"--auth-tokens", &options.auth_tokens},
      {"--store", &options.store},
  };
  for (const auto& [flag, text] : texts) {
    if (!text->empty()) command.argv.insert(command.argv.end(), {flag, *text});
  }
  if (options.open_reflection) command.argv.push_back("--open-reflection");
  if (!addresses_.has_value() && incarnation.restarts == 0) loop_->After(kAddressPoll, [this] { AwaitAddresses(); });
  return command;
}

Command Service::ReplicaCommand(int index, const Incarnation& incarnation) const {
  const ServeOptions& options = plan_.options;
  WorkerOptions worker;
  worker.program = plan_.worker_program;
  worker.coordinator = DialAddress(addresses_->fleet);
  worker.name = ReplicaName(index);
  worker.host_replica = index;
  worker.host_replicas = options.replicas;
  worker.model = options.model;
  worker.model_name = options.model_name;
  worker.dtype = options.dtype;
  worker.device = options.device;
  worker.kv_memory = options.kv_memory;
  worker.weights_digest = options.weights_digest;
  if (!options.fleet_tls_ca.empty()) worker.tls = {options.fleet_tls_ca, options.fleet_tls.cert, options.fleet_tls.key};
  worker.tensor_parallel = options.tensor_parallel;
  worker.threads = options.threads;
  worker.log_format = options.log_format;
  return WorkerCommand(worker, incarnation);
}

void Service::AwaitAddresses() {
  if (stopping_) return;
  const absl::StatusOr<ServiceAddresses> addresses = ReadAddresses(address_file_);
  if (addresses.ok()) return Announce(*addresses);
  if (!absl::IsNotFound(addresses.status())) {
    return Fail("coordinator", {kExitSoftware, std::string(addresses.status().message())});
  }
  loop_->After(kAddressPoll, [this] { AwaitAddresses(); });
}

void Service::Announce(const ServiceAddresses& addresses) {
  addresses_ = addresses;
  if (!plan_.options.address_file.empty()) {
    const absl::Status written = WriteWhole(plan_.options.address_file, AddressesJson(addresses, getpid()));
    if (!written.ok()) return Fail("address_file", {kExitConfig, std::string(written.message())});
  }
  if (plan_.options.log_format == "json") {
    Log(Severity::kInfo, "serving",
        {{"model", plan_.options.model_name},
         {"grpc", addresses.grpc},
         {"fleet", addresses.fleet},
         {"admin", addresses.admin},
         {"http", addresses.http}});
  } else {
    printf("Serving %s: gRPC on %s, replicas on %s, http://%s/metrics\n", plan_.options.model_name.c_str(),
           addresses.grpc.c_str(), addresses.fleet.c_str(), addresses.admin.c_str());
    if (!addresses.http.empty()) {
      printf("OpenAI's API and a page on %s://%s\n", plan_.options.tls.empty() ? "http" : "https",
             addresses.http.c_str());
    }
    fflush(stdout);
  }
  for (const auto& replica : replicas_) {
    if (!stopping_) replica->Start();
  }
  watch_ = std::make_unique<FleetWatch>(DialAddress(addresses.grpc), plan_.own, kFleetPoll,
                                        [this](const auto& fleet) { loop_->Post([this, fleet] { SeeFleet(fleet); }); });
}

void Service::SeeFleet(const v1::GetFleetResponse& fleet) {
  if (stopping_) return;
  if (IsReady(fleet)) return BecomeReady();
  if (ready_) return;
  const v1::LoadingProgress loading = TotalLoading(fleet);
  bar_.Show(absl::StrCat("Loading ", plan_.options.model_name), loading.bytes_done(), loading.bytes_total());
}

void Service::BecomeReady() {
  bar_.Clear();
  if (ready_) return;
  ready_ = true;
  if (plan_.options.log_format == "json") {
    LogInfo("ready");
  } else {
    printf("Ready.\n");
    fflush(stdout);
  }
  if (plan_.options.ready_file.empty()) return;
  const absl::Status written = WriteWhole(plan_.options.ready_file, AddressesJson(*addresses_, getpid()));
  if (!written.ok()) Fail("ready_file", {kExitConfig, std::string(written.message())});
}

void Service::PrintLine(absl::string_view line) {
  bar_.Clear();
  RelayLogLine(line);
}

void Service::Interrupt() {
  if (stopping_) return StopAtOnce();
  if (isatty(STDERR_FILENO) == 1) PrintLine("Finishing what runs; interrupt again to stop at once.");
  Drain();
}

void Service::Drain() {
  if (stopping_) return;
  stopping_ = true;
  bar_.Clear();
  LogInfo("draining");
  const int limit = plan_.options.drain_timeout;
  // The coordinator keeps the limit itself, to tell its clients.
  coordinator_.Stop(limit > 0 ? absl::Seconds(limit) + kCutOffTime : absl::InfiniteDuration());
}

void Service::StopAtOnce() {
  stopping_ = true;
  coordinator_.Stop(absl::ZeroDuration());
  for (const auto& replica : replicas_) replica->Stop(absl::ZeroDuration());
  QuitIfAllEnded();
}

void Service::Fail(const std::string& who, const Ending& ending) {
  bar_.Clear();
  LogError(who, ": ", ending.message);
  if (exit_code_ == kExitOk) exit_code_ = ending.exit_code;
  stopping_ = true;
  if (coordinator_.ended()) return CoordinatorEnded({});
  coordinator_.Stop(kFailureGrace);
}

void Service::CoordinatorEnded(const Ending& ending) {
  if (!stopping_) return Fail("coordinator", ending);
  if (exit_code_ == kExitOk && !EndedWell(ending.exit_code)) {
    LogError("coordinator: requests may have been cut off: ", ending.message);
    exit_code_ = kExitSoftware;
  }
  // Until here replicas were kept alive, to finish what ran.
  for (const auto& replica : replicas_) replica->Stop(kReplicaGrace);
  QuitIfAllEnded();
}

void Service::ReplicaEnded(const std::string& name, const Ending& ending) {
  if (ending.unasked) Fail(name, ending);
  QuitIfAllEnded();
}

void Service::QuitIfAllEnded() {
  const bool all = coordinator_.ended() &&
                   std::all_of(replicas_.begin(), replicas_.end(), [](const auto& one) { return one->ended(); });
  if (all) loop_->Quit();
}

}  // namespace unmask
