#include "tests/coordinator/simulated_load.h"

#include <algorithm>
#include <utility>

namespace unmask::testing {

class SimulatedLoad::Sink : public SequenceSink {
 public:
  Sink(SimulatedLoad* load, Done done) : load_(*load), done_(std::move(done)) {
    outcome_.begun = load_.now_;
    load_.most_open_ = std::max(load_.most_open_, ++load_.open_);
  }

  void OnStarted() override {}
  void OnEvents(std::vector<v1::GenerateStreamResponse>) override {}
  void OnDone(absl::StatusOr<v1::GenerateResponse> response) override {
    outcome_.response = std::move(response);
    End();
  }
  void Refuse(const absl::Status& status) {
    outcome_.refused = status;
    End();
  }
  void Late() {
    outcome_.late = true;
    End();
  }
  bool over() const { return outcome_.over; }

 private:
  void End() {
    outcome_.over = true;
    outcome_.took = load_.now_ - outcome_.begun;
    --load_.open_;
    done_(outcome_);
  }

  SimulatedLoad& load_;
  const Done done_;
  Outcome outcome_;
};

SimulatedLoad::SimulatedLoad(SimulatedReplica replica)
    : replica_options_(replica),
      fleet_({.model_name = "tiny", .eot = 97, .now = [this] {
                return std::chrono::steady_clock::time_point(
                    std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(now_)));
              }}) {
  const uint64_t epoch = *fleet_.Attach(DescribeReplica("a", 1));
  internal::v1::ReplicaReady ready;
  ready.set_numerics("n1");
  ready.set_kv_positions(replica.kv_positions);
  ready.set_max_rows(1 << 20);
  replica_ = *fleet_.Ready(epoch, ready, [this](const internal::v1::CoordinatorMessage& message) {
    inbox_.push_back(message);
    Answer();
  });
}

void SimulatedLoad::Answer() {
  while (!computing_ && !inbox_.empty()) {
    const internal::v1::CoordinatorMessage message = std::move(inbox_.front());
    inbox_.pop_front();
    if (!message.has_step()) continue;
    int64_t rows = 0;
    for (const auto& window : message.step().windows()) {
      rows += window.tokens_size() + window.unconditional_tokens_size();
    }
    most_shared_ = std::max(most_shared_, message.step().windows_size());
    const double part = std::uniform_real_distribution<double>(-1, 1)(random_) * replica_options_.noise;
    const double time = (replica_options_.step + replica_options_.row * rows) * (1 + part);
    computing_ = true;
    At(now_ + time, [this, result = model_.Execute(message.step())] {
      computing_ = false;
      if (!replica_->OnResult(result).ok()) abort();
      Answer();
    });
  }
}

void SimulatedLoad::Begin(SequenceSpec spec, double deadline, bool told, Done done) {
  auto sequence = std::make_unique<DenoisingSequence>(fleet_.NextSequenceId(), std::move(spec));
  auto sink = std::make_shared<Sink>(this, std::move(done));
  sequence->sink = sink;
  const uint64_t id = sequence->id();
  const absl::Status status =
      fleet_.Submit(std::move(sequence), told ? absl::Seconds(deadline) : absl::InfiniteDuration());
  if (!status.ok()) {
    sink->Refuse(status);
    return;
  }
  At(now_ + deadline, [this, sink, id] {
    if (sink->over()) return;
    fleet_.Cancel(id);
    sink->Late();
  });
}

void SimulatedLoad::Submit(SequenceSpec spec, double deadline, Done done) {
  Begin(std::move(spec), deadline, /*told=*/true, std::move(done));
}

void SimulatedLoad::SubmitBlindly(SequenceSpec spec, double deadline, Done done) {
  Begin(std::move(spec), deadline, /*told=*/false, std::move(done));
}

void SimulatedLoad::RunUntil(double time) {
  while (!agenda_.empty() && agenda_.begin()->first <= time) {
    now_ = std::max(now_, agenda_.begin()->first);
    const std::function<void()> what = std::move(agenda_.begin()->second);
    agenda_.erase(agenda_.begin());
    what();
  }
  now_ = std::max(now_, time);
}

}  // namespace unmask::testing
