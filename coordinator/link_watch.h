// Calls every open link now and then, from one thread, so that time can end what its peer does not.
#ifndef UNMASK_COORDINATOR_LINK_WATCH_H_
#define UNMASK_COORDINATOR_LINK_WATCH_H_

#include <chrono>
#include <set>
#include <thread>

#include "base/mutex.h"

namespace unmask {

class WatchedLink {
 public:
  virtual ~WatchedLink() = default;
  // Must neither block nor call the watch.
  virtual void OnTick(std::chrono::steady_clock::time_point now) = 0;
};

// Thread-safe.
class LinkWatch {
 public:
  explicit LinkWatch(std::chrono::milliseconds interval);
  ~LinkWatch();

  void Add(WatchedLink* link);
  // No tick of it runs when this returns, and none comes.
  void Remove(WatchedLink* link);

 private:
  void Run();

  const std::chrono::milliseconds interval_;
  Mutex mutex_;
  CondVar stopped_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::set<WatchedLink*> links_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;  // Last: it reads the others.
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_LINK_WATCH_H_
