// How far a batch job is, for a person: a bar with rate, time left and failures.
#ifndef UNMASK_CLI_BATCH_PROGRESS_H_
#define UNMASK_CLI_BATCH_PROGRESS_H_

#include <chrono>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "unmask/v1/batch_service.pb.h"

namespace unmask {

// "running  [####......]  43 %  4300 of 10000  12 failed  87.2/s  1m5s left", `width` columns at most. rate: lines a
// second; 0: not known.
std::string BatchProgressLine(const v1::BatchJob& job, double rate, int width);

// "running", "paused: the store's disk is full".
std::string BatchStateName(const v1::BatchJob& job);

// Redraws a line on a terminal, else prints one each tenth and at each change of state. On standard error.
class BatchProgress {
 public:
  using Clock = std::chrono::steady_clock;
  BatchProgress();
  ~BatchProgress() { Clear(); }
  void Show(const v1::BatchJob& job, Clock::time_point now);
  void Clear();

 private:
  const bool terminal_;
  bool drawn_ = false;
  std::optional<Clock::time_point> begin_;  // When we began to look, and
  int64_t done_then_ = 0;                   // what was done then.
  std::string last_;                        // State and tenth of the last plain line.
};

}  // namespace unmask

#endif  // UNMASK_CLI_BATCH_PROGRESS_H_
