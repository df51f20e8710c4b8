// Metrics that are read, not kept: what the fleet and this process are like at the moment of a scrape.
#ifndef UNMASK_COORDINATOR_GAUGES_H_
#define UNMASK_COORDINATOR_GAUGES_H_

#include <vector>

#include "coordinator/batch/census.h"
#include "prometheus/metric_family.h"
#include "unmask/v1/fleet.pb.h"

namespace unmask {

std::vector<prometheus::MetricFamily> FleetGauges(const v1::GetFleetResponse& fleet);
std::vector<prometheus::MetricFamily> BatchGauges(const BatchCensus& census);

// The process_* metrics that every Prometheus client has; of Linux's /proc, and without what cannot be read there.
std::vector<prometheus::MetricFamily> ProcessMetrics();

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_GAUGES_H_
