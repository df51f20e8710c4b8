// How batch jobs stand at one moment, for metrics.
#ifndef UNMASK_COORDINATOR_BATCH_CENSUS_H_
#define UNMASK_COORDINATOR_BATCH_CENSUS_H_

#include <array>
#include <cstdint>

#include "unmask/v1/batch_service.pb.h"

namespace unmask {

struct BatchCensus {
  std::array<int64_t, v1::BatchJobState_ARRAYSIZE> jobs = {};  // By state.
  int64_t items_running = 0;                                   // Lines that are under way.
  bool store_failing = false;
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_BATCH_CENSUS_H_
