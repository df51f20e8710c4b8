// Rank 0's end of the stream to the coordinator. Dials in, and dials again for ever when the stream ends; says who the
// replica is, how far it has loaded, that it lives; hands on what the coordinator asks for.
//
// Thread-safe. Threads of its own dial, read and send heartbeats, so that a long step or load silences nothing.
#ifndef UNMASK_WORKER_LEADER_H_
#define UNMASK_WORKER_LEADER_H_

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "base/credential_files.h"
#include "base/mutex.h"
#include "unmask/internal/v1/replica.grpc.pb.h"
#include "worker/state_file.h"

namespace unmask {

struct LeaderOptions {
  std::string coordinator;                 // host:port of its fleet port.
  TlsFiles tls;                            // Checked; without a CA: plaintext. Read anew each second.
  std::string state_file;                  // Says how the replica is, see worker/state_file.h; "": none.
  std::chrono::seconds drain_timeout{60};  // After Drain(), how long the coordinator may take to end the stream.
};

class Leader {
 public:
  Leader(const LeaderOptions& options, internal::v1::ReplicaDescription description);
  ~Leader();  // Ends the stream.
  Leader(const Leader&) = delete;
  Leader& operator=(const Leader&) = delete;

  void SetLoading(int64_t bytes_done, int64_t bytes_total);
  void SetReady(const internal::v1::ReplicaReady& ready);

  // Waits for the next message of the coordinator; nothing once the replica has drained. `attached` comes first on each
  // new connection: what the last one asked for is void.
  std::optional<internal::v1::CoordinatorMessage> Next();

  // Dropped where its connection is gone.
  void Send(const internal::v1::StepResult& result);

  // Asks the coordinator to finish what it has here and to end the stream. Steps go on until it does.
  void Drain();
  bool draining() const;
  // The coordinator had not finished within the drain's time: what it still had here was cut off.
  bool cut_off() const;

 private:
  using Stream = grpc::ClientReaderWriter<internal::v1::ReplicaMessage, internal::v1::CoordinatorMessage>;

  void Link();     // A thread: one connection after another.
  void Connect();  // One connection, from its beginning to its end.
  void EndIfStuck();
  bool Rest(std::chrono::milliseconds pause);
  void Pulse();  // A thread: heartbeats, loading progress, the state file, the end of the drain's patience.
  std::string State() ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_);
  bool Greet(Stream* stream);
  void Write(const internal::v1::ReplicaMessage& message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_);

  const LeaderOptions options_;
  const internal::v1::ReplicaDescription description_;
  std::unique_ptr<internal::v1::FleetLinkService::Stub> stub_;

  // What is said. Held while writing, since a stream takes one write at a time. Before state_mutex_ where both are
  // held.
  Mutex write_mutex_;
  Stream* stream_ ABSL_GUARDED_BY(write_mutex_) = nullptr;  // Null while not attached.
  uint64_t epoch_ ABSL_GUARDED_BY(write_mutex_) = 0;
  unmask::v1::LoadingProgress loading_ ABSL_GUARDED_BY(write_mutex_);
  bool loading_changed_ ABSL_GUARDED_BY(write_mutex_) = false;
  std::optional<internal::v1::ReplicaReady> ready_ ABSL_GUARDED_BY(write_mutex_);

  // What is heard, and when to stop. Never held during I/O.
  mutable Mutex state_mutex_;
  CondVar changed_;
  std::deque<internal::v1::CoordinatorMessage> heard_ ABSL_GUARDED_BY(state_mutex_);
  grpc::ClientContext* context_ ABSL_GUARDED_BY(state_mutex_) = nullptr;  // Of the connection, to cancel it.
  bool attached_ ABSL_GUARDED_BY(state_mutex_) = false;
  bool computing_ ABSL_GUARDED_BY(state_mutex_) = false;  // From the one Next() to the other.
  bool ended_ ABSL_GUARDED_BY(state_mutex_) = false;
  std::optional<std::chrono::steady_clock::time_point> drain_until_ ABSL_GUARDED_BY(state_mutex_);
  bool cut_off_ ABSL_GUARDED_BY(state_mutex_) = false;

  StateFile state_file_;  // Of the pulse alone.
  std::thread link_;
  std::thread pulse_;
};

}  // namespace unmask

#endif  // UNMASK_WORKER_LEADER_H_
