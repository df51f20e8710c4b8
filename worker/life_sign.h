// Rank 0's sign to its supervisor that it lives: a file that it writes anew each second, "BEATS STEPS STAGE". A process
// that is stopped, or whose machine has forgotten it, writes nothing; see cluster/supervisor.h.
#ifndef UNMASK_WORKER_LIFE_SIGN_H_
#define UNMASK_WORKER_LIFE_SIGN_H_

#include <cstdint>
#include <string>
#include <thread>

#include "base/mutex.h"

namespace unmask {

// Thread-safe. A thread of its own writes, so that no long step or slow network looks like death.
class LifeSign {
 public:
  // Path "": nobody watches.
  explicit LifeSign(const std::string& path);
  ~LifeSign();
  LifeSign(const LifeSign&) = delete;
  LifeSign& operator=(const LifeSign&) = delete;

  // A step was answered. The first is told at once: by it a supervisor knows that this start was worth its while.
  void StepAnswered();

  // What a supervisor that has asked for an end wants to know at once: it was heard; nothing is left to do.
  void Draining() { Say("draining"); }
  void Over() { Say("over"); }

 private:
  void Say(const char* stage);
  void Beat();

  const int file_;  // -1: none.
  Mutex mutex_;
  CondVar wake_;
  uint64_t steps_ ABSL_GUARDED_BY(mutex_) = 0;
  const char* stage_ ABSL_GUARDED_BY(mutex_) = "serving";
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace unmask

#endif  // UNMASK_WORKER_LIFE_SIGN_H_
