#include "cluster/runtime_directory.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/status.h"
#include "cluster/marked_processes.h"

namespace unmask {
namespace {

constexpr absl::Duration kKillLimit = absl::Seconds(4);
constexpr char kSharedMemory[] = "/dev/shm";
// Sockets that Open MPI may make below it have room for 108 bytes.
constexpr size_t kLongestTemporary = 40;

void RemoveTree(const std::string& path) {
  std::error_code ignored;
  std::filesystem::remove_all(path, ignored);
}

std::string TemporaryFolder() {
  const char* chosen = getenv("TMPDIR");
  if (chosen == nullptr || chosen[0] != '/' || strlen(chosen) > kLongestTemporary) return "/tmp";
  return chosen;
}

// The shared-memory directory that belongs to `path` (".../unmask-0/AbCdEf").
std::string SharedMemoryOf(const std::string& path) {
  return absl::StrCat(kSharedMemory, "/unmask-", geteuid(), "-", std::filesystem::path(path).filename().string());
}

// The folder that holds the directories of this user: ours alone, or somebody could plant links in it.
absl::StatusOr<std::string> UserFolder() {
  const std::string folder = absl::StrCat(TemporaryFolder(), "/unmask-", geteuid());
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return absl::ErrnoToStatus(errno, folder);
  struct stat info;
  if (lstat(folder.c_str(), &info) != 0) return absl::ErrnoToStatus(errno, folder);
  if (!S_ISDIR(info.st_mode) || info.st_uid != geteuid() || (info.st_mode & 077) != 0) {
    return absl::PermissionDeniedError(absl::StrCat(folder, " is not a directory of this user alone (mode 0700)"));
  }
  return folder;
}

int OpenLock(const std::string& path) { return open((path + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600); }

void Clear(const std::string& path) {
  KillMarked(path, kKillLimit);
  RemoveTree(SharedMemoryOf(path));
  RemoveTree(path);
}

// Clears every directory whose owners are dead. The caller holds the lock of `folder`.
void ClearPredecessors(const std::string& folder) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    if (!entry.is_directory(ignored)) continue;
    const std::string path = entry.path().string();
    const int lock = OpenLock(path);
    if (lock < 0) continue;
    if (flock(lock, LOCK_EX | LOCK_NB) == 0) Clear(path);
    close(lock);
  }
}

// The janitor's life. `pipe` ends when its maker does.
[[noreturn]] void BeJanitor(const std::string& path, int pipe, int lock) {
  setsid();  // No signal to a terminal's or a group's processes reaches it.
  prctl(PR_SET_NAME, "unmask-janitor");
  for (const int signal_number : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE}) signal(signal_number, SIG_IGN);
  const int null = open("/dev/null", O_RDWR);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(null, fd);
  for (int fd = STDERR_FILENO + 1; fd < 1024; ++fd) {
    if (fd != pipe && fd != lock) close(fd);
  }
  [[maybe_unused]] const int changed = chdir("/");  // Keeps no file system busy.
  char byte;
  while (read(pipe, &byte, 1) < 0 && errno == EINTR) {
  }
  Clear(path);
  _exit(0);
}

}  // namespace

absl::StatusOr<std::unique_ptr<RuntimeDirectory>> RuntimeDirectory::Create() {
  UNMASK_ASSIGN_OR_RETURN(const std::string folder, UserFolder());
  std::unique_ptr<RuntimeDirectory> runtime(new RuntimeDirectory);
  // Nobody clears while somebody makes: a directory without its lock yet would look dead.
  const int folder_lock = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_lock < 0 || flock(folder_lock, LOCK_EX) != 0) return absl::ErrnoToStatus(errno, folder);
  ClearPredecessors(folder);
  std::string path = folder + "/XXXXXX";
  if (mkdtemp(path.data()) != nullptr) {
    runtime->path_ = path;
    runtime->lock_ = OpenLock(path);
  }
  const bool locked = runtime->lock_ >= 0 && flock(runtime->lock_, LOCK_EX | LOCK_NB) == 0;
  const int error = errno;
  close(folder_lock);
  if (!locked) return absl::ErrnoToStatus(error, path);

  runtime->shared_memory_ = SharedMemoryOf(path);
  if (mkdir(runtime->shared_memory_.c_str(), 0700) != 0) {
    if (errno == EEXIST) return absl::AlreadyExistsError(absl::StrCat(runtime->shared_memory_, " is somebody else's"));
    runtime->shared_memory_ = path;  // No /dev/shm to write to: files do, only slower.
  }
  UNMASK_RETURN_IF_ERROR(runtime->StartJanitor());
  return runtime;
}

absl::Status RuntimeDirectory::StartJanitor() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "pipe");
  janitor_ = fork();
  if (janitor_ == 0) BeJanitor(path_, ends[0], lock_);
  close(ends[0]);
  janitor_pipe_ = ends[1];
  if (janitor_ < 0) return absl::ErrnoToStatus(errno, "fork");
  return absl::OkStatus();
}

RuntimeDirectory::~RuntimeDirectory() {
  if (janitor_pipe_ >= 0) close(janitor_pipe_);
  if (janitor_ > 0) {
    while (waitpid(janitor_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  if (!path_.empty()) Clear(path_);  // Nothing is left to do, unless somebody killed the janitor.
  if (lock_ >= 0) close(lock_);
}

}  // namespace unmask
