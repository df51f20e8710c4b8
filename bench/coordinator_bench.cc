// coordinator_bench: what the coordinator and gRPC add to a step. A client, a coordinator and a replica that answers
// each Step at once, over real loopback connections; generations of the benchmark's shape, one after the other. Prints
// a JSON object: milliseconds a step, the median over requests, for Generate and for GenerateStream. Then how long a
// replica whose steps take their time has nothing to do between its answer and the next order, by the windows in it.
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

// A coordinator, a replica of it and a client.
struct Bench {
  explicit Bench(InstantReplicaOptions replica_options) {
    ServerOptions options;
    options.listen = options.fleet_listen = options.admin_listen = "127.0.0.1:0";
    options.model.model_name = "bench";
    auto started = Server::Start(std::move(options));
    if (!started.ok()) Fail(started.status().ToString());
    server = *std::move(started);
    replica = std::make_unique<InstantReplica>(server->fleet_address(), std::move(replica_options));
    stub =
        v1::InferenceService::NewStub(grpc::CreateChannel(server->grpc_address(), grpc::InsecureChannelCredentials()));
    const auto give_up = Clock::now() + std::chrono::seconds(10);
    int32_t steps = 0;
    while (!Call(stub.get(), false, &steps)) {  // Until the replica is ready.
      if (Clock::now() > give_up) Fail("no request succeeds");
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
  [[noreturn]] static void Fail(const std::string& why) {
    std::cerr << "coordinator_bench: " << why << "\n";
    std::exit(EXIT_FAILURE);
  }

  std::unique_ptr<Server> server;
  std::unique_ptr<InstantReplica> replica;
  std::unique_ptr<v1::InferenceService::Stub> stub;
};

// Microseconds between a replica's answer and its next order when `windows` sequences share each step of 5 ms: the
// median over the steps that all of them shared.
double Wait(int windows) {
  std::vector<double> waits;
  {
    Bench bench({.step_time = std::chrono::milliseconds(5),
                 .on_wait = [&waits, windows](std::chrono::nanoseconds waited, int of) {
                   if (of == windows) waits.push_back(waited.count() / 1e3);
                 }});
    std::vector<std::thread> clients;
    for (int i = 0; i < windows; ++i) {
      clients.emplace_back([&bench] {
        int32_t steps = 0;
        for (int n = 0; n < 3; ++n) Call(bench.stub.get(), /*streamed=*/true, &steps);
      });
    }
    for (std::thread& client : clients) client.join();
  }
  if (waits.size() < 50) Bench::Fail("too few steps were shared by " + std::to_string(windows) + " windows");
  return Median(std::move(waits));
}

int Main() {
  const Bench bench({});
  int32_t steps = 0;
  std::vector<double> times[2];
  for (int i = 0; i < kRequests; ++i) {
    const bool streamed = i % 2 == 1;
    const Clock::time_point begin = Clock::now();
    if (!Call(bench.stub.get(), streamed, &steps) || steps != kSteps) {
      Bench::Fail("a request failed or took " + std::to_string(steps) + " steps");
    }
    times[streamed].push_back(std::chrono::duration<double, std::milli>(Clock::now() - begin).count() / kSteps);
  }
  const auto best = [&](int i) { return *std::min_element(times[i].begin(), times[i].end()); };
  nlohmann::json waits;
  for (const int windows : {1, 8, 32}) waits[std::to_string(windows)] = Wait(windows);
  std::cout << nlohmann::json{{"generate_ms", Median(times[0])},
                              {"generate_best_ms", best(0)},
                              {"stream_ms", Median(times[1])},
                              {"stream_best_ms", best(1)},
                              {"wait_us", waits},
                              {"requests", kRequests}}
                   .dump()
            << std::endl;
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace unmask::bench

int main() { return unmask::bench::Main(); }
