// The figures behind /metrics. Counters and histograms are kept here; gauges are read from the fleet at each scrape, so
// that they cannot drift from the truth.
#ifndef UNMASK_COORDINATOR_METRICS_H_
#define UNMASK_COORDINATOR_METRICS_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "unmask/v1/fleet.pb.h"
#include "unmask/v1/inference.pb.h"

namespace unmask {

// Thread-safe.
class Metrics {
 public:
  // version: of the build, for unmask_build_info. expected_replicas: 0 where nobody said.
  Metrics(const std::string& version, int expected_replicas);
  ~Metrics();

  // Its first step was dispatched. Seconds.
  void RequestStarted(const char* method, double queued);
  // Any public request of InferenceService, however it ended. Seconds.
  void RequestFinished(const char* method, const absl::Status& status, double duration);
  // Steps, tokens and replays of a finished generation.
  void Generated(const v1::GenerateResponse& response);

  // Prometheus text format.
  std::string Render(const v1::GetFleetResponse& fleet) const;

 private:
  struct Families;
  const std::unique_ptr<Families> families_;
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_METRICS_H_
