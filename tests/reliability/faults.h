// Faults in the processes behind a service, and what they must leave: nothing.
#ifndef UNMASK_TESTS_RELIABILITY_FAULTS_H_
#define UNMASK_TESTS_RELIABILITY_FAULTS_H_

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/support/service.h"

namespace unmask::testing {

struct Victim {
  std::string replica;
  std::string role;  // "rank 0", "rank 1", "launcher".
  pid_t pid = 0;
  uint64_t epoch = 0;  // Of the life that ends.
};

// A random process of a READY replica, of a busy one (it computes a request) where `busy`; none if there is none now.
std::optional<Victim> ChooseVictim(Service& service, bool busy, std::minstd_rand* random);

// Waits until `replica` is READY in a life after `epoch`.
bool WaitForNextLife(Service& service, const std::string& replica, uint64_t epoch, std::chrono::milliseconds limit);

// The coordinator's own process; 0 if it has none now.
pid_t CoordinatorOf(const Service& service);

// `unmask replica` for the service's tiny-tp, to be run as it is or on another host. Further flags go to its end.
std::vector<std::string> ReplicaCommand(const Service& service, const std::string& name, int ranks,
                                        const std::vector<std::string>& flags = {});

// How the fleet shows a replica; with state UNSPECIFIED where it does not.
v1::ReplicaStatus StatusOf(Service& service, const std::string& replica);

// Gives the services that this test starts a $TMPDIR of their own, so that it is known what they leave behind. Make it
// first.
class Sandbox {
 public:
  Sandbox();
  ~Sandbox();
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;

  // Remembers where the supervisors that run now keep their shared memory.
  void Note();
  // Processes that supervisors of this test have started, and their children, however re-parented.
  std::vector<pid_t> Processes() const;
  // What lies in the $TMPDIR and, of the supervisors noted, in /dev/shm.
  std::vector<std::string> Files() const;

 private:
  std::string directory_;
  std::string before_;
  std::set<std::string> shared_memory_;
};

// A process of ours that runs beside the service: `unmask replica` ...
class Process {
 public:
  explicit Process(const std::vector<std::string>& command);
  ~Process();  // SIGKILL, if it still runs.
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  void Kill(int signal);
  // Its exit code; -1 if a signal ended it, or it still runs after `limit`.
  int Wait(std::chrono::milliseconds limit);

 private:
  pid_t pid_ = -1;
};

}  // namespace unmask::testing

#endif  // UNMASK_TESTS_RELIABILITY_FAULTS_H_
