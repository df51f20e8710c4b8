// The figures behind /metrics; docs/operating.md lists them. Counters and histograms are kept here; gauges are read
// from the fleet and the process at each scrape, so that they cannot drift from the truth.
#ifndef UNMASK_COORDINATOR_METRICS_H_
#define UNMASK_COORDINATOR_METRICS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "coordinator/batch/census.h"
#include "coordinator/fleet_observer.h"
#include "unmask/v1/fleet.pb.h"

namespace unmask {

// Thread-safe.
class Metrics final : public FleetObserver {
 public:
  // version: of the build, for unmask_build_info. expected_replicas: 0 where nobody said.
  Metrics(const std::string& version, int expected_replicas);
  ~Metrics() override;

  // Its first step was dispatched. Seconds.
  void RequestStarted(const char* method, double queued);
  // Its first block is decided. Seconds since it came.
  void FirstBlockEnded(const char* method, double seconds);
  // Any public request, however it ended. Seconds.
  void RequestFinished(const char* method, const absl::Status& status, double duration);

  // A reply of the HTTP port, whatever it was. path: one of few.
  void HttpResponded(const std::string& path, int code);
  void SetHttpConnections(int open);

  // Lines of batch jobs whose results are stored.
  void BatchItemsEnded(int64_t succeeded, int64_t failed);

  void OnStep(double seconds, int windows) override;
  void OnDenoised(v1::Remasking strategy, int tokens) override;
  void OnReplicaLost(const char* reason, int sequences) override;

  // Prometheus text format. batch: null where there is no store.
  std::string Render(const v1::GetFleetResponse& fleet, const BatchCensus* batch) const;

 private:
  struct Families;
  const std::unique_ptr<Families> families_;
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_METRICS_H_
