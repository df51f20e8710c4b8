// The first step of a rank, before anybody waits for one.
#ifndef UNMASK_WORKER_WARM_UP_H_
#define UNMASK_WORKER_WARM_UP_H_

#include <chrono>

#include "absl/status/statusor.h"
#include "worker/config.h"
#include "worker/engine.h"

namespace unmask {

// Runs a step of made-up tokens twice, on all ranks alike: memory is touched and primitives are made, and the second
// tells what a row costs. INTERNAL when the engine cannot run it.
absl::StatusOr<std::chrono::nanoseconds> WarmUp(const Config& config, Engine* engine);

}  // namespace unmask

#endif  // UNMASK_WORKER_WARM_UP_H_
