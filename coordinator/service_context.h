// What the public services work with; all of it outlives them and their calls.
#ifndef UNMASK_COORDINATOR_SERVICE_CONTEXT_H_
#define UNMASK_COORDINATOR_SERVICE_CONTEXT_H_

#include "coordinator/access.h"
#include "coordinator/fleet.h"
#include "coordinator/front_door.h"
#include "coordinator/metrics.h"

namespace unmask {

struct ServiceContext {
  Fleet* fleet = nullptr;
  FrontDoor* door = nullptr;
  Metrics* metrics = nullptr;
  const Access* access = nullptr;
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_SERVICE_CONTEXT_H_
