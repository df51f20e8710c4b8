// The denoising on a terminal, as it happens: a thread that draws the latest state, at most about 30 times a second.
#ifndef UNMASK_CLI_LIVE_VIEW_H_
#define UNMASK_CLI_LIVE_VIEW_H_

#include <chrono>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "cli/canvas_state.h"
#include "cli/screen.h"
#include "cli/view.h"

namespace unmask {

class LiveView {
 public:
  // Draws to `fd`, a terminal, from now on.
  LiveView(CanvasLayout layout, int fd);
  ~LiveView();  // Abandons the picture where it is.
  LiveView(const LiveView&) = delete;
  LiveView& operator=(const LiveView&) = delete;

  // Any thread.
  void Apply(const v1::GenerateStreamResponse& event);

  // Replaces the moving picture by the final one, which stays. Only with a completed stream.
  void Finish();

  // Stops drawing and leaves the last frame.
  void Stop();

 private:
  void Run();
  ViewOptions Options() const;

  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  Screen screen_;  // The thread's while it runs.

  Mutex mutex_;
  CondVar wake_;
  CanvasState state_ ABSL_GUARDED_BY(mutex_);
  bool dirty_ ABSL_GUARDED_BY(mutex_) = true;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace unmask

#endif  // UNMASK_CLI_LIVE_VIEW_H_
