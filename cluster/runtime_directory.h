// Where the processes of one supervisor leave their files, and the promise that neither files nor processes survive it.
//
//   $TMPDIR/unmask-<uid>/XXXXXX/     session directories of mpirun, address files; also the mark of all its processes
//   /dev/shm/unmask-<uid>-XXXXXX/    shared memory of the ranks
//
// A janitor process waits for our end, however it comes, then kills what carries the mark and removes both directories.
// Where the janitor was killed too (a whole container at once), the next Create() of the same user does its work: each
// directory is held by a file lock, which the kernel drops with its owners.
#ifndef UNMASK_CLUSTER_RUNTIME_DIRECTORY_H_
#define UNMASK_CLUSTER_RUNTIME_DIRECTORY_H_

#include <sys/types.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace unmask {

class RuntimeDirectory {
 public:
  // Clears up after dead predecessors, makes the directories, starts the janitor. Call before any thread starts.
  static absl::StatusOr<std::unique_ptr<RuntimeDirectory>> Create();

  // Kills every process under the mark, removes the directories, ends the janitor.
  ~RuntimeDirectory();
  RuntimeDirectory(const RuntimeDirectory&) = delete;
  RuntimeDirectory& operator=(const RuntimeDirectory&) = delete;

  const std::string& path() const { return path_; }
  const std::string& shared_memory() const { return shared_memory_; }

 private:
  RuntimeDirectory() = default;
  absl::Status StartJanitor();

  std::string path_;
  std::string shared_memory_;
  int lock_ = -1;
  int janitor_pipe_ = -1;  // Its end is our end.
  pid_t janitor_ = 0;
};

}  // namespace unmask

#endif  // UNMASK_CLUSTER_RUNTIME_DIRECTORY_H_
