// Keeps one program running until told otherwise: starts it, passes its output on line by line, sweeps away what it
// leaves (processes and files), and starts it again with back-off. A program that ends with 64 (usage), 65 (bad data)
// or 78 (configuration) would end so again: that ends the supervision. The program may be mpirun with its ranks; a
// replica dies as one.
//
// Lives in its EventLoop's thread.
#ifndef UNMASK_CLUSTER_SUPERVISOR_H_
#define UNMASK_CLUSTER_SUPERVISOR_H_

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <optional>
#include <random>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cluster/backoff.h"
#include "cluster/event_loop.h"
#include "cluster/process.h"
#include "cluster/runtime_directory.h"

namespace unmask {

// One life of the program: its directories exist while it runs and go with it.
struct Incarnation {
  int restarts = 0;  // How many came before.
  std::string directory;
  std::string shared_memory;
  std::string life_file;  // Where the program shows that it lives, if that is watched.
};

struct Ending {
  int exit_code = 0;     // As a shell reports it.
  std::string message;   // The last error that the program printed, else how it ended.
  bool unasked = false;  // It ended by itself, and another start would be no better.
};

// How a program that hangs is told from one that works: it changes the life file each second, "BEATS STEPS STAGE".
//   STEPS > 0: this life has done what it is for, and however it ends, the next one begins as if it were the second.
//   STAGE, once it was asked to end: "draining", it has heard so; "over", nothing is left to do: whatever becomes of
//   its processes now, it has ended well.
struct LifeSigns {
  absl::Duration first = absl::Minutes(2);     // The first one may take: processes on other hosts have to be started.
  absl::Duration silence = absl::Seconds(10);  // Then. A life that is silent for longer is killed.
  absl::Duration leaving = absl::Seconds(5);   // From "over" to its end; then it is killed too.
};

struct SupervisorOptions {
  std::string name;  // "replica-0": for logs, and a folder name.
  std::function<absl::StatusOr<Command>(const Incarnation&)> command;
  std::function<void(absl::string_view line)> on_line;  // Standard output and error of the program and its children.
  std::function<void(const Ending&)> on_ended;  // Once, when supervision is over. May not destroy the Supervisor.
  BackoffOptions backoff;
  std::optional<LifeSigns> life_signs;  // None: it shows nothing, and only its end is noticed.
};

class Supervisor {
 public:
  // `loop` and `runtime` outlive it.
  Supervisor(EventLoop* loop, const RuntimeDirectory* runtime, SupervisorOptions options);
  ~Supervisor();  // Kills what still runs.
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  void Start();

  // SIGTERM, to rank 0 where the program is mpirun (which would kill its ranks), again each second until its life file
  // says that it was heard; and SIGKILL for all of them after `grace`. May be called again with a shorter grace.
  // on_ended follows, from within where nothing runs.
  void Stop(absl::Duration grace);

  // Kills this life and lets the next begin: for a program that lives but does not answer.
  void Restart(absl::string_view reason);

  bool ended() const { return state_ == State::kEnded; }
  absl::string_view name() const { return options_.name; }
  // Of the current life: how long it has run; zero while nothing runs.
  absl::Duration age() const;

 private:
  enum class State { kIdle, kRunning, kWaiting, kEnded };
  void Launch();
  void CannotLaunch(const absl::Status& why);
  // healthy_for: how long the program was well, which shortens the wait.
  void LaunchLater(const std::string& why, absl::Duration healthy_for);
  bool ReadOutput();
  void CloseOutput();
  void TakeLine(absl::string_view line);
  void Exited(int wait_status);
  void Sweep();
  void SendSigterm();
  void End(int exit_code, const std::string& message);
  bool ReadLifeSign();
  bool over() const { return life_stage_ == "over"; }
  void CheckLife();

  EventLoop* const loop_;
  const RuntimeDirectory* const runtime_;
  const SupervisorOptions options_;
  Backoff backoff_;
  std::minstd_rand random_;

  State state_ = State::kIdle;
  bool stopping_ = false;
  bool fruitful_ = false;
  Incarnation incarnation_;
  pid_t pid_ = 0;
  int output_ = -1;
  std::chrono::steady_clock::time_point started_;
  std::string partial_line_;
  std::string last_line_;
  std::string last_error_;
  std::optional<EventLoop::Timer> timer_;  // Of the next start, or of the end of grace.
  std::optional<EventLoop::Timer> life_timer_;
  std::string life_sign_;  // The last one read; empty: none yet.
  std::string life_stage_;
  int silent_checks_ = 0;  // Since it changed.
};

}  // namespace unmask

#endif  // UNMASK_CLUSTER_SUPERVISOR_H_
