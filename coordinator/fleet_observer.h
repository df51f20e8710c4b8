// What happens in the fleet, for whoever counts it (coordinator/metrics.h).
#ifndef UNMASK_COORDINATOR_FLEET_OBSERVER_H_
#define UNMASK_COORDINATOR_FLEET_OBSERVER_H_

#include "unmask/v1/options.pb.h"

namespace unmask {

// Why a connection of a replica ended unasked: values of a metric's label.
inline constexpr char kReplicaEnded[] = "ended";    // Its processes, or the network to them.
inline constexpr char kReplicaSilent[] = "silent";  // For longer than its lease.
inline constexpr char kReplicaStuck[] = "stuck";    // A step did not come back.
inline constexpr char kReplicaBrokeProtocol[] = "protocol_broken";

// Called from any thread, under the locks of whoever calls: must neither block nor call back.
class FleetObserver {
 public:
  virtual ~FleetObserver() = default;
  // A replica answered a step that held this many windows.
  virtual void OnStep(double seconds, int windows) = 0;
  // One window of it: a denoising step of a sequence, which committed `tokens`.
  virtual void OnDenoised(v1::Remasking strategy, int tokens) = 0;
  // A replica's connection ended unasked while it computed `sequences`, which are replayed.
  virtual void OnReplicaLost(const char* reason, int sequences) = 0;
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_FLEET_OBSERVER_H_
