// How the ranks of one replica are started.
#ifndef UNMASK_CLUSTER_WORKER_COMMAND_H_
#define UNMASK_CLUSTER_WORKER_COMMAND_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "base/credential_files.h"
#include "cluster/process.h"
#include "cluster/supervisor.h"

namespace unmask {

struct WorkerOptions {
  std::string program;      // Path of unmask-worker, the same on every host.
  std::string coordinator;  // host:port of its fleet port.
  std::string name;         // Of the replica; stable over restarts.
  std::string model;        // Checkpoint folder, the same on every host.
  std::string model_name;
  std::string dtype = "auto";
  std::string device = "cpu";
  std::string state_file;      // Rank 0 says there how the replica is (worker/state_file.h); empty: nowhere.
  std::string kv_memory;       // Empty: the worker decides.
  std::string weights_digest;  // Others are refused; empty: none are.
  TlsFiles tls;                // To the fleet port; without a CA: plaintext. Rank 0 reads them.
  std::string hosts;           // "a:4,b:4", as mpirun --host takes it; empty: all ranks here.
  std::string launch_agent;    // With hosts: starts a command on one, as `AGENT HOST COMMAND...`; empty: ssh.
  std::string network;         // With hosts: over which the ranks talk, "10.1.0.0/16" or "eth1"; empty: all they share.
  std::string log_format;      // Empty: the worker decides.
  int tensor_parallel = 1;     // Ranks.
  int threads = 1;             // Of each rank.
  int host_replica = 0;        // Which of the replicas that share this host it is,
  int host_replicas = 1;       // of so many.
  // Seconds that its sequences have after SIGTERM, 0: no limit; unset: the worker decides.
  std::optional<int> drain_timeout;
};

// mpirun and the worker, or the worker alone where one rank here is all.
Command WorkerCommand(const WorkerOptions& options, const Incarnation& incarnation);

// The most ranks that `hosts` puts on one host; INVALID_ARGUMENT if it is malformed or has fewer slots than `ranks`.
absl::StatusOr<int> RanksOfOneHost(const std::string& hosts, int ranks);

}  // namespace unmask

#endif  // UNMASK_CLUSTER_WORKER_COMMAND_H_
