// One request as operators see it: its clocks, its line in the log and its part of the metrics. Never its text.
#ifndef UNMASK_COORDINATOR_REQUEST_RECORD_H_
#define UNMASK_COORDINATOR_REQUEST_RECORD_H_

#include <chrono>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "coordinator/metrics.h"
#include "unmask/v1/inference.pb.h"

namespace unmask {

// Not thread-safe. Its clock is monotonic and starts with it.
class RequestRecord {
 public:
  // `metrics` must outlive it; method as in the proto ("GenerateStream").
  RequestRecord(Metrics* metrics, const char* method);

  void set_request_id(std::string request_id) { request_id_ = std::move(request_id); }

  // The first step was dispatched. Only the first call counts.
  void Started();
  // Once, at the end.
  void Finished(const absl::StatusOr<v1::GenerateResponse>& result);

  v1::Timing Timing() const;

 private:
  using Clock = std::chrono::steady_clock;

  Metrics* metrics_;
  const char* method_;
  std::string request_id_;
  Clock::time_point received_;
  std::optional<Clock::time_point> started_;
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_REQUEST_RECORD_H_
