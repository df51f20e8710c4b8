// A score on behalf of a client: its tasks' way to the fleet, as a few sequences that share steps with each other and
// with whatever else runs, and their way back to one reply.
#ifndef UNMASK_COORDINATOR_SCORING_H_
#define UNMASK_COORDINATOR_SCORING_H_

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "coordinator/request_names.h"
#include "coordinator/service_context.h"
#include "unmask/v1/inference.pb.h"

namespace unmask {

// One thread at a time submits; then any may cancel. Draining waits for the object.
class Scoring {
 public:
  // Called once, under a mutex of its own: must neither block nor call back.
  using Finish = std::function<void(const absl::StatusOr<v1::ScoreResponse>& result)>;

  // method: as in the proto, for the log and the metrics. What `finish` refers to must live until it is called.
  Scoring(const ServiceContext& context, const char* method, Finish finish);

  // How the request is found again, if more is known of it than its own field. Before Submit.
  void Identify(const RequestNames& names);

  // Checks the request and hands its sequences to the fleet. Once; an error ends nothing yet: pass it to End.
  // time_left: until the client gives up.
  absl::Status Submit(v1::ScoreRequest request, absl::Duration time_left);

  // Finishes with an error, unless it is over, and takes the sequences from whoever computes them.
  void End(const absl::Status& why);

  // `finish` is not called before this, which the owner calls once Submit or End has returned.
  void Open();

 private:
  class Board;

  Fleet& fleet_;
  const FrontDoor& door_;
  const FrontDoor::Visit visit_;
  const std::shared_ptr<Board> board_;
  RequestNames names_;
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_SCORING_H_
