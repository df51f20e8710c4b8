#include "cli/interrupt.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <utility>

#include "cli/screen.h"

namespace unmask {
namespace {

// All that a signal handler may touch.
std::atomic<int> signal_number{0};
int wake_pipe[2] = {-1, -1};
static_assert(std::atomic<int>::is_always_lock_free);

void OnSignal(int number) {
  const int saved = errno;
  if (signal_number.exchange(number) != 0) {
    RestoreTerminalNow();
    _exit(128 + number);
  }
  const char byte = 's';
  [[maybe_unused]] const ssize_t written = write(wake_pipe[1], &byte, 1);
  errno = saved;
}

}  // namespace

Interrupt::Interrupt(std::function<void()> on_signal) : on_signal_(std::move(on_signal)) {
  signal_number = 0;
  if (pipe2(wake_pipe, O_CLOEXEC) != 0) wake_pipe[0] = wake_pipe[1] = -1;
  watcher_ = std::thread([this] { Watch(); });
  struct sigaction action = {};
  action.sa_handler = OnSignal;  // No SA_RESTART: a read of the keyboard returns.
  sigemptyset(&action.sa_mask);
  for (int i = 0; i < 3; ++i) sigaction(kSignals[i], &action, &previous_[i]);
}

Interrupt::~Interrupt() {
  for (int i = 0; i < 3; ++i) sigaction(kSignals[i], &previous_[i], nullptr);
  close(wake_pipe[1]);
  watcher_.join();
  close(wake_pipe[0]);
}

void Interrupt::Watch() {
  char byte;
  while (true) {
    const ssize_t got = read(wake_pipe[0], &byte, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return;  // Closed by the destructor.
    on_signal_();
  }
}

bool Interrupt::fired() const { return signal_number != 0; }
int Interrupt::exit_code() const { return 128 + signal_number; }
void Interrupt::Reset() { signal_number = 0; }

}  // namespace unmask
