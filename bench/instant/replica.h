// A replica without a model: says what a replica says, and answers each Step with tokens that are always the same, at
// once or after the time that the step would take. For benchmarks of what is not the replica.
#ifndef UNMASK_BENCH_INSTANT_REPLICA_H_
#define UNMASK_BENCH_INSTANT_REPLICA_H_

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "base/mutex.h"
#include "unmask/internal/v1/replica.grpc.pb.h"

namespace unmask::bench {

struct InstantReplicaOptions {
  std::string name = "instant";
  std::string model = "bench";
  // What a step takes: so much, and so much for each row that it recomputes.
  std::chrono::microseconds step_time{0};
  std::chrono::nanoseconds row_time{0};
  int kv_positions = 1 << 20;  // Of all sequences that it takes at once.
  // Told how long the replica had nothing to do before a step: from its last answer to this order, of so many windows.
  std::function<void(std::chrono::nanoseconds waited, int windows)> on_wait;
};

class InstantReplica {
 public:
  // Dials the fleet port of a coordinator.
  InstantReplica(const std::string& address, InstantReplicaOptions options);
  ~InstantReplica();
  InstantReplica(const InstantReplica&) = delete;
  InstantReplica& operator=(const InstantReplica&) = delete;

  // Takes no new sequences; ends once it has none.
  void Drain();
  // Until the coordinator ends the stream, or is gone.
  void Wait();

 private:
  void Read();
  void Beat();
  void Write(const internal::v1::ReplicaMessage& message);

  const InstantReplicaOptions options_;
  const std::unique_ptr<internal::v1::FleetLinkService::Stub> stub_;
  grpc::ClientContext context_;
  const std::unique_ptr<grpc::ClientReaderWriter<internal::v1::ReplicaMessage, internal::v1::CoordinatorMessage>>
      stream_;
  Mutex mutex_;  // One writer at a time.
  CondVar changed_;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread reader_;
  std::thread heart_;
};

}  // namespace unmask::bench

#endif  // UNMASK_BENCH_INSTANT_REPLICA_H_
