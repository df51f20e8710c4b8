#include "coordinator/fleet_link.h"

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "coordinator/grpc_status.h"
#include "coordinator/link_watch.h"
#include "unmask/internal/v1/replica.grpc.pb.h"

namespace unmask {
namespace {

using internal::v1::CoordinatorMessage;
using internal::v1::ReplicaMessage;
using Clock = std::chrono::steady_clock;

// A stream that was ended gets this long to carry its status; a peer that does not read is cut off.
constexpr std::chrono::seconds kGoodbye(1);

// One connection. Messages are read one after the other, so the protocol's state needs no lock; what is sent and the
// end do.
class Link final : public grpc::ServerBidiReactor<ReplicaMessage, CoordinatorMessage>, private WatchedLink {
 public:
  Link(grpc::CallbackServerContext* call, Fleet* fleet, LinkWatch* watch, Clock::duration lease)
      : call_(*call), fleet_(*fleet), watch_(*watch), lease_(lease), name_(call->peer()), last_heard_(Clock::now()) {
    watch_.Add(this);
    StartRead(&incoming_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      End(absl::OkStatus(), "it hung up", kReplicaEnded);
      return;
    }
    if (absl::Status status = Heard(); !status.ok()) {
      End(status, status.message(), kReplicaBrokeProtocol);
      return;
    }
    StartRead(&incoming_);
  }

  void OnWriteDone(bool ok) override {
    MutexLock lock(&mutex_);
    outbox_.pop_front();
    if (ok && !ended_at_ && !outbox_.empty()) StartWrite(&outbox_.front());
  }

  void OnCancel() override { End(absl::CancelledError("the stream broke"), "its stream broke", kReplicaEnded); }

  void OnDone() override {
    watch_.Remove(this);
    if (epoch_ != 0) fleet_.Detach(epoch_, lost_by());
    delete this;
  }

 private:
  void OnTick(Clock::time_point now) override {
    bool silent = false;
    {
      MutexLock lock(&mutex_);
      if (ended_at_) {
        if (now - *ended_at_ > kGoodbye) call_.TryCancel();
        return;
      }
      silent = now - last_heard_ > lease_;
    }
    if (silent) {
      End(absl::DeadlineExceededError("no message came within the lease"), "it was silent for longer than its lease",
          kReplicaSilent);
      call_.TryCancel();  // It does not read either.
    } else if (fleet_.Overdue(epoch_, now)) {
      // Rank 0 may well live and read: the verdict lets it end its processes.
      End(absl::DeadlineExceededError("a step did not come back in time"), "a step of it is stuck", kReplicaStuck);
    } else if (draining_ && fleet_.Idle(epoch_)) {
      End(absl::OkStatus(), "it is drained", kReplicaEnded);
    }
  }

  // Takes the message that was read. An error ends the connection.
  absl::Status Heard() {
    {
      MutexLock lock(&mutex_);
      if (ended_at_) return absl::OkStatus();
      last_heard_ = Clock::now();
    }
    if (epoch_ == 0 && !incoming_.has_description()) {
      return absl::FailedPreconditionError("the first message is no description");
    }
    switch (incoming_.message_case()) {
      case ReplicaMessage::kDescription:
        return Describe();
      case ReplicaMessage::kLoading:
        if (replica_) return absl::FailedPreconditionError("it loads after it was ready");
        fleet_.Loading(epoch_, incoming_.loading());
        return absl::OkStatus();
      case ReplicaMessage::kReady:
        return Ready();
      case ReplicaMessage::kResult:
        if (!replica_) return absl::FailedPreconditionError("a result came before it was ready");
        UNMASK_RETURN_IF_ERROR(replica_->OnResult(incoming_.result()));
        fleet_.Rebalance(epoch_);
        return absl::OkStatus();
      case ReplicaMessage::kHeartbeat:
        return absl::OkStatus();
      case ReplicaMessage::kDraining:
        Log(Severity::kInfo, "replica drains", {{"replica", name()}, {"epoch", epoch_.load()}});
        fleet_.Drain(epoch_);
        draining_ = true;
        return absl::OkStatus();
      case ReplicaMessage::MESSAGE_NOT_SET:
        break;
    }
    return absl::FailedPreconditionError("a message is empty");
  }

  absl::Status Describe() {
    if (epoch_ != 0) return absl::FailedPreconditionError("a second description came");
    UNMASK_ASSIGN_OR_RETURN(const uint64_t epoch, fleet_.Attach(incoming_.description()));
    epoch_ = epoch;
    const std::string& name = incoming_.description().name();
    Log(Severity::kInfo, "replica connected",
        {{"replica", name},
         {"epoch", epoch},
         {"ranks", incoming_.description().ranks_size()},
         {"restarts", incoming_.description().restarts()},
         {"peer", call_.peer()}});
    {
      MutexLock lock(&mutex_);
      name_ = name;
    }
    CoordinatorMessage attached;
    attached.mutable_attached()->set_epoch(epoch);
    Send(attached);
    return absl::OkStatus();
  }

  absl::Status Ready() {
    if (replica_) return absl::FailedPreconditionError("it was ready before");
    UNMASK_ASSIGN_OR_RETURN(replica_, fleet_.Ready(epoch_, incoming_.ready(),
                                                   [this](const CoordinatorMessage& message) { Send(message); }));
    Log(Severity::kInfo, "replica ready", {{"replica", name()}, {"epoch", epoch_.load()}});
    return absl::OkStatus();
  }

  // A Replica's Sender: not used any more once the fleet has detached it, and so not after OnDone.
  void Send(const CoordinatorMessage& message) {
    MutexLock lock(&mutex_);
    if (ended_at_) return;
    outbox_.push_back(message);
    if (outbox_.size() == 1) StartWrite(&outbox_.front());
  }

  // Only the first call counts.
  void End(const absl::Status& status, absl::string_view why, const char* lost_by) {
    MutexLock lock(&mutex_);
    if (ended_at_) return;
    ended_at_ = Clock::now();
    lost_by_ = lost_by;
    Log(status.ok() ? Severity::kInfo : Severity::kWarning, "replica goes",
        {{"replica", name_}, {"epoch", epoch_.load()}, {"reason", why}});
    Finish(ToGrpc(status));
  }

  std::string name() {
    MutexLock lock(&mutex_);
    return name_;
  }

  const char* lost_by() {
    MutexLock lock(&mutex_);
    return lost_by_;
  }

  grpc::CallbackServerContext& call_;
  Fleet& fleet_;
  LinkWatch& watch_;
  const Clock::duration lease_;

  ReplicaMessage incoming_;
  std::atomic<uint64_t> epoch_ = 0;  // 0: not attached.
  std::atomic<bool> draining_ = false;
  std::shared_ptr<Replica> replica_;

  Mutex mutex_;
  std::string name_ ABSL_GUARDED_BY(mutex_);                       // Its address until it has described itself.
  std::deque<CoordinatorMessage> outbox_ ABSL_GUARDED_BY(mutex_);  // The first is being written.
  Clock::time_point last_heard_ ABSL_GUARDED_BY(mutex_);
  std::optional<Clock::time_point> ended_at_ ABSL_GUARDED_BY(mutex_);
  const char* lost_by_ ABSL_GUARDED_BY(mutex_) = kReplicaEnded;  // How, once it has.
};

class FleetLinkService final : public internal::v1::FleetLinkService::CallbackService {
 public:
  FleetLinkService(Fleet* fleet, std::chrono::milliseconds lease)
      : fleet_(*fleet),
        lease_(lease),
        watch_(std::clamp(lease / 4, std::chrono::milliseconds(5), std::chrono::milliseconds(100))) {}

  grpc::ServerBidiReactor<ReplicaMessage, CoordinatorMessage>* Attach(grpc::CallbackServerContext* call) override {
    return new Link(call, &fleet_, &watch_, lease_);
  }

 private:
  Fleet& fleet_;
  const std::chrono::milliseconds lease_;
  LinkWatch watch_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeFleetLinkService(Fleet* fleet, absl::Duration lease) {
  return std::make_unique<FleetLinkService>(fleet, absl::ToChronoMilliseconds(lease));
}

}  // namespace unmask
