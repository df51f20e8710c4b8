// Whether the service takes requests now, and how many it has taken and not answered yet.
#ifndef UNMASK_COORDINATOR_FRONT_DOOR_H_
#define UNMASK_COORDINATOR_FRONT_DOOR_H_

#include <atomic>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/fleet.h"

namespace unmask {

// Thread-safe.
class FrontDoor {
 public:
  // max_visits: of requests at once. What one costs is bounded, so their number bounds the memory.
  FrontDoor(const Fleet* fleet, int max_visits) : fleet_(*fleet), max_visits_(max_visits) {}

  // A request inside: draining waits for it. Ends with the object.
  class Visit {
   public:
    explicit Visit(FrontDoor* door) : door_(door) { ++door->visits_; }
    ~Visit() { --door_->visits_; }
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;

   private:
    FrontDoor* const door_;
  };

  // The model to serve to a visitor. UNAVAILABLE while draining, before the first replica was ever ready, and when all
  // have failed for good; RESOURCE_EXHAUSTED while there are more visitors than may be. Else requests wait in the fleet
  // when no replica can take them. What goes on afterwards needs a Visit that is older: so none escapes a drain.
  absl::StatusOr<std::shared_ptr<const ServedModel>> Enter() const;

  // Refuses everybody from now on.
  void Drain() { draining_ = true; }

  // OK while a request would be computed at once; else why not, in a few words.
  absl::Status Readiness() const;

  int visits() const { return visits_; }

 private:
  const Fleet& fleet_;
  const int max_visits_;
  std::atomic<bool> draining_ = false;
  std::atomic<int> visits_ = 0;
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_FRONT_DOOR_H_
