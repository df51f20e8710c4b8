// batch_bench: a batch job's throughput beside that of the same prompts through concurrent calls. A coordinator with a
// store on disk, a replica without a model whose steps take 4 ms and 20 us a row, and clients, in one process over real
// loopback connections; rounds alternate. Prints a JSON object: lines a second of both, their ratio (medians over
// rounds), and the process' resident memory after each tenth of the first job.
//
//   batch_bench [LINES] [ROUNDS] [CALLS AT A TIME]      10000 3 32
#include <grpcpp/grpcpp.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "bench/instant/replica.h"
#include "coordinator/server.h"
#include "google/protobuf/util/json_util.h"
#include "unmask/v1/batch_service.grpc.pb.h"
#include "unmask/v1/inference.grpc.pb.h"

namespace unmask::bench {
namespace {

using Clock = std::chrono::steady_clock;

// Prompts of 16 to 79 ids, 32 tokens in 16 steps.
v1::GenerateRequest Request(int line) {
  v1::GenerateRequest request;
  for (int i = 0; i < 16 + line % 64; ++i) request.mutable_token_ids()->add_ids(1 + (line + i) % 90);
  request.mutable_options()->set_gen_length(32);
  request.mutable_options()->set_steps(16);
  request.mutable_options()->set_seed(line);
  request.mutable_output()->set_token_ids(true);
  return request;
}

std::string Lines(int count) {
  std::string lines;
  for (int i = 0; i < count; ++i) {
    std::string request;
    (void)google::protobuf::util::MessageToJsonString(Request(i), &request);
    lines += "{\"custom_id\": \"" + std::to_string(i) + "\", \"generate\": " + request + "}\n";
  }
  return lines;
}

double ResidentMb() {
  int64_t total = 0;
  int64_t resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return static_cast<double>(resident * sysconf(_SC_PAGESIZE)) / 1e6;
}

void Fail(const std::string& what) {
  std::cerr << "batch_bench: " << what << "\n";
  exit(1);
}

// Lines a second from the creation to the end; memory after each tenth.
double Job(v1::BatchService::Stub* stub, const std::string& path, std::vector<double>* memory) {
  v1::CreateBatchJobRequest create;
  create.set_path(path);
  v1::CreateBatchJobResponse created;
  grpc::ClientContext creating;
  const auto begin = Clock::now();
  if (const auto status = stub->CreateBatchJob(&creating, create, &created); !status.ok()) Fail(status.error_message());
  v1::WatchBatchJobRequest watch;
  watch.set_name(created.job().name());
  grpc::ClientContext watching;
  const auto reader = stub->WatchBatchJob(&watching, watch);
  v1::WatchBatchJobResponse seen;
  while (reader->Read(&seen)) {
    const auto& counts = seen.job().counts();
    while (counts.succeeded() * 10 >= counts.total() * static_cast<int64_t>(memory->size() + 1)) {
      memory->push_back(ResidentMb());
    }
  }
  const std::chrono::duration<double> taken = Clock::now() - begin;
  if (seen.job().counts().succeeded() != seen.job().counts().total()) Fail(seen.job().ShortDebugString());
  return static_cast<double>(seen.job().counts().total()) / taken.count();
}

double Calls(const std::string& address, int lines, int at_a_time) {
  std::atomic<int> next = 0;
  const auto begin = Clock::now();
  std::vector<std::thread> clients;
  for (int c = 0; c < at_a_time; ++c) {
    clients.emplace_back([&] {
      grpc::ChannelArguments own;
      own.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
      const auto stub =
          v1::InferenceService::NewStub(grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), own));
      for (int line = next++; line < lines; line = next++) {
        grpc::ClientContext context;
        v1::GenerateResponse response;
        if (const auto status = stub->Generate(&context, Request(line), &response); !status.ok()) {
          Fail(status.error_message());
        }
      }
    });
  }
  for (std::thread& client : clients) client.join();
  return lines / std::chrono::duration<double>(Clock::now() - begin).count();
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// A service of its own for each measurement: batch work gives way for a minute after interactive requests.
class Service {
 public:
  explicit Service(int lines) : folder_(std::filesystem::temp_directory_path() / "unmask-batch-bench-XXXXXX") {
    if (mkdtemp(folder_.data()) == nullptr) Fail(folder_);
    ServerOptions options;
    options.listen = options.fleet_listen = options.admin_listen = "127.0.0.1:0";
    options.model.model_name = "bench";
    options.store = folder_;
    auto server = Server::Start(options);
    if (!server.ok()) Fail(std::string(server.status().message()));
    server_ = *std::move(server);
    InstantReplicaOptions slow;
    slow.step_time = std::chrono::milliseconds(4);
    slow.row_time = std::chrono::microseconds(20);
    replica_ = std::make_unique<InstantReplica>(server_->fleet_address(), slow);
    while (!server_->fleet().AnyReady()) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    std::ofstream(folder_ + "/files/in.jsonl") << Lines(lines);
  }
  ~Service() {
    server_.reset();
    std::filesystem::remove_all(folder_);
  }
  const std::string& address() const { return server_->grpc_address(); }

 private:
  std::string folder_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<InstantReplica> replica_;
};

int Run(int lines, int rounds, int at_a_time) {
  std::vector<double> jobs;
  std::vector<double> calls;
  std::vector<double> ratios;
  std::vector<double> first_memory;
  for (int round = 0; round < rounds; ++round) {
    std::vector<double> memory;
    {
      const Service service(lines);
      const auto stub =
          v1::BatchService::NewStub(grpc::CreateChannel(service.address(), grpc::InsecureChannelCredentials()));
      jobs.push_back(Job(stub.get(), "in.jsonl", &memory));
    }
    if (round == 0) first_memory = memory;
    const Service service(lines);
    calls.push_back(Calls(service.address(), lines, at_a_time));
    ratios.push_back(jobs.back() / calls.back());
  }
  const nlohmann::json report = {{"lines", lines},
                                 {"job_lines_per_second", Median(jobs)},
                                 {"calls_at_a_time", at_a_time},
                                 {"calls_per_second", Median(calls)},
                                 {"ratio", Median(ratios)},
                                 {"ratios", ratios},
                                 {"resident_mb_by_tenth", first_memory}};
  std::cout << report.dump(2) << std::endl;
  return 0;
}

}  // namespace
}  // namespace unmask::bench

int main(int argc, char** argv) {
  const auto number = [&](int index, int otherwise) { return argc > index ? atoi(argv[index]) : otherwise; };
  return unmask::bench::Run(number(1, 10000), number(2, 3), number(3, 32));
}
