// The fleet and the model as tables.
#ifndef UNMASK_CLI_FLEET_TABLE_H_
#define UNMASK_CLI_FLEET_TABLE_H_

#include <string>

#include "unmask/v1/fleet.pb.h"
#include "unmask/v1/model.pb.h"

namespace unmask {

// Replicas and their ranks; with `shards` also what each rank holds of the model.
std::string FormatFleet(const v1::GetFleetResponse& fleet, bool shards);

std::string FormatModel(const v1::Model& model);

}  // namespace unmask

#endif  // UNMASK_CLI_FLEET_TABLE_H_
