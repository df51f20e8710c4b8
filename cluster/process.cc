#include "cluster/process.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status.h"

namespace unmask {
namespace {

// Decimal digits of `pid`, at least 16 bytes of room. No allocation: runs between fork and exec.
void WritePid(pid_t pid, char* out) {
  char reversed[16];
  int digits = 0;
  do {
    reversed[digits++] = static_cast<char>('0' + pid % 10);
    pid /= 10;
  } while (pid > 0);
  for (int i = 0; i < digits; ++i) out[i] = reversed[digits - 1 - i];
  out[digits] = '\0';
}

std::vector<std::string> MergedEnvironment(const std::vector<std::pair<std::string, std::string>>& added) {
  std::vector<std::string> merged;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const std::string name = text.substr(0, text.find('='));
    if (std::any_of(added.begin(), added.end(), [&](const auto& pair) { return pair.first == name; })) continue;
    merged.push_back(text);
  }
  for (const auto& [name, value] : added) merged.push_back(absl::StrCat(name, "=", value));
  return merged;
}

std::vector<char*> Pointers(std::vector<std::string>* strings) {
  std::vector<char*> pointers;
  for (std::string& text : *strings) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

struct Image {  // All that the child needs, made before the fork.
  const char* program;
  char* const* argv;
  char* const* environment;
  std::vector<char*> own_pid;  // Where its pid goes.
  pid_t parent;
  int output;
  int report;  // Takes errno if the program cannot be executed.
};

// The child, from fork to exec: async-signal-safe calls only.
[[noreturn]] void Become(const Image& image) {
  setpgid(0, 0);
  // If the parent died before this took hold there is nobody to serve.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != image.parent) _exit(127);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  const int empty = open("/dev/null", O_RDONLY);
  if (empty >= 0) dup2(empty, STDIN_FILENO);
  dup2(image.output, STDOUT_FILENO);
  dup2(image.output, STDERR_FILENO);
  // Whatever a library forgot to mark; fails harmlessly before Linux 5.11.
  close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
  for (char* place : image.own_pid) WritePid(getpid(), place);
  execve(image.program, image.argv, image.environment);
  const int error = errno;
  [[maybe_unused]] const ssize_t written = write(image.report, &error, sizeof(error));
  _exit(127);
}

}  // namespace

absl::StatusOr<std::string> FindProgram(const std::string& program) {
  if (program.find('/') != std::string::npos) {
    if (access(program.c_str(), X_OK) == 0) return program;
    return absl::NotFoundError(absl::StrCat(program, ": ", strerror(errno)));
  }
  const char* path = getenv("PATH");
  for (const auto folder : absl::StrSplit(path == nullptr ? "/usr/bin:/bin" : path, ':', absl::SkipEmpty())) {
    std::string candidate = absl::StrCat(folder, "/", program);
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return absl::NotFoundError(absl::StrCat(program, ": not found in PATH"));
}

absl::StatusOr<pid_t> StartProcess(const Command& command, int output) {
  if (command.argv.empty()) return absl::InvalidArgumentError("a command without a program");
  UNMASK_ASSIGN_OR_RETURN(const std::string program, FindProgram(command.argv[0]));

  std::vector<std::string> arguments = command.argv;
  std::vector<std::string> environment = MergedEnvironment(command.environment);
  Image image;
  for (std::string& argument : arguments) {
    if (argument != kOwnPid) continue;
    argument.resize(16, '\0');
    image.own_pid.push_back(argument.data());
  }
  const std::vector<char*> argv = Pointers(&arguments);
  const std::vector<char*> envp = Pointers(&environment);
  int report[2];
  if (pipe2(report, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "pipe");
  image.program = program.c_str();
  image.argv = argv.data();
  image.environment = envp.data();
  image.parent = getpid();
  image.output = output;
  image.report = report[1];

  const pid_t pid = fork();
  if (pid == 0) Become(image);
  const int fork_error = errno;
  close(report[1]);
  if (pid < 0) {
    close(report[0]);
    return absl::ErrnoToStatus(fork_error, "fork");
  }
  setpgid(pid, pid);  // Here too: nobody may signal the group before it exists.
  int exec_error = 0;
  ssize_t got;
  do {
    got = read(report[0], &exec_error, sizeof(exec_error));
  } while (got < 0 && errno == EINTR);
  close(report[0]);
  if (got == sizeof(exec_error)) {
    waitpid(pid, nullptr, 0);
    return absl::ErrnoToStatus(exec_error, program);
  }
  return pid;
}

int ExitCodeFromWait(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

std::string DescribeWait(int wait_status) {
  if (!WIFSIGNALED(wait_status)) return absl::StrCat("exit code ", WEXITSTATUS(wait_status));
  return absl::StrCat("signal ", WTERMSIG(wait_status), " (", strsignal(WTERMSIG(wait_status)), ")");
}

}  // namespace unmask
