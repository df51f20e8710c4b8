// A whole service on this host for `unmask serve`: a coordinator and its replicas, each a supervised child process.
#ifndef UNMASK_CLI_SERVICE_H_
#define UNMASK_CLI_SERVICE_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/fleet_watch.h"
#include "cli/progress_bar.h"
#include "cli/serve_options.h"
#include "cli/service_addresses.h"
#include "cluster/event_loop.h"
#include "cluster/runtime_directory.h"
#include "cluster/supervisor.h"

namespace unmask {

class Service {
 public:
  // `loop` and `runtime` outlive it.
  Service(const ServePlan& plan, EventLoop* loop, const RuntimeDirectory* runtime);
  ~Service();

  // Serves until a signal or a failure that no restart mends; returns the exit code.
  int Run();

 private:
  Command CoordinatorCommand(const Incarnation& incarnation);
  Command ReplicaCommand(int index, const Incarnation& incarnation) const;
  void AwaitAddresses();
  void Announce(const ServiceAddresses& addresses);
  void SeeFleet(const v1::GetFleetResponse& fleet);
  void BecomeReady();
  void PrintLine(absl::string_view line);

  // The ways to the end. Each is followed by the coordinator's ending, then the replicas', then Run()'s return.
  void Interrupt();
  void Drain();
  void StopAtOnce();
  void Fail(const std::string& who, const Ending& ending);
  void CoordinatorEnded(const Ending& ending);
  void ReplicaEnded(const std::string& name, const Ending& ending);
  void QuitIfAllEnded();

  const ServePlan plan_;
  EventLoop* const loop_;
  ProgressBar bar_;

  Supervisor coordinator_;
  std::vector<std::unique_ptr<Supervisor>> replicas_;
  std::string address_file_;                   // Of the coordinator's current life.
  std::optional<ServiceAddresses> addresses_;  // Fixed by its first.
  std::unique_ptr<FleetWatch> watch_;
  bool ready_ = false;
  bool stopping_ = false;
  int exit_code_ = 0;
};

}  // namespace unmask

#endif  // UNMASK_CLI_SERVICE_H_
