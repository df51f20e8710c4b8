#include "cluster/worker_command.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace unmask {
namespace {

// Measured with Open MPI 4.1.4: a killed mpirun leaves its session directory and its ranks' shared memory behind, so
// both lie where the supervisor sweeps; a broken network goes unnoticed with the default keepalive, and is found in 5 s
// with this.
std::vector<std::string> MpirunArguments(const WorkerOptions& options, const Incarnation& incarnation) {
  const std::string ranks = absl::StrCat(options.tensor_parallel);
  std::vector<std::string> argv = {"mpirun", "--quiet", "-n", ranks, "--oversubscribe", "--bind-to", "none"};
  const auto set = [&argv](const std::string& name, const std::string& value) {
    argv.insert(argv.end(), {"--mca", name, value});
  };
  set("pml", "ob1");
  set("btl", "self,vader,tcp");
  set("mpi_yield_when_idle", "1");
  set("btl_vader_single_copy_mechanism", "none");  // Needs rights (ptrace) that containers withhold.
  set("oob_tcp_keepalive_time", "2");
  set("oob_tcp_keepalive_intvl", "1");
  set("oob_tcp_keepalive_probes", "3");
  if (options.hosts.empty()) {
    argv.insert(argv.end(), {"--host", absl::StrCat("localhost:", ranks)});
    set("orte_tmpdir_base", incarnation.directory);
    set("btl_vader_backing_directory", incarnation.shared_memory);
    set("plm", "isolated");  // No remote shell, no batch system.
    set("oob_tcp_if_include", "lo");
    set("btl_tcp_if_include", "lo");
  } else {
    set("plm", "rsh");  // No batch system, even within one.
    // This host starts a daemon on each other one: they need not be able to start anything on each other. The daemon
    // stays what the agent started, until it ends: else it would be nobody's.
    set("plm_rsh_no_tree_spawn", "1");
    argv.push_back("--leave-session-attached");
    if (!options.launch_agent.empty()) set("plm_rsh_agent", options.launch_agent);
    if (!options.network.empty()) {
      set("oob_tcp_if_include", options.network);
      set("btl_tcp_if_include", options.network);
    }
    argv.insert(argv.end(), {"--host", options.hosts, "-x", "OMP_WAIT_POLICY", "-x", "OMP_NUM_THREADS"});
  }
  return argv;
}

}  // namespace

Command WorkerCommand(const WorkerOptions& options, const Incarnation& incarnation) {
  Command command;
  if (options.tensor_parallel > 1 || !options.hosts.empty()) {
    command.argv = MpirunArguments(options, incarnation);
    command.environment = {{"OMPI_ALLOW_RUN_AS_ROOT", "1"}, {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"}};
    // Other hosts have no such folder. (orte_local_tmpdir_base would say just that, but ranks then refuse to start.)
    if (!options.hosts.empty()) command.environment.emplace_back("TMPDIR", incarnation.directory);
  }
  // A rank that waits must not spin: on a shared machine that makes every other rank ten times slower.
  command.environment.emplace_back("OMP_WAIT_POLICY", "passive");
  command.environment.emplace_back("OMP_NUM_THREADS", absl::StrCat(options.threads));

  command.argv.insert(command.argv.end(), {options.program,
                                           "--coordinator",
                                           options.coordinator,
                                           "--name",
                                           options.name,
                                           "--model",
                                           options.model,
                                           "--model-name",
                                           options.model_name,
                                           "--dtype",
                                           options.dtype,
                                           "--device",
                                           options.device,
                                           "--threads",
                                           absl::StrCat(options.threads),
                                           "--restarts",
                                           absl::StrCat(incarnation.restarts),
                                           "--launcher-pid",
                                           kOwnPid,
                                           "--life-file",
                                           incarnation.life_file});
  if (options.host_replicas > 1) {
    command.argv.insert(command.argv.end(), {"--host-replica", absl::StrCat(options.host_replica), "--host-replicas",
                                             absl::StrCat(options.host_replicas)});
  }
  if (options.drain_timeout.has_value()) {
    // The worker knows no "no limit"; a year will do.
    const int seconds = *options.drain_timeout > 0 ? *options.drain_timeout : 365 * 24 * 3600;
    command.argv.insert(command.argv.end(), {"--drain-timeout", absl::StrCat(seconds)});
  }
  const struct {
    const char* flag;
    const char* variable;
    const std::string& file;
  } files[] = {{"--tls-ca", "UNMASK_TLS_CA", options.tls.ca},
               {"--tls-cert", "UNMASK_TLS_CERT", options.tls.cert},
               {"--tls-key", "UNMASK_TLS_KEY", options.tls.key}};
  for (const auto& [flag, variable, file] : files) {
    if (!file.empty()) command.argv.insert(command.argv.end(), {flag, file});
    command.environment.emplace_back(variable, "");  // Of a parent it means the parent's certificate.
  }
  if (!options.log_format.empty()) command.argv.insert(command.argv.end(), {"--log-format", options.log_format});
  if (!options.state_file.empty()) command.argv.insert(command.argv.end(), {"--state-file", options.state_file});
  if (!options.kv_memory.empty()) command.argv.insert(command.argv.end(), {"--kv-memory", options.kv_memory});
  if (!options.weights_digest.empty())
    command.argv.insert(command.argv.end(), {"--weights-digest", options.weights_digest});
  return command;
}

absl::StatusOr<int> RanksOfOneHost(const std::string& hosts, int ranks) {
  if (hosts.empty()) return ranks;
  int most = 0;
  int64_t slots = 0;
  for (const absl::string_view host : absl::StrSplit(hosts, ',')) {
    const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(host, absl::MaxSplits(':', 1));
    int count = 1;
    const bool counted = parts.second.empty() ? !absl::StrContains(host, ':') : absl::SimpleAtoi(parts.second, &count);
    if (parts.first.empty() || !counted || count < 1 || count > 4096) {
      return absl::InvalidArgumentError(absl::StrCat("hosts: '", host, "' is not HOST or HOST:RANKS"));
    }
    most = std::max(most, count);
    slots += count;
  }
  if (slots < ranks) {
    return absl::InvalidArgumentError(
        absl::StrCat("hosts: room for ", slots, " ranks, but tensor_parallel is ", ranks));
  }
  return std::min(most, ranks);
}

}  // namespace unmask
