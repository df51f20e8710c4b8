// Ctrl-C while a command runs: the first one ends it in good order, a second one at once.
#ifndef UNMASK_CLI_INTERRUPT_H_
#define UNMASK_CLI_INTERRUPT_H_

#include <signal.h>

#include <functional>
#include <thread>

namespace unmask {

// While it lives, SIGINT, SIGTERM and SIGHUP call `on_signal` on a thread of its own (any function may be called
// there). The second signal restores the terminal and ends the process. One at a time in a process.
class Interrupt {
 public:
  explicit Interrupt(std::function<void()> on_signal);
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  bool fired() const;
  // As the shell counts: 128 + the signal's number; 130 for Ctrl-C.
  int exit_code() const;
  // Forgets what has come so far (a chat goes on after a cancelled answer).
  void Reset();

 private:
  void Watch();

  static constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};
  const std::function<void()> on_signal_;
  struct sigaction previous_[3];
  std::thread watcher_;
};

}  // namespace unmask

#endif  // UNMASK_CLI_INTERRUPT_H_
