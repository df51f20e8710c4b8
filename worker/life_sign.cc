#include "worker/life_sign.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "absl/strings/str_format.h"
#include "base/log.h"

namespace unmask {
namespace {

constexpr std::chrono::seconds kInterval(1);

int OpenFile(const std::string& path) {
  if (path.empty()) return -1;
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) LogWarning("the supervisor will hear nothing: ", path, ": ", strerror(errno));
  return file;
}

}  // namespace

LifeSign::LifeSign(const std::string& path) : file_(OpenFile(path)) {
  if (file_ >= 0) thread_ = std::thread([this] { Beat(); });
}

LifeSign::~LifeSign() {
  if (file_ < 0) return;
  {
    MutexLock lock(&mutex_);
    ended_ = true;
  }
  wake_.SignalAll();
  thread_.join();
  close(file_);
}

void LifeSign::StepAnswered() {
  MutexLock lock(&mutex_);
  if (++steps_ == 1) wake_.SignalAll();
}

void LifeSign::Say(const char* stage) {
  MutexLock lock(&mutex_);
  stage_ = stage;
  wake_.SignalAll();
}

void LifeSign::Beat() {
  MutexLock lock(&mutex_);
  for (uint64_t beats = 1;; ++beats) {
    // Of one length, so that each write covers the one before.
    const std::string line = absl::StrFormat("%020d %020d %-8s\n", beats, steps_, stage_);
    [[maybe_unused]] const ssize_t written = pwrite(file_, line.data(), line.size(), 0);
    if (ended_) return;  // Those were its last words.
    const uint64_t told = steps_;
    const char* const said = stage_;
    const auto next = std::chrono::steady_clock::now() + kInterval;
    while (!ended_ && stage_ == said && (steps_ == 0 || told > 0) && std::chrono::steady_clock::now() < next) {
      wake_.WaitUntil(&mutex_, next);
    }
  }
}

}  // namespace unmask
