// scale_bench: what deciding costs a coordinator that drives many replicas and many sequences, on one core. The fleet,
// its schedulers and their sequences are the service's own; replicas answer at once, by the thread that asks. Prints a
// JSON object: for each number of open sequences windows and steps a second of the coordinator's own processor time,
// and the bytes that a sequence takes.
//
//   scale_bench [REPLICAS [SEQUENCES...]]
#include <malloc.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "coordinator/fleet.h"

namespace unmask::bench {
namespace {

using internal::v1::CoordinatorMessage;
using internal::v1::StepResult;
using Clock = std::chrono::steady_clock;

constexpr int kPrompt = 64;
constexpr int kGenLength = 64;
constexpr int kBlockLength = 32;
constexpr int kWindows = 300'000;          // Measured for each number of sequences.
constexpr double kRow = 0.1 / (8.2 * 32);  // Seconds: a step near 100 ms holds eight windows of a block.

internal::v1::ReplicaDescription Describe(int replica) {
  internal::v1::ReplicaDescription description;
  description.set_name("replica-" + std::to_string(replica));
  description.set_model("bench");
  internal::v1::ModelShape* shape = description.mutable_shape();
  shape->set_layers(32);
  shape->set_hidden_size(4096);
  shape->set_heads(32);
  shape->set_kv_heads(32);
  shape->set_mlp_size(12288);
  shape->set_vocab_size(1000);
  shape->set_embedding_size(1000);
  shape->set_max_sequence_length(4096);
  shape->set_mask_token_id(999);
  shape->set_eos_token_id(998);
  shape->set_parameters(8'000'000'000);
  v1::Shard* shard = description.add_ranks()->mutable_shard();
  shard->set_heads_end(32);
  shard->set_kv_heads_end(32);
  shard->set_columns_end(12288);
  shard->set_vocabulary_end(1000);
  return description;
}

// Processor time of this thread: other programs may share its core.
double Processor() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return time.tv_sec + 1e-9 * time.tv_nsec;
}

int64_t ResidentBytes() {
  malloc_trim(0);
  std::ifstream file("/proc/self/statm");
  int64_t size = 0, resident = 0;
  file >> size >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

class Scale {
 public:
  explicit Scale(int replicas)
      : fleet_({.model_name = "bench", .now = [this] { return Clock::time_point(now_); }}), replicas_(replicas) {
    for (int i = 0; i < replicas; ++i) {
      const absl::StatusOr<uint64_t> epoch = fleet_.Attach(Describe(i));
      internal::v1::ReplicaReady ready;
      ready.set_numerics("bench");
      ready.set_kv_positions(1 << 20);
      ready.set_max_rows(1 << 20);
      ready.set_warm_up_row_nanos(static_cast<int64_t>(kRow * 1e9));
      const auto sender = [this, i](const CoordinatorMessage& message) {
        if (!message.has_step()) return;
        replicas_[i].step = message.step();
        replicas_[i].sent = now_;
      };
      replicas_[i].epoch = epoch.ok() ? *epoch : 0;
      auto made = epoch.ok() ? fleet_.Ready(*epoch, ready, sender) : epoch.status();
      if (!made.ok()) {
        std::cerr << "scale_bench: " << made.status() << "\n";
        exit(EXIT_FAILURE);
      }
      replicas_[i].replica = *made;
    }
  }

  nlohmann::json Measure(int sequences) {
    const int64_t before = ResidentBytes();
    const double begin = Processor();
    for (int i = 0; i < sequences; ++i) Submit();
    const double submit = (Processor() - begin) / sequences;
    RunSteps(20'000);  // Sequences drift apart, a block begins here and one ends there.
    const int64_t bytes = (ResidentBytes() - before) / sequences;
    windows_ = steps_ = 0;
    coordinator_ = 0;
    while (windows_ < kWindows) RunSteps(1000);
    const double seconds = coordinator_;
    const double look = Processor();
    const int open = fleet_.open_sequences();
    const double described = Processor() - look;
    return {{"sequences", open},
            {"windows_per_second", windows_ / seconds},
            {"steps_per_second", steps_ / seconds},
            {"windows_per_step", static_cast<double>(windows_) / steps_},
            {"us_per_step", 1e6 * seconds / steps_},
            {"us_per_window", 1e6 * seconds / windows_},
            {"us_per_submission", 1e6 * submit},
            {"ms_to_describe", 1e3 * described},
            {"bytes_per_sequence", bytes}};
  }

 private:
  struct Scripted {
    uint64_t epoch = 0;
    std::shared_ptr<Replica> replica;
    internal::v1::Step step;  // Id 0: none.
    Clock::duration sent{};
  };

  class Sink : public SequenceSink {
   public:
    explicit Sink(int* ended) : ended_(*ended) {}
    void OnStarted() override {}
    void OnEvents(std::vector<v1::GenerateStreamResponse>) override {}
    void OnDone(absl::StatusOr<v1::GenerateResponse>) override { ++ended_; }

   private:
    int& ended_;
  };

  void Submit() {
    SequenceSpec spec;
    spec.model = fleet_.model();
    spec.prompt_length = kPrompt;
    for (int i = 0; i < kPrompt; ++i) spec.canvas.push_back(i);
    spec.canvas.resize(kPrompt + kGenLength, spec.model->mask());
    spec.options.set_gen_length(kGenLength);
    spec.options.set_block_length(kBlockLength);
    spec.options.set_steps(kGenLength);
    spec.options.set_remasking(v1::REMASKING_LOW_CONFIDENCE);
    spec.options.set_cache(v1::CACHE_DUAL);
    const uint64_t id = fleet_.NextSequenceId();
    spec.options.set_seed(id);
    std::unique_ptr<Sequence> sequence = std::make_unique<DenoisingSequence>(id, std::move(spec));
    sequence->sink = std::make_shared<Sink>(&ended_);
    if (!fleet_.Submit(std::move(sequence), absl::Hours(100)).ok()) exit(EXIT_FAILURE);
  }

  // Answers replicas' steps in turn; whoever ends is followed by another.
  void RunSteps(int64_t count) {
    for (int64_t done = 0; done < count; next_ = (next_ + 1) % replicas_.size()) {
      Scripted& replica = replicas_[next_];
      if (replica.step.id() == 0) continue;
      const internal::v1::Step step = std::move(replica.step);
      replica.step.Clear();
      const StepResult result = Answer(step);
      int64_t rows = 0;
      for (const auto& window : step.windows()) rows += window.tokens_size();
      // Each replica's clock runs by itself: what is measured of it is what its own steps take.
      now_ = replica.sent + std::chrono::nanoseconds(static_cast<int64_t>(1e9 * kRow * rows));
      const double begin = Processor();
      if (!replica.replica->OnResult(result).ok()) exit(EXIT_FAILURE);
      fleet_.Rebalance(replica.epoch);
      coordinator_ += Processor() - begin;
      windows_ += step.windows_size();
      ++steps_;
      ++done;
      for (; ended_ > 0; --ended_) Submit();
    }
  }

  StepResult Answer(const internal::v1::Step& step) {
    StepResult result;
    result.set_id(step.id());
    result.set_epoch(step.epoch());
    for (const auto& window : step.windows()) {
      auto* candidates = result.add_candidates();
      for (int32_t position : window.sample()) {
        candidates->add_tokens(position % 900);
        candidates->add_confidences(0.5f + 0.001f * (position * 37 % 400));
      }
    }
    return result;
  }

  Clock::duration now_ = std::chrono::hours(1);
  Fleet fleet_;
  std::vector<Scripted> replicas_;
  size_t next_ = 0;
  int ended_ = 0;
  int64_t windows_ = 0;
  int64_t steps_ = 0;
  double coordinator_ = 0;  // Seconds.
};

int Main(int argc, char** argv) {
  const int replicas = argc > 1 ? std::atoi(argv[1]) : 1000;
  std::vector<int> numbers;
  for (int i = 2; i < argc; ++i) numbers.push_back(std::atoi(argv[i]));
  if (numbers.empty()) numbers = {10'000, 20'000, 50'000, 100'000};
  nlohmann::json report = {{"replicas", replicas}, {"runs", nlohmann::json::array()}};
  for (const int sequences : numbers) {
    report["runs"].push_back(Scale(replicas).Measure(sequences));
    std::cerr << report["runs"].back().dump() << "\n";
  }
  std::cout << report.dump(1) << std::endl;
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace unmask::bench

int main(int argc, char** argv) { return unmask::bench::Main(argc, argv); }
