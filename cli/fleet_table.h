// The fleet and the model as tables.
#ifndef UNMASK_CLI_FLEET_TABLE_H_
#define UNMASK_CLI_FLEET_TABLE_H_

#include <string>

#include "unmask/v1/fleet.pb.h"
#include "unmask/v1/model.pb.h"

namespace unmask {

// How a fleet was a while ago, for what it does a second.
struct FleetBefore {
  v1::GetFleetResponse fleet;
  double seconds = 0;  // Since then.
};

// Replicas and their ranks; with `shards` also what each rank holds of the model, with `before` what each replica does
// a second.
std::string FormatFleet(const v1::GetFleetResponse& fleet, bool shards, const FleetBefore* before = nullptr);

std::string FormatModel(const v1::Model& model);

}  // namespace unmask

#endif  // UNMASK_CLI_FLEET_TABLE_H_
