// Asking a service's coordinator how its replicas are.
#ifndef UNMASK_CLI_FLEET_WATCH_H_
#define UNMASK_CLI_FLEET_WATCH_H_

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/time/time.h"
#include "base/mutex.h"
#include "cli/credentials.h"
#include "unmask/v1/fleet.grpc.pb.h"

namespace unmask {

class FleetProbe {
 public:
  // address: host:port of the public gRPC port.
  explicit FleetProbe(const std::string& address, const Credentials& credentials = {});
  // False when there was no answer in time.
  bool Ask(absl::Duration timeout, v1::GetFleetResponse* fleet);

 private:
  const Credentials credentials_;
  std::unique_ptr<v1::FleetService::Stub> stub_;
};

// A request would be served: a replica has loaded.
bool IsReady(const v1::GetFleetResponse& fleet);

// Bytes loaded, and to load, of the replicas that are starting.
v1::LoadingProgress TotalLoading(const v1::GetFleetResponse& fleet);

// Asks again and again in a thread of its own, and hands every answer to `on_fleet`, in that thread.
class FleetWatch {
 public:
  FleetWatch(const std::string& address, const Credentials& credentials, absl::Duration interval,
             std::function<void(const v1::GetFleetResponse&)> on_fleet);
  ~FleetWatch();  // Waits for a call of on_fleet under way.
  FleetWatch(const FleetWatch&) = delete;
  FleetWatch& operator=(const FleetWatch&) = delete;

 private:
  void Watch();

  const absl::Duration interval_;
  const std::function<void(const v1::GetFleetResponse&)> on_fleet_;
  FleetProbe probe_;  // Used by the thread only.
  Mutex mutex_;
  CondVar wake_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace unmask

#endif  // UNMASK_CLI_FLEET_WATCH_H_
