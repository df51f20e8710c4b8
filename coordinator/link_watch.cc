#include "coordinator/link_watch.h"

namespace unmask {

LinkWatch::LinkWatch(std::chrono::milliseconds interval) : interval_(interval), thread_([this] { Run(); }) {}

LinkWatch::~LinkWatch() {
  {
    MutexLock lock(&mutex_);
    stop_ = true;
  }
  stopped_.SignalAll();
  thread_.join();
}

void LinkWatch::Add(WatchedLink* link) {
  MutexLock lock(&mutex_);
  links_.insert(link);
}

void LinkWatch::Remove(WatchedLink* link) {
  MutexLock lock(&mutex_);
  links_.erase(link);
}

void LinkWatch::Run() {
  MutexLock lock(&mutex_);
  while (!stop_) {
    const auto now = std::chrono::steady_clock::now();
    for (WatchedLink* link : links_) link->OnTick(now);
    stopped_.WaitUntil(&mutex_, now + interval_);
  }
}

}  // namespace unmask
