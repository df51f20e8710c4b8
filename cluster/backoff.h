// How long to wait before starting again what ended: doubling from `initial` to `maximum`, so that a crash loop costs
// little and a single crash little time; jittered, so that replicas felled by one cause do not come back in one breath.
#ifndef UNMASK_CLUSTER_BACKOFF_H_
#define UNMASK_CLUSTER_BACKOFF_H_

#include <algorithm>

#include "absl/time/time.h"

namespace unmask {

struct BackoffOptions {
  absl::Duration initial = absl::Milliseconds(500);
  absl::Duration maximum = absl::Seconds(30);
  absl::Duration healthy = absl::Seconds(60);  // A run at least this long starts the count anew.
  double jitter = 0.2;                         // A wait is drawn from [1 - jitter, 1] times its nominal length.
};

class Backoff {
 public:
  explicit Backoff(const BackoffOptions& options) : options_(options), next_(options.initial) {}

  // The wait after a run of `ran`; `random` is uniform in [0, 1).
  absl::Duration Next(absl::Duration ran, double random) {
    if (ran >= options_.healthy) next_ = options_.initial;
    const absl::Duration wait = next_ * (1 - options_.jitter * random);
    next_ = std::min(next_ * 2, options_.maximum);
    return wait;
  }

 private:
  const BackoffOptions options_;
  absl::Duration next_;
};

}  // namespace unmask

#endif  // UNMASK_CLUSTER_BACKOFF_H_
