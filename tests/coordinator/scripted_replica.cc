#include "tests/coordinator/scripted_replica.h"

#include <grpcpp/create_channel.h>

#include <thread>
#include <utility>

#include "base/mutex.h"
#include "unmask/internal/v1/replica.grpc.pb.h"

namespace unmask::testing {
namespace {

using internal::v1::CoordinatorMessage;
using internal::v1::FleetLinkService;
using internal::v1::ReplicaMessage;
using internal::v1::Step;
using internal::v1::StepResult;

constexpr int kMaxMessage = 64 << 20;

std::shared_ptr<grpc::Channel> Dial(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // A connection of its own.
  arguments.SetMaxReceiveMessageSize(kMaxMessage);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

class StreamedReplica final : public ScriptedReplica {
 public:
  StreamedReplica(const std::string& address, ScriptedReplicaOptions options)
      : options_(std::move(options)),
        stub_(FleetLinkService::NewStub(Dial(address))),
        stream_(stub_->Attach(&context_)) {
    if (options_.introduces_itself) {
      ReplicaMessage message;
      *message.mutable_description() = options_.description;
      Send(message);
    }
    reader_ = std::thread([this] { Read(); });
    heart_ = std::thread([this] { Beat(); });
  }

  ~StreamedReplica() override {
    Die();
    reader_.join();
    heart_.join();
  }

  void Send(const ReplicaMessage& message) override {
    MutexLock lock(&write_mutex_);
    stream_->Write(message);
  }

  void Hold() override {
    MutexLock lock(&mutex_);
    held_ = true;
  }
  void Go() override {
    {
      MutexLock lock(&mutex_);
      held_ = false;
    }
    changed_.SignalAll();
  }

  void Die() override {
    context_.TryCancel();
    {
      MutexLock lock(&mutex_);
      dead_ = true;
    }
    changed_.SignalAll();
  }

  absl::Status End() override {
    MutexLock lock(&mutex_);
    while (!ended_) changed_.Wait(&mutex_);
    return end_;
  }

  uint64_t epoch() const override {
    MutexLock lock(&mutex_);
    return epoch_;
  }
  std::vector<Step> steps() const override {
    MutexLock lock(&mutex_);
    return steps_;
  }

 private:
  void Read() {
    CoordinatorMessage message;
    while (stream_->Read(&message)) {
      if (message.has_attached()) {
        {
          MutexLock lock(&mutex_);
          epoch_ = message.attached().epoch();
        }
        if (options_.becomes_ready) SayReady();
      } else if (message.has_step()) {
        if (!Answer(message.step())) break;
      }
    }
    const grpc::Status status = stream_->Finish();
    {
      MutexLock lock(&mutex_);
      end_ = absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
      ended_ = dead_ = true;
    }
    changed_.SignalAll();
  }

  void SayReady() {
    ReplicaMessage message;
    message.mutable_ready()->set_numerics(options_.numerics);
    message.mutable_ready()->set_kv_positions(options_.kv_positions);
    message.mutable_ready()->set_max_rows(options_.max_rows);
    Send(message);
  }

  bool Answer(const Step& step) {
    {
      MutexLock lock(&mutex_);
      steps_.push_back(step);
      if (static_cast<int>(steps_.size()) == options_.dies_at_step) {
        context_.TryCancel();
        return true;
      }
      const auto done = std::chrono::steady_clock::now() + options_.step_time;
      while (!dead_ && (held_ || std::chrono::steady_clock::now() < done)) {
        if (held_) {
          changed_.Wait(&mutex_);
        } else {
          changed_.WaitUntil(&mutex_, done);
        }
      }
      if (dead_) return true;
    }
    ReplicaMessage message;
    *message.mutable_result() = model_.Execute(step);
    if (options_.tamper) options_.tamper(message.mutable_result());
    Send(message);
    return true;
  }

  void Beat() {
    if (options_.heartbeat.count() == 0) return;
    ReplicaMessage beat;
    beat.mutable_heartbeat();
    while (true) {
      {
        MutexLock lock(&mutex_);
        if (!dead_) changed_.WaitUntil(&mutex_, std::chrono::steady_clock::now() + options_.heartbeat);
        if (dead_) return;
      }
      if (epoch() != 0) Send(beat);
    }
  }

  const ScriptedReplicaOptions options_;
  const std::unique_ptr<FleetLinkService::Stub> stub_;
  grpc::ClientContext context_;
  const std::unique_ptr<grpc::ClientReaderWriter<ReplicaMessage, CoordinatorMessage>> stream_;
  ScriptedModel model_;  // The reader's.

  Mutex write_mutex_;  // One writer at a time on the stream.
  mutable Mutex mutex_;
  CondVar changed_;
  uint64_t epoch_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<Step> steps_ ABSL_GUARDED_BY(mutex_);
  bool held_ ABSL_GUARDED_BY(mutex_) = false;
  bool dead_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status end_ ABSL_GUARDED_BY(mutex_);

  std::thread reader_;
  std::thread heart_;
};

}  // namespace

void ScriptedReplica::Drain() {
  ReplicaMessage message;
  message.mutable_draining();
  Send(message);
}

std::unique_ptr<ScriptedReplica> ScriptedReplica::Start(const std::string& fleet_address,
                                                        ScriptedReplicaOptions options) {
  return std::make_unique<StreamedReplica>(fleet_address, std::move(options));
}

}  // namespace unmask::testing
