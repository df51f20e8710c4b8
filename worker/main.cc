// unmask-worker: one rank of a replica. Started by mpirun, or alone as a replica of one rank.
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/exit_codes.h"
#include "base/log.h"
#include "base/status.h"
#include "base/version.h"
#include "cluster/communicator.h"
#include "worker/leader.h"
#include "worker/life_sign.h"
#include "worker/orders.h"
#include "worker/rank.h"

namespace unmask {
namespace {

struct Flags {
  RankOptions rank;
  LeaderOptions leader;
  std::string model_name;
  std::string name;
  std::string log_format = "text";
  std::string life_file;
  int restarts = 0;
  int launcher_pid = 0;
  int drain_seconds = 60;
};

void Declare(CLI::App& app, Flags* flags) {
  const auto add = [&app](const std::string& name, auto& target, const std::string& help) {
    std::string variable = "UNMASK_" + name;
    for (char& c : variable) c = c == '-' ? '_' : static_cast<char>(toupper(c));
    return app.add_option("--" + name, target, help)->envname(variable)->capture_default_str();
  };
  add("coordinator", flags->leader.coordinator, "fleet port of the coordinator, HOST:PORT")->required();
  add("tls-ca", flags->leader.tls.ca, "PEM certificates that the coordinator's must lead to; else plaintext");
  add("tls-cert", flags->leader.tls.cert, "PEM certificate to show, with its chain");
  add("tls-key", flags->leader.tls.key, "PEM private key of that certificate");
  add("model", flags->rank.model, "folder of a LLaDA checkpoint")->required();
  add("model-name", flags->model_name, "what requests call the model; the folder's name by default");
  add("dtype", flags->rank.dtype,
      "auto, fp32, bf16 or int8. auto: bf16 where the checkpoint is stored so and the processor computes it natively; "
      "int8: the layers' products, approximate");
  add("device", flags->rank.device, "cpu or cuda");
  add("threads", flags->rank.threads, "of each rank; 0: the cores allowed, divided by the ranks of this host")
      ->check(CLI::Range(0, 4096));
  add("name", flags->name, "of the replica, stable over restarts; host-pid by default");
  add("kv-memory", flags->rank.kv_memory, "bytes of keys and values on each rank, as 8GiB; 0: chosen from what is free")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/false));
  add("weights-digest", flags->rank.weights_digest,
      "weights that are others are refused: the digest in \"numerics\" after \"weights:\", of this many ranks");
  add("host-replica", flags->rank.host_replica, "which of the replicas of this host it is, from 0")
      ->check(CLI::Range(0, 4095))
      ->group("Set by supervisors");
  add("host-replicas", flags->rank.host_replicas, "how many replicas share this host's memory and devices")
      ->check(CLI::Range(1, 4096))
      ->group("Set by supervisors");
  add("max-rows", flags->rank.max_rows, "rows of one step; 0: two canvases of full length")
      ->check(CLI::NonNegativeNumber);
  add("drain-timeout", flags->drain_seconds, "seconds that running sequences have after SIGTERM")
      ->check(CLI::NonNegativeNumber);
  add("log-format", flags->log_format, "lines of text, or one JSON object a line")
      ->check(CLI::IsMember({"text", "json"}));
  add("life-file", flags->life_file, "rank 0 writes here each second that it lives")->group("Set by supervisors");
  add("state-file", flags->leader.state_file,
      "rank 0 says here how the replica is: \"ready\", or why not; anew each second");
  add("restarts", flags->restarts, "how often the supervisor has started this replica anew")
      ->group("Set by supervisors");
  add("launcher-pid", flags->launcher_pid, "process that started the ranks")->group("Set by supervisors");
  app.set_version_flag("--version", absl::StrCat("unmask-worker ", kCommit));
}

// The rank that talks to the coordinator; the files of its credentials need not be on other hosts.
bool IsLeader() {
  const char* rank = std::getenv("OMPI_COMM_WORLD_RANK");
  return rank == nullptr || std::string(rank) == "0";
}

bool UnderMpirun() { return std::getenv("OMPI_COMM_WORLD_SIZE") != nullptr; }

// A rank does not outlive what started it. The launcher may have gone before we asked to be told.
void DieWithLauncher() {
  const pid_t launcher = getppid();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != launcher) std::_Exit(kExitSoftware);
}

// Blocks the signals that ask for an end, in this thread and in all that it starts: one thread waits for them. The
// ranks that do not lead only wait for rank 0's word.
sigset_t HoldSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return signals;
}

// Calls `then` when the process is asked to end.
class EndSignal {
 public:
  EndSignal(const sigset_t& signals, std::function<void()> then)
      : thread_([this, signals, then = std::move(then)] {
          int signal = 0;
          sigwait(&signals, &signal);
          if (over_) return;
          LogInfo("asked to end: draining");
          then();
        }) {}
  ~EndSignal() {
    over_ = true;
    pthread_kill(thread_.native_handle(), SIGTERM);
    thread_.join();
  }

 private:
  std::atomic<bool> over_{false};
  std::thread thread_;
};

internal::v1::ReplicaDescription Describe(const Flags& flags, const Rank& rank) {
  internal::v1::ReplicaDescription description = rank.description();
  description.set_name(!flags.name.empty() ? flags.name : absl::StrCat(description.ranks(0).host(), "-", getpid()));
  description.set_model(flags.model_name);
  description.set_launcher_pid(flags.launcher_pid > 0 ? flags.launcher_pid : UnderMpirun() ? getppid() : getpid());
  description.set_restarts(flags.restarts);
  return description;
}

// Rank 0 connects before it loads, so that the coordinator can tell how far it is.
absl::Status Lead(const Flags& flags, const sigset_t& signals, LifeSign* life, Rank* rank, Communicator* ranks) {
  Leader leader(flags.leader, Describe(flags, *rank));
  const EndSignal end_signal(signals, [&leader, life] {
    life->Draining();
    leader.Drain();
  });
  UNMASK_RETURN_IF_ERROR(rank->Load([&leader](int64_t done, int64_t total) {
    leader.SetLoading(done, total);
    return leader.draining() ? absl::CancelledError("asked to end") : absl::OkStatus();
  }));
  leader.SetReady(rank->ready());
  LogInfo("ready: ", rank->ready().numerics(), ", K/V for ", rank->ready().kv_positions(), " positions");
  UNMASK_RETURN_IF_ERROR(LeadRanks([&leader] { return leader.Next(); },
                                   [&leader, life](const internal::v1::StepResult& result) {
                                     leader.Send(result);
                                     life->StepAnswered();
                                   },
                                   rank->engine(), ranks));
  life->Over();
  return leader.cut_off() ? absl::DeadlineExceededError("sequences were cut off") : absl::OkStatus();
}

absl::Status Serve(const Flags& flags, const sigset_t& signals, Communicator* ranks) {
  LifeSign life(ranks->rank() == 0 ? flags.life_file : "");
  UNMASK_ASSIGN_OR_RETURN(const auto rank, Rank::Open(flags.rank, ranks));
  if (ranks->rank() == 0) return Lead(flags, signals, &life, rank.get(), ranks);
  UNMASK_RETURN_IF_ERROR(rank->Load([](int64_t, int64_t) { return absl::OkStatus(); }));
  return FollowRankZero(rank->engine(), ranks);
}

// `first`: nothing of this supervisor's has run before. What finds no memory then has too little of it; later something
// else may have taken it for a while.
int ToExitCode(const absl::Status& status, bool first) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
    case absl::StatusCode::kCancelled:  // Asked to end while loading.
      return kExitOk;
    case absl::StatusCode::kDataLoss:
      return kExitData;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kPermissionDenied:
      return kExitConfig;
    case absl::StatusCode::kResourceExhausted:
      return first ? kExitConfig : kExitSoftware;
    default:
      return kExitSoftware;
  }
}

int Main(int argc, char** argv) {
  Flags flags;
  CLI::App app("One rank of an Unmask replica: computes denoising steps for a coordinator.", "unmask-worker");
  Declare(app, &flags);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (!IsLeader()) return error.get_exit_code() == 0 ? kExitOk : kExitUsage;
    return app.exit(error) == 0 ? kExitOk : kExitUsage;
  }
  flags.leader.drain_timeout = std::chrono::seconds(flags.drain_seconds);
  if (flags.model_name.empty()) {
    flags.model_name = std::filesystem::path(flags.rank.model).lexically_normal().filename().string();
    if (flags.model_name.empty()) {  // "models/tiny/"
      flags.model_name = std::filesystem::path(flags.rank.model).lexically_normal().parent_path().filename().string();
    }
  }
  if (const absl::Status files = CheckClientTls(flags.leader.tls, "tls", "tls-ca"); IsLeader() && !files.ok()) {
    std::cerr << "unmask-worker: " << files.message() << "\n";
    return kExitConfig;
  }
  if (UnderMpirun() || flags.launcher_pid > 0) DieWithLauncher();
  const sigset_t signals = HoldSignals();

  std::unique_ptr<Communicator> ranks = SoloCommunicator();
  if (UnderMpirun()) {
    auto communicator = MpiCommunicator(&argc, &argv);
    if (!communicator.ok()) {
      std::cerr << "unmask-worker: " << communicator.status().message() << "\n";
      return kExitConfig;
    }
    ranks = *std::move(communicator);
  }
  SetLogComponent(absl::StrCat("worker/", ranks->rank()));
  SetLogFormat(ParseLogFormat(flags.log_format));
  const absl::Status status = Serve(flags, signals, ranks.get());
  // The same on every rank: said once.
  const int exit_code = ToExitCode(status, /*first=*/flags.restarts == 0);
  if (exit_code != kExitOk && ranks->rank() == 0) {
    std::cerr << "unmask-worker: " << status.message() << std::endl;
  }
  return exit_code;
}

}  // namespace
}  // namespace unmask

int main(int argc, char** argv) { return unmask::Main(argc, argv); }
