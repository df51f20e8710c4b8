// Starting a child process so that it cannot be left behind.
#ifndef UNMASK_CLUSTER_PROCESS_H_
#define UNMASK_CLUSTER_PROCESS_H_

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace unmask {

// An argument that stands for the child's own process id, which nobody knows before the child exists.
inline constexpr char kOwnPid[] = "{pid}";

struct Command {
  std::vector<std::string> argv;                                 // argv[0] without a slash is looked up in PATH.
  std::vector<std::pair<std::string, std::string>> environment;  // On top of ours.
};

// The absolute path of `program`, looked up in PATH unless it has a slash. NOT_FOUND if nothing executable is there.
absl::StatusOr<std::string> FindProgram(const std::string& program);

// Starts `command` in a process group of its own, with an empty standard input and `output` as standard output and
// error. The kernel kills the child (SIGKILL) when the calling *thread* ends: call this from a thread that lives as
// long as the process. The caller reaps the child. NOT_FOUND or another error if the program cannot be executed.
absl::StatusOr<pid_t> StartProcess(const Command& command, int output);

// A wait status as a shell reports it: the exit code, or 128 + the signal that ended the process.
int ExitCodeFromWait(int wait_status);

// How a process ended, for people: "exit code 3", "signal 9 (Killed)".
std::string DescribeWait(int wait_status);

}  // namespace unmask

#endif  // UNMASK_CLUSTER_PROCESS_H_
