#include "cli/live_view.h"

#include <utility>

namespace unmask {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kFrame = std::chrono::milliseconds(33);
constexpr auto kTick = std::chrono::milliseconds(100);  // The clock in the status line, and a new terminal size.

}  // namespace

LiveView::LiveView(CanvasLayout layout, int fd)
    : screen_(fd, ColorDepthFromEnvironment()), state_(std::move(layout)), thread_([this] { Run(); }) {}

LiveView::~LiveView() { Stop(); }

void LiveView::Apply(const v1::GenerateStreamResponse& event) {
  MutexLock lock(&mutex_);
  state_.Apply(event);
  dirty_ = true;
  wake_.Signal();
}

void LiveView::Run() {
  Clock::time_point next_frame = Clock::now();
  while (true) {
    std::vector<Line> frame;
    {
      MutexLock lock(&mutex_);
      const Clock::time_point tick = Clock::now() + kTick;
      while (!stop_ && !dirty_ && wake_.WaitUntil(&mutex_, tick)) {
      }
      while (!stop_ && Clock::now() < next_frame) wake_.WaitUntil(&mutex_, next_frame);
      if (stop_ && !dirty_) return;
      dirty_ = false;
      frame = RenderLive(state_, Options());
    }
    screen_.Draw(frame);
    next_frame = Clock::now() + kFrame;
  }
}

void LiveView::Stop() {
  if (!thread_.joinable()) return;
  {
    MutexLock lock(&mutex_);
    stop_ = true;
    wake_.Signal();
  }
  thread_.join();
}

void LiveView::Finish() {
  Stop();
  MutexLock lock(&mutex_);
  screen_.Print(RenderFinal(state_, Options()));
}

ViewOptions LiveView::Options() const {
  const ScreenSize size = screen_.size();
  return {.width = size.width, .height = size.height, .elapsed = absl::FromChrono(Clock::now() - start_)};
}

}  // namespace unmask
