#include "cluster/event_loop.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace unmask {

absl::StatusOr<std::unique_ptr<EventLoop>> EventLoop::Create() {
  std::unique_ptr<EventLoop> loop(new EventLoop);
  sigset_t none;
  sigemptyset(&none);
  loop->signal_fd_ = signalfd(-1, &none, SFD_CLOEXEC | SFD_NONBLOCK);
  loop->post_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (loop->signal_fd_ < 0 || loop->post_fd_ < 0) return absl::ErrnoToStatus(errno, "signalfd or eventfd");
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  signal(SIGPIPE, SIG_IGN);  // A reader who left must not end what we supervise.
  EventLoop* raw = loop.get();
  loop->WatchFd(loop->signal_fd_, [raw] { raw->ReadSignals(); });
  loop->WatchFd(loop->post_fd_, [raw] { raw->RunPosted(); });
  loop->OnSignal(SIGCHLD, [raw] { raw->ReapChildren(); });
  return loop;
}

EventLoop::~EventLoop() {
  if (signal_fd_ >= 0) close(signal_fd_);
  if (post_fd_ >= 0) close(post_fd_);
}

void EventLoop::WatchFd(int fd, Callback callback) { fds_[fd] = std::move(callback); }

void EventLoop::UnwatchFd(int fd) { fds_.erase(fd); }

void EventLoop::OnSignal(int signal, Callback callback) {
  signals_[signal] = std::move(callback);
  sigset_t handled;
  sigemptyset(&handled);
  for (const auto& [number, unused] : signals_) sigaddset(&handled, number);
  sigprocmask(SIG_BLOCK, &handled, nullptr);
  signalfd(signal_fd_, &handled, 0);
}

void EventLoop::OnExit(pid_t pid, std::function<void(int)> callback) { children_[pid] = std::move(callback); }

EventLoop::Timer EventLoop::After(absl::Duration delay, Callback callback) {
  const Timer timer{std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(delay), next_timer_++};
  timers_[timer] = std::move(callback);
  return timer;
}

void EventLoop::Cancel(const Timer& timer) { timers_.erase(timer); }

void EventLoop::Post(Callback callback) {
  {
    MutexLock lock(&mutex_);
    posted_.push_back(std::move(callback));
  }
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(post_fd_, &one, sizeof(one));
}

void EventLoop::RunPosted() {
  uint64_t count;
  [[maybe_unused]] const ssize_t got = read(post_fd_, &count, sizeof(count));
  std::vector<Callback> posted;
  {
    MutexLock lock(&mutex_);
    posted.swap(posted_);
  }
  for (const Callback& callback : posted) callback();
}

void EventLoop::ReadSignals() {
  signalfd_siginfo info;
  while (read(signal_fd_, &info, sizeof(info)) == sizeof(info)) {
    const auto handler = signals_.find(static_cast<int>(info.ssi_signo));
    if (handler != signals_.end()) handler->second();
  }
}

void EventLoop::ReapChildren() {
  // One SIGCHLD may stand for many. Children that nobody asked about are orphans we inherited.
  int wait_status;
  pid_t pid;
  while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0) {
    const auto node = children_.extract(pid);
    if (!node.empty()) node.mapped()(wait_status);
  }
}

void EventLoop::RunTimers() {
  while (!quit_ && !timers_.empty() && timers_.begin()->first.first <= std::chrono::steady_clock::now()) {
    timers_.extract(timers_.begin()).mapped()();
  }
}

int EventLoop::PollTimeout() const {
  if (timers_.empty()) return -1;
  const auto left = timers_.begin()->first.first - std::chrono::steady_clock::now();
  const auto millis = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  return static_cast<int>(std::clamp<int64_t>(millis, 0, 3600 * 1000));
}

void EventLoop::Run() {
  std::vector<pollfd> polled;
  while (!quit_) {
    polled.clear();
    for (const auto& [fd, unused] : fds_) polled.push_back({fd, POLLIN, 0});
    if (poll(polled.data(), polled.size(), PollTimeout()) < 0 && errno != EINTR) return;
    for (const pollfd& ready : polled) {
      if (quit_) return;
      if (ready.revents == 0) continue;
      // Looked up again and copied: a callback may unwatch any descriptor, its own too.
      const auto watched = fds_.find(ready.fd);
      if (watched == fds_.end()) continue;
      const Callback callback = watched->second;
      callback();
    }
    RunTimers();
  }
}

}  // namespace unmask
