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

#include "bench/instant/replica.h"
#include "coordinator/server.h"
#include "unmask/v1/inference.grpc.pb.h"

namespace unmask::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kSteps = 64;
constexpr int kRequests = 200;

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
  InstantReplica replica((*server)->fleet_address(), {});
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
