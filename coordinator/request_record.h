// One request as operators see it: its clocks, its line in the log and its part of the metrics. Never its text.
#ifndef UNMASK_COORDINATOR_REQUEST_RECORD_H_
#define UNMASK_COORDINATOR_REQUEST_RECORD_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/log.h"
#include "coordinator/metrics.h"
#include "coordinator/request_names.h"
#include "unmask/v1/inference.pb.h"

namespace unmask {

// Not thread-safe. Its clock is monotonic and starts with it.
class RequestRecord {
 public:
  // `metrics` must outlive it; method as in the proto ("GenerateStream").
  RequestRecord(Metrics* metrics, const char* method);

  void Identify(RequestNames names) { names_ = std::move(names); }
  // Which replica has it now.
  void Placed(absl::string_view replica, uint64_t epoch);

  // The first step was dispatched. Only the first call counts.
  void Started();
  void FirstBlockEnded();
  // Once, at the end.
  void Finished(const absl::StatusOr<v1::GenerateResponse>& result);
  void Finished(const absl::StatusOr<v1::ScoreResponse>& result);

  v1::Timing Timing() const;

 private:
  using Clock = std::chrono::steady_clock;

  // What every end has: it is counted, and gets its line, of which `details` are a success' own.
  void End(const absl::Status& status, std::vector<LogField> details);

  Metrics* metrics_;
  const char* method_;
  RequestNames names_;
  std::string replica_;
  uint64_t epoch_ = 0;
  Clock::time_point received_;
  std::optional<Clock::time_point> started_;
  std::optional<Clock::time_point> first_block_;
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_REQUEST_RECORD_H_
