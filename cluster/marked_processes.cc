#include "cluster/marked_processes.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"

namespace unmask {
namespace {

// The whole of a file under /proc; empty if it cannot be read (another user's, or a zombie's).
std::string ReadProc(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return "";
  std::string content;
  char buffer[16384];
  ssize_t got;
  while ((got = read(fd, buffer, sizeof(buffer))) > 0) content.append(buffer, static_cast<size_t>(got));
  close(fd);
  return content;
}

bool Matches(absl::string_view value, absl::string_view mark) {
  return absl::ConsumePrefix(&value, mark) && (value.empty() || value[0] == '/');
}

struct Marked {
  pid_t pid;
  bool rank_zero;
};

std::vector<Marked> Scan(absl::string_view mark) {
  std::vector<Marked> found;
  const std::unique_ptr<DIR, int (*)(DIR*)> proc(opendir("/proc"), closedir);
  if (proc == nullptr) return found;
  const std::string prefix = absl::StrCat(kMarkVariable, "=");
  while (const dirent* entry = readdir(proc.get())) {
    pid_t pid;
    if (!absl::SimpleAtoi(entry->d_name, &pid) || pid == getpid()) continue;
    const std::string folder = absl::StrCat("/proc/", pid);
    struct stat info;
    if (stat(folder.c_str(), &info) != 0 || info.st_uid != geteuid()) continue;
    const std::string environment = ReadProc(folder + "/environ");
    bool marked = false;
    bool rank_zero = false;
    for (absl::string_view variable : absl::StrSplit(environment, '\0')) {
      if (variable == "OMPI_COMM_WORLD_RANK=0") rank_zero = true;
      if (absl::ConsumePrefix(&variable, prefix)) marked = Matches(variable, mark);
    }
    if (marked) found.push_back({pid, rank_zero});
  }
  return found;
}

}  // namespace

std::vector<pid_t> FindMarked(absl::string_view mark) {
  std::vector<pid_t> pids;
  for (const Marked& process : Scan(mark)) pids.push_back(process.pid);
  return pids;
}

pid_t FindRankZero(absl::string_view mark) {
  for (const Marked& process : Scan(mark)) {
    if (process.rank_zero) return process.pid;
  }
  return 0;
}

bool KillMarked(absl::string_view mark, absl::Duration limit) {
  const auto deadline = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(limit);
  while (true) {
    // Again and again: one that we saw may have forked before it died.
    const std::vector<pid_t> pids = FindMarked(mark);
    if (pids.empty()) return true;
    for (const pid_t pid : pids) kill(pid, SIGKILL);
    if (std::chrono::steady_clock::now() > deadline) return false;
    absl::SleepFor(absl::Milliseconds(5));
  }
}

}  // namespace unmask
