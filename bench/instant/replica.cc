#include "bench/instant/replica.h"

#include <utility>

namespace unmask::bench {
namespace {

constexpr std::chrono::seconds kHeartbeat(1);

internal::v1::ReplicaDescription Description(const InstantReplicaOptions& options) {
  internal::v1::ReplicaDescription description;
  description.set_name(options.name);
  description.set_model(options.model);
  description.set_dtype("fp32");
  internal::v1::ModelShape* shape = description.mutable_shape();
  shape->set_layers(16);
  shape->set_hidden_size(1024);
  shape->set_heads(16);
  shape->set_kv_heads(16);
  shape->set_mlp_size(3072);
  shape->set_vocab_size(16384);
  shape->set_embedding_size(16384);
  shape->set_max_sequence_length(4096);
  shape->set_mask_token_id(16382);
  shape->set_eos_token_id(16381);
  shape->set_parameters(251'658'240);  // Of such a model. Without any, a row would cost nothing but its attention.
  v1::Shard* shard = description.add_ranks()->mutable_shard();
  shard->set_heads_end(16);
  shard->set_kv_heads_end(16);
  shard->set_columns_end(3072);
  shard->set_vocabulary_end(16384);
  return description;
}

void Answer(const internal::v1::Step& step, internal::v1::StepResult* result) {
  result->set_id(step.id());
  result->set_epoch(step.epoch());
  for (const auto& window : step.windows()) {
    internal::v1::Candidates* candidates = result->add_candidates();
    for (int i = 0; i < window.sample_size(); ++i) {
      candidates->add_tokens(5);
      candidates->add_confidences(0.5f);
      if (window.sampling().margin()) candidates->add_margins(0.25f);
      if (window.sampling().entropy()) candidates->add_entropies(1.0f);
      if (window.asked_size() > 0) candidates->add_log_probabilities(-1.0f);
    }
  }
}

int64_t Rows(const internal::v1::Step& step) {
  int64_t rows = 0;
  for (const auto& window : step.windows()) rows += window.tokens_size() + window.unconditional_tokens_size();
  return rows;
}

}  // namespace

InstantReplica::InstantReplica(const std::string& address, InstantReplicaOptions options)
    : options_(std::move(options)),
      stub_(internal::v1::FleetLinkService::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()))),
      stream_(stub_->Attach(&context_)) {
  internal::v1::ReplicaMessage message;
  *message.mutable_description() = Description(options_);
  Write(message);
  reader_ = std::thread([this] { Read(); });
  heart_ = std::thread([this] { Beat(); });
}

InstantReplica::~InstantReplica() {
  context_.TryCancel();
  Wait();
  reader_.join();
  heart_.join();
}

void InstantReplica::Drain() {
  internal::v1::ReplicaMessage message;
  message.mutable_draining();
  Write(message);
}

void InstantReplica::Wait() {
  MutexLock lock(&mutex_);
  while (!ended_) changed_.Wait(&mutex_);
}

void InstantReplica::Read() {
  internal::v1::CoordinatorMessage order;
  auto answered = std::chrono::steady_clock::now();
  while (stream_->Read(&order)) {
    internal::v1::ReplicaMessage message;
    if (order.has_attached()) {
      message.mutable_ready()->set_numerics("instant");
      message.mutable_ready()->set_kv_positions(options_.kv_positions);
      message.mutable_ready()->set_max_rows(1 << 20);
    } else if (order.has_step()) {
      if (options_.on_wait) options_.on_wait(std::chrono::steady_clock::now() - answered, order.step().windows_size());
      std::this_thread::sleep_for(options_.step_time + options_.row_time * Rows(order.step()));
      Answer(order.step(), message.mutable_result());
    } else {
      continue;
    }
    answered = std::chrono::steady_clock::now();
    Write(message);
  }
  stream_->Finish();
  MutexLock lock(&mutex_);
  ended_ = true;
  changed_.SignalAll();
}

void InstantReplica::Beat() {
  while (true) {
    internal::v1::ReplicaMessage message;
    message.mutable_heartbeat();
    MutexLock lock(&mutex_);
    if (ended_) return;
    stream_->Write(message);
    const auto next = std::chrono::steady_clock::now() + kHeartbeat;
    while (!ended_ && std::chrono::steady_clock::now() < next) changed_.WaitUntil(&mutex_, next);
  }
}

void InstantReplica::Write(const internal::v1::ReplicaMessage& message) {
  MutexLock lock(&mutex_);
  stream_->Write(message);
}

}  // namespace unmask::bench
