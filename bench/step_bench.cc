// step_bench: one rank of the engine as an instrument. Reads a command a line, answers each with a line of JSON, so
// that a driver (bench/run.py) can interleave several of them and other engines, step by step, on a noisy machine.
// Under mpirun all ranks take part and rank 0 talks.
//
// - begin none|prefix|dual [N]: N (1) generations from their start, which share their steps
// - step: their next step (new ones where they are over): milliseconds, and those of each operation
// - onednn ROWS SAMPLED: the matrix products of such a step by oneDNN alone
// - bandwidth: bytes a second that the threads read
// - canvas: the first generation's tokens so far
#include <sys/prctl.h>
#include <time.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdlib>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bench/bare_onednn.h"
#include "bench/replica.h"
#include "cluster/communicator.h"

namespace unmask::bench {
namespace {

using nlohmann::json;

struct Flags {
  std::string model;
  std::string dtype = "fp32";
  int threads = 1;
  bool small_pages = false;
};

// That this process has had, over all its threads: what a crowded machine does not change.
double CpuSeconds() {
  timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

v1::Cache ToCache(const std::string& name) {
  return name == "prefix" ? v1::CACHE_PREFIX : name == "dual" ? v1::CACHE_DUAL : v1::CACHE_NONE;
}

class Instrument {
 public:
  Instrument(const Flags& flags, Replica* replica) : flags_(flags), replica_(*replica) {}

  absl::StatusOr<json> Do(const std::string& line) {
    std::istringstream words(line);
    std::string command;
    words >> command;
    if (command == "begin") {
      std::string cache;
      words >> cache;
      cache_ = ToCache(cache);
      if (!(words >> company_)) company_ = 1;
      if (company_ < 1 || company_ > Replica::kMostCompany) {
        return absl::InvalidArgumentError(absl::StrCat(company_, " generations are not 1 to ", Replica::kMostCompany));
      }
      Begin();
      return json{{"numerics", replica_.numerics()}};
    }
    if (command == "step") return Step();
    if (command == "onednn") {
      int64_t rows = 0, sampled = 0;
      words >> rows >> sampled;
      return OneDnn(rows, sampled);
    }
    if (command == "bandwidth") return json{{"bytes_per_second", ReadBandwidth(flags_.threads)}};
    if (command == "canvas") return json{{"canvas", Canvas()}};
    return absl::InvalidArgumentError("unknown command " + line);
  }

 private:
  void Begin() { replica_.Begin(BenchSpec(replica_.served(), cache_), company_); }

  absl::StatusOr<json> Step() {
    if (replica_.sequence() == nullptr || replica_.sequence()->done()) Begin();
    const double cpu = CpuSeconds();
    const auto step = replica_.Step();
    if (!step.ok()) return step.status();
    json operations;
    for (int i = 0; i < kOperations; ++i) {
      operations[NameOf(static_cast<Operation>(i))] = step->profile.seconds[i] * 1e3;
    }
    return json{{"ms", step->seconds * 1e3}, {"cpu_ms", (CpuSeconds() - cpu) * 1e3},
                {"operations", operations},  {"gflop", step->profile.flop * 1e-9},
                {"sampled", step->sampled},  {"done", replica_.sequence()->done()}};
  }

  // On a thread of its own: how many threads oneDNN may use is a setting of the calling thread.
  json OneDnn(int64_t rows, int64_t sampled) {
    double seconds = 0, flop = 0, cpu = 0;
    std::thread([&] {
      const Config& config = replica_.config();
      const auto shapes = StepShapes(config.hidden_size, config.layers, config.mlp_size, rows, sampled);
      for (const ProductShape& s : shapes) flop += 2.0 * s.rows * s.outputs * s.inputs;
      auto& bare = bare_[{rows, sampled}];
      if (bare == nullptr) {
        const ProductType type = flags_.dtype == "fp32"   ? ProductType::kF32
                                 : flags_.dtype == "bf16" ? ProductType::kBf16
                                                          : ProductType::kInt8;
        bare = MakeBareOneDnn(type, shapes, flags_.threads);
        bare->Run();
      }
      bare->Run();  // Wakes the threads.
      const double before = CpuSeconds();
      seconds = bare->Run();
      cpu = CpuSeconds() - before;
    }).join();
    return json{{"ms", seconds * 1e3}, {"cpu_ms", cpu * 1e3}, {"gflop", flop * 1e-9}};
  }

  json Canvas() const {
    json tokens = json::array();
    if (replica_.sequence() == nullptr || !replica_.sequence()->done()) return tokens;
    const v1::GenerateResponse response = replica_.sequence()->Response();
    for (const int32_t token : response.canvas()) tokens.push_back(token);
    return tokens;
  }

  const Flags flags_;
  Replica& replica_;
  v1::Cache cache_ = v1::CACHE_NONE;
  int company_ = 1;
  std::map<std::pair<int64_t, int64_t>, std::unique_ptr<BareOneDnn>> bare_;
};

int Fail(const absl::Status& status) {
  std::cerr << "step_bench: " << status << std::endl;
  return EXIT_FAILURE;
}

int Main(int argc, char** argv) {
  Flags flags;
  CLI::App app("One rank of the engine as an instrument; see bench/step_bench.cc", "step_bench");
  app.add_option("--model", flags.model, "folder of a checkpoint")->required();
  app.add_option("--dtype", flags.dtype, "fp32, bf16 or int8")->capture_default_str();
  app.add_option("--threads", flags.threads, "of this rank")->capture_default_str();
  app.add_flag("--small-pages", flags.small_pages, "pages of 4 KiB, to compare, whoever asks for larger ones");
  CLI11_PARSE(app, argc, argv);
  if (flags.small_pages && prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) != 0) {
    return Fail(absl::ErrnoToStatus(errno, "--small-pages"));
  }

  std::unique_ptr<Communicator> ranks = SoloCommunicator();
  if (std::getenv("OMPI_COMM_WORLD_SIZE") != nullptr) {
    auto mpi = MpiCommunicator(&argc, &argv);
    if (!mpi.ok()) return Fail(mpi.status());
    ranks = *std::move(mpi);
  }
  auto replica = Replica::Open(flags.model, flags.dtype, flags.threads, ranks.get());
  if (!replica.ok()) return Fail(replica.status());
  Instrument instrument(flags, replica->get());
  if (ranks->rank() == 0) std::cout << "ready" << std::endl;
  while (true) {
    std::string line;
    if (ranks->rank() == 0 && !std::getline(std::cin, line)) line.clear();
    ranks->Broadcast(&line);
    if (line.empty()) return EXIT_SUCCESS;  // The end of the input.
    const auto answer = instrument.Do(line);
    if (!answer.ok()) return Fail(answer.status());
    if (ranks->rank() == 0) std::cout << answer->dump() << std::endl;
  }
}

}  // namespace
}  // namespace unmask::bench

int main(int argc, char** argv) { return unmask::bench::Main(argc, argv); }
