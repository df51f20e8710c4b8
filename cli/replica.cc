#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/cores.h"
#include "base/exit_codes.h"
#include "base/log.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/installation.h"
#include "cli/serve_options.h"
#include "cli/service_addresses.h"
#include "cli/supervision.h"
#include "cluster/supervisor.h"
#include "cluster/worker_command.h"

namespace unmask {
namespace {

constexpr char kDescription[] = "Run one replica, on this host or several, for a coordinator that runs already";
constexpr char kFooter[] =
    "It dials in, and is restarted when it fails. SIGTERM or SIGINT lets it finish its sequences and ends; a second "
    "SIGINT\n"
    "ends at once. Exit codes: 0 done; 64 usage; 65 a corrupt checkpoint; 70 sequences were cut off; 78 a "
    "configuration\n"
    "that cannot work.";

struct ReplicaOptions {
  WorkerOptions worker;
  int drain_timeout = 600;  // Seconds; 0: no limit.
};

// Unique among the replicas of a coordinator, and the same for all lives of this one.
std::string DefaultName() {
  char host[256] = "replica";
  gethostname(host, sizeof(host) - 1);
  return absl::StrCat(host, "-", getpid());
}

absl::Status Complete(ReplicaOptions* options) {
  WorkerOptions* worker = &options->worker;
  UNMASK_RETURN_IF_ERROR(CheckAddress("coordinator", worker->coordinator));
  UNMASK_RETURN_IF_ERROR(CheckClientTls(worker->tls, "tls", "tls-ca"));
  if (worker->hosts.empty() && !(worker->launch_agent.empty() && worker->network.empty())) {
    return absl::InvalidArgumentError("launch-agent and network need hosts: they are about ranks on other hosts");
  }
  UNMASK_ASSIGN_OR_RETURN(const int ranks_here, RanksOfOneHost(worker->hosts, worker->tensor_parallel));
  if (worker->model.empty()) {
    const absl::StatusOr<std::string> embedded = EmbeddedModel();
    if (!embedded.ok()) return absl::FailedPreconditionError(embedded.status().message());
    worker->model = *embedded;
  }
  UNMASK_RETURN_IF_ERROR(CheckModel(worker->model, worker->tensor_parallel));
  const absl::StatusOr<std::string> program = SisterProgram("unmask-worker");
  if (!program.ok()) return absl::FailedPreconditionError(program.status().message());
  worker->program = *program;
  if (worker->model_name.empty()) worker->model_name = FolderName(worker->model);
  worker->drain_timeout = options->drain_timeout;
  if (worker->name.empty()) worker->name = DefaultName();
  if (worker->threads == 0) worker->threads = std::max(1, AllowedCores() / ranks_here);
  return absl::OkStatus();
}

int Supervise(EventLoop* loop, const RuntimeDirectory& runtime, const ReplicaOptions& options) {
  int exit_code = kExitOk;
  bool stopping = false;
  Supervisor replica(loop, &runtime,
                     {.name = "replica",
                      .command = [&](const Incarnation& life) { return WorkerCommand(options.worker, life); },
                      .on_line = RelayLogLine,
                      .on_ended =
                          [&](const Ending& ending) {
                            if (!stopping) {
                              LogError(ending.message);
                              exit_code = ending.exit_code;
                            } else if (ending.exit_code == 128 + SIGKILL || ending.exit_code == kExitSoftware) {
                              LogError("ended before it had finished");
                              exit_code = kExitSoftware;
                            }
                            loop->Quit();
                          },
                      .backoff = {},
                      .life_signs = LifeSigns()});
  const auto drain = [&] {
    if (std::exchange(stopping, true)) return;
    LogInfo("draining");
    // The worker keeps the limit itself; a little more, to let it end.
    replica.Stop(options.drain_timeout > 0 ? absl::Seconds(options.drain_timeout + 3) : absl::InfiniteDuration());
  };
  for (const int signal_number : {SIGTERM, SIGHUP}) loop->OnSignal(signal_number, drain);
  loop->OnSignal(SIGINT, [&] {
    if (stopping) return replica.Stop(absl::ZeroDuration());
    drain();
  });
  replica.Start();
  loop->Run();
  return exit_code;
}

int RunReplica(ReplicaOptions options) {
  SetLogComponent("replica");
  SetLogFormat(ParseLogFormat(options.worker.log_format));
  if (const absl::Status status = Complete(&options); !status.ok()) {
    LogError(status.message());
    return ConfigExitCode(status);
  }
  return RunSupervised(
      [&](EventLoop* loop, const RuntimeDirectory* runtime) { return Supervise(loop, *runtime, options); });
}

}  // namespace

void AddReplica(CLI::App* app, int* exit_code) {
  CLI::App* command = app->add_subcommand("replica", kDescription);
  command->footer(kFooter);
  const auto options = std::make_shared<ReplicaOptions>();
  WorkerOptions* worker = &options->worker;
  worker->threads = 0;
  worker->log_format = "text";
  const auto add = [command](const char* group, const char* name, auto* value, const char* help) {
    return command->add_option(name, *value, help)->group(group)->capture_default_str();
  };
  add("Coordinator", "--coordinator", &worker->coordinator, "its fleet port")->type_name("HOST:PORT")->required();
  add("Coordinator", "--name", &worker->name, "of this replica, its own at the coordinator; host and pid")
      ->type_name("NAME");

  add("Coordinator", "--tls-ca", &worker->tls.ca, "PEM certificates that its must lead to; else plaintext")
      ->type_name("FILE");
  add("Coordinator", "--tls-cert", &worker->tls.cert, "PEM certificate to show, with its chain")->type_name("FILE");
  add("Coordinator", "--tls-key", &worker->tls.key, "PEM private key of that certificate")->type_name("FILE");

  add("Coordinator", "--state-file", &worker->state_file,
      "says how the replica is, for probes: \"ready\", or why not; anew each second")
      ->type_name("FILE");

  add("Model", "--model", &worker->model, "checkpoint folder, the same on every host; the embedded model")
      ->type_name("DIR");
  add("Model", "--model-name", &worker->model_name, "the folder's")->type_name("NAME");
  add("Model", "--dtype", &worker->dtype,
      "to compute in; auto: bf16 where stored so and native, else fp32; int8: quick, approximate")
      ->check(CLI::IsMember({"auto", "fp32", "bf16", "int8"}));
  add("Model", "--weights-digest", &worker->weights_digest,
      "refuse weights that are others: the digest in \"numerics\" after \"weights:\", of as many ranks")
      ->type_name("HEX");

  add("Ranks", "--tensor-parallel", &worker->tensor_parallel, "ranks; each holds a slice of the model")
      ->check(CLI::Range(1, 1024))
      ->type_name("N");
  add("Ranks", "--hosts", &worker->hosts, "where they run, HOST:RANKS,...; all here. Name this host first")
      ->type_name("LIST");
  add("Ranks", "--launch-agent", &worker->launch_agent,
      "starts a command on another host: run as CMD HOST COMMAND, stays until it ends; ssh")
      ->type_name("CMD");
  add("Ranks", "--network", &worker->network, "over which ranks of several hosts talk; all that they share")
      ->type_name("CIDR|INTERFACE");
  add("Ranks", "--threads", &worker->threads, "of each rank; 0: the allowed cores, shared among the ranks")
      ->check(CLI::Range(0, 4096))
      ->type_name("N");
  add("Ranks", "--device", &worker->device, "to compute on")->check(CLI::IsMember({"cpu", "cuda"}));
  add("Ranks", "--kv-memory", &worker->kv_memory, "memory for K/V of each rank; as much as the device affords")
      ->type_name("BYTES");
  add("Ranks", "--drain-timeout", &options->drain_timeout, "seconds that SIGTERM leaves to what runs; 0: no limit")
      ->check(CLI::NonNegativeNumber)
      ->type_name("SECONDS");
  AddLogFormat(command, &worker->log_format);
  command->callback([options, exit_code] { *exit_code = RunReplica(*options); });
}

}  // namespace unmask
