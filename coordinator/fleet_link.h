// The fleet port's service: replicas dial in and stay on one stream each. A replica that is silent for longer than its
// lease, or breaks the protocol, is dropped; nothing that it sends can do more.
#ifndef UNMASK_COORDINATOR_FLEET_LINK_H_
#define UNMASK_COORDINATOR_FLEET_LINK_H_

#include <memory>

#include "absl/time/time.h"
#include "coordinator/fleet.h"

namespace grpc {
class Service;
}

namespace unmask {

// `fleet` must outlive the service, and the service its server. Runs one thread, which watches the leases.
std::unique_ptr<grpc::Service> MakeFleetLinkService(Fleet* fleet, absl::Duration lease);

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_FLEET_LINK_H_
