// One thread that waits for everything at once: file descriptors, timers, signals and the ends of child processes.
// All of it is called from the thread that runs Run(), except Post().
#ifndef UNMASK_CLUSTER_EVENT_LOOP_H_
#define UNMASK_CLUSTER_EVENT_LOOP_H_

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/mutex.h"

namespace unmask {

class EventLoop {
 public:
  using Callback = std::function<void()>;
  using Timer = std::pair<std::chrono::steady_clock::time_point, uint64_t>;

  // Blocks SIGCHLD in the calling thread and makes orphans of our children our own (so that no zombie stays, even where
  // nobody else reaps them); ignores SIGPIPE. Create it before any other thread starts.
  static absl::StatusOr<std::unique_ptr<EventLoop>> Create();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Calls back whenever `fd` can be read or its other end was closed.
  void WatchFd(int fd, Callback callback);
  void UnwatchFd(int fd);

  // Calls back instead of what the signal would do. A signal that was ignored stays ignored.
  void OnSignal(int signal, Callback callback);

  // Calls back once, with the wait status, when the child ends; it is reaped then.
  void OnExit(pid_t pid, std::function<void(int wait_status)> callback);

  Timer After(absl::Duration delay, Callback callback);
  void Cancel(const Timer& timer);  // Harmless if it already fired.

  // Calls back in the loop's thread. From any thread.
  void Post(Callback callback);

  // Until Quit() is called, from a callback or before.
  void Run();
  void Quit() { quit_ = true; }

 private:
  EventLoop() = default;
  void ReadSignals();
  void ReapChildren();
  void RunPosted();
  void RunTimers();
  int PollTimeout() const;

  int signal_fd_ = -1;
  int post_fd_ = -1;
  bool quit_ = false;
  uint64_t next_timer_ = 1;
  std::map<int, Callback> fds_;
  std::map<int, Callback> signals_;
  std::map<pid_t, std::function<void(int)>> children_;
  std::map<Timer, Callback> timers_;

  Mutex mutex_;
  std::vector<Callback> posted_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace unmask

#endif  // UNMASK_CLUSTER_EVENT_LOOP_H_
