// A replica without an engine: it speaks the fleet protocol over a real stream, and answers Steps from a ScriptedModel.
#ifndef UNMASK_TESTS_COORDINATOR_SCRIPTED_REPLICA_H_
#define UNMASK_TESTS_COORDINATOR_SCRIPTED_REPLICA_H_

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tests/coordinator/scripted_model.h"
#include "unmask/internal/v1/replica.pb.h"

namespace unmask::testing {

struct ScriptedReplicaOptions {
  internal::v1::ReplicaDescription description = DescribeReplica("a", 1);
  std::string numerics = "scripted";
  int64_t kv_positions = 1 << 20;
  int32_t max_rows = 1 << 20;
  bool introduces_itself = true;                          // Sends its description.
  bool becomes_ready = true;                              // And then that it is ready.
  std::chrono::milliseconds heartbeat{50};                // 0: none.
  std::chrono::milliseconds step_time{0};                 // What a step takes.
  int dies_at_step = 0;                                   // Gone instead of answering this step; 0: never.
  std::function<void(internal::v1::StepResult*)> tamper;  // Sees each result before it is sent.
};

// Thread-safe.
class ScriptedReplica {
 public:
  static std::unique_ptr<ScriptedReplica> Start(const std::string& fleet_address, ScriptedReplicaOptions options = {});
  // Dies if it still lives.
  virtual ~ScriptedReplica() = default;

  virtual void Send(const internal::v1::ReplicaMessage& message) = 0;
  void Drain();

  // Steps stay unanswered from now on; then those that came are answered.
  virtual void Hold() = 0;
  virtual void Go() = 0;

  // The stream breaks, as when the process is killed.
  virtual void Die() = 0;

  // How the coordinator ended the stream. Blocks until it has.
  virtual absl::Status End() = 0;

  virtual uint64_t epoch() const = 0;                         // 0: not attached yet.
  virtual std::vector<internal::v1::Step> steps() const = 0;  // That came.
};

}  // namespace unmask::testing

#endif  // UNMASK_TESTS_COORDINATOR_SCRIPTED_REPLICA_H_
