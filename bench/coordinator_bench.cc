// coordinator_bench: what the coordinator and gRPC add to a step. A client, a coordinator and a replica that answers
// each Step at once, over real loopback connections; generations of the benchmark's shape, one after the other. Prints
// a JSON object: milliseconds a step, the median over requests, for Generate and for GenerateStream.
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "coordinator/server.h"
#include "unmask/internal/v1/replica.grpc.pb.h"
#include "unmask/v1/inference.grpc.pb.h"

namespace unmask::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kSteps = 64;
constexpr int kRequests = 200;

// Says what a replica says, and answers a Step with tokens that are always the same.
class InstantReplica {
 public:
  explicit InstantReplica(const std::string& address)
      : stub_(
            internal::v1::FleetLinkService::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()))),
        stream_(stub_->Attach(&context_)) {
    internal::v1::ReplicaMessage message;
    *message.mutable_description() = Description();
    Write(message);
    reader_ = std::thread([this] { Read(); });
  }
  ~InstantReplica() {
    context_.TryCancel();
    reader_.join();
  }

  void Beat() {
    internal::v1::ReplicaMessage message;
    message.mutable_heartbeat();
    Write(message);
  }

 private:
  static internal::v1::ReplicaDescription Description() {
    internal::v1::ReplicaDescription description;
    description.set_name("instant");
    description.set_model("bench");
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
    v1::Shard* shard = description.add_ranks()->mutable_shard();
    shard->set_heads_end(16);
    shard->set_kv_heads_end(16);
    shard->set_columns_end(3072);
    shard->set_vocabulary_end(16384);
    return description;
  }

  void Read() {
    internal::v1::CoordinatorMessage order;
    while (stream_->Read(&order)) {
      internal::v1::ReplicaMessage message;
      if (order.has_attached()) {
        message.mutable_ready()->set_numerics("instant");
        message.mutable_ready()->set_kv_positions(1 << 20);
        message.mutable_ready()->set_max_rows(1 << 20);
      } else if (order.has_step()) {
        Answer(order.step(), message.mutable_result());
      } else {
        continue;
      }
      Write(message);
    }
    stream_->Finish();
  }

  static void Answer(const internal::v1::Step& step, internal::v1::StepResult* result) {
    result->set_id(step.id());
    result->set_epoch(step.epoch());
    for (const auto& window : step.windows()) {
      internal::v1::Candidates* candidates = result->add_candidates();
      for (int i = 0; i < window.sample_size(); ++i) {
        candidates->add_tokens(5);
        candidates->add_confidences(0.5f);
      }
    }
  }

  void Write(const internal::v1::ReplicaMessage& message) {
    MutexLock lock(&mutex_);
    stream_->Write(message);
  }

  const std::unique_ptr<internal::v1::FleetLinkService::Stub> stub_;
  grpc::ClientContext context_;
  const std::unique_ptr<grpc::ClientReaderWriter<internal::v1::ReplicaMessage, internal::v1::CoordinatorMessage>>
      stream_;
  Mutex mutex_;  // One writer at a time.
  std::thread reader_;
};

v1::GenerateRequest Request() {
  v1::GenerateRequest request;
  for (int i = 0; i < 64; ++i) request.mutable_token_ids()->add_ids(1 + i);
  request.mutable_options()->set_gen_length(kSteps);
  request.mutable_options()->set_block_length(32);
  request.mutable_options()->set_steps(kSteps);
  request.mutable_options()->set_seed(1);
  return request;
}

bool Call(v1::InferenceService::Stub* stub, bool streamed, int32_t* steps) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  context.set_wait_for_ready(true);
  if (!streamed) {
    v1::GenerateResponse response;
    const bool ok = stub->Generate(&context, Request(), &response).ok();
    *steps = response.usage().steps();
    return ok;
  }
  const auto reader = stub->GenerateStream(&context, Request());
  v1::GenerateStreamResponse event;
  while (reader->Read(&event)) {
    if (event.has_completed()) *steps = event.completed().usage().steps();
  }
  return reader->Finish().ok();
}

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

int Main() {
  ServerOptions options;
  options.listen = options.fleet_listen = options.admin_listen = "127.0.0.1:0";
  options.model.model_name = "bench";
  auto server = Server::Start(std::move(options));
  if (!server.ok()) {
    std::cerr << "coordinator_bench: " << server.status() << "\n";
    return EXIT_FAILURE;
  }
  InstantReplica replica((*server)->fleet_address());
  const auto stub =
      v1::InferenceService::NewStub(grpc::CreateChannel((*server)->grpc_address(), grpc::InsecureChannelCredentials()));
  const auto give_up = Clock::now() + std::chrono::seconds(10);
  int32_t steps = 0;
  while (!Call(stub.get(), false, &steps)) {  // Until the replica is ready.
    if (Clock::now() > give_up) {
      std::cerr << "coordinator_bench: no request succeeds\n";
      return EXIT_FAILURE;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  std::vector<double> times[2];
  for (int i = 0; i < kRequests; ++i) {
    replica.Beat();
    const bool streamed = i % 2 == 1;
    const Clock::time_point begin = Clock::now();
    if (!Call(stub.get(), streamed, &steps) || steps != kSteps) {
      std::cerr << "coordinator_bench: a request failed or took " << steps << " steps\n";
      return EXIT_FAILURE;
    }
    times[streamed].push_back(std::chrono::duration<double, std::milli>(Clock::now() - begin).count() / kSteps);
  }
  const auto best = [&](int i) { return *std::min_element(times[i].begin(), times[i].end()); };
  std::cout << nlohmann::json{{"generate_ms", Median(times[0])},
                              {"generate_best_ms", best(0)},
                              {"stream_ms", Median(times[1])},
                              {"stream_best_ms", best(1)},
                              {"requests", kRequests}}
                   .dump()
            << std::endl;
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace unmask::bench

int main() { return unmask::bench::Main(); }
