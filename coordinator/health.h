// Publishes over grpc.health.v1 whether requests would be computed: "" is live as long as the server is, the services'
// own names follow the front door.
#ifndef UNMASK_COORDINATOR_HEALTH_H_
#define UNMASK_COORDINATOR_HEALTH_H_

#include <thread>

#include "base/mutex.h"
#include "coordinator/front_door.h"

namespace grpc {
class HealthCheckServiceInterface;
}

namespace unmask {

// One thread, which looks at the door every 50 ms: a poll cannot miss a change, whoever caused it.
class HealthReporter {
 public:
  // Both must outlive it.
  HealthReporter(const FrontDoor* door, grpc::HealthCheckServiceInterface* service);
  ~HealthReporter();

 private:
  void Run();

  const FrontDoor& door_;
  grpc::HealthCheckServiceInterface& service_;
  Mutex mutex_;
  CondVar stopped_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // Last: it reads the others.
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_HEALTH_H_
