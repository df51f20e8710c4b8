// A fleet of one replica on a clock of its own: hours of load in seconds, the same each time. Steps take a fixed time
// and more for each row, and are answered by a ScriptedModel.
#ifndef UNMASK_TESTS_COORDINATOR_SIMULATED_LOAD_H_
#define UNMASK_TESTS_COORDINATOR_SIMULATED_LOAD_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "coordinator/fleet.h"
#include "tests/coordinator/scripted_model.h"

namespace unmask::testing {

struct SimulatedReplica {
  double step = 0.002;  // Seconds: of any step, ...
  double row = 0.0001;  // ... and for each of its rows.
  double noise = 0;     // Each step takes up to this part more or less.
  int64_t kv_positions = 1 << 20;
};

class SimulatedLoad {
 public:
  explicit SimulatedLoad(SimulatedReplica replica = {});

  struct Outcome {
    bool over = false;  // One of the following, or else it still runs.
    absl::Status refused;
    absl::StatusOr<v1::GenerateResponse> response = absl::UnknownError("none");
    bool late = false;  // Its deadline passed: it was cancelled.
    double begun = 0;
    double took = 0;  // Seconds.
  };
  using Done = std::function<void(const Outcome&)>;

  // Hands a sequence to the fleet, now. deadline: seconds that it has. done: once, when it is over.
  void Submit(SequenceSpec spec, double deadline, Done done);
  // As Submit, but admission is told of no deadline: what happens where nobody foresees the end.
  void SubmitBlindly(SequenceSpec spec, double deadline, Done done);
  // Calls `what` at that time.
  void At(double time, std::function<void()> what) { agenda_.emplace(time, std::move(what)); }
  // Lets time pass, until then or until nothing is left to happen.
  void RunUntil(double time);

  double now() const { return now_; }
  Fleet& fleet() { return fleet_; }
  int most_open() const { return most_open_; }
  int most_shared() const { return most_shared_; }  // Windows in a step.

 private:
  class Sink;
  void Begin(SequenceSpec spec, double deadline, bool told, Done done);
  void Answer();

  const SimulatedReplica replica_options_;
  double now_ = 1000;
  std::mt19937 random_{7};
  std::multimap<double, std::function<void()>> agenda_;  // Equal times in order of insertion.
  std::deque<internal::v1::CoordinatorMessage> inbox_;
  bool computing_ = false;
  ScriptedModel model_;
  Fleet fleet_;
  std::shared_ptr<Replica> replica_;
  int open_ = 0;
  int most_open_ = 0;
  int most_shared_ = 0;
};

}  // namespace unmask::testing

#endif  // UNMASK_TESTS_COORDINATOR_SIMULATED_LOAD_H_
