// One line for whoever watches a replica from outside, an orchestrator's probe say: how it is, in a file that is
// written anew whenever that changes and each second. It begins with "ready" while the replica is loaded and the
// coordinator knows it; a file that grows old is of a replica that hangs or is gone.
#ifndef UNMASK_WORKER_STATE_FILE_H_
#define UNMASK_WORKER_STATE_FILE_H_

#include <chrono>
#include <string>

namespace unmask {

class StateFile {
 public:
  // Path "": nobody watches.
  explicit StateFile(std::string path) : path_(std::move(path)) {}
  ~StateFile();  // Takes it away.
  StateFile(const StateFile&) = delete;
  StateFile& operator=(const StateFile&) = delete;

  bool watched() const { return !path_.empty(); }
  // Readers see all of a line or the one before.
  void Say(const std::string& state);

 private:
  const std::string path_;
  std::string said_;
  std::chrono::steady_clock::time_point said_at_;
  bool failed_ = false;
};

}  // namespace unmask

#endif  // UNMASK_WORKER_STATE_FILE_H_
