// A rank under test: steps in, results out, and the logits behind them. Under mpirun all ranks do the same.
#ifndef UNMASK_TESTS_WORKER_RANK_HARNESS_H_
#define UNMASK_TESTS_WORKER_RANK_HARNESS_H_

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "cluster/communicator.h"
#include "unmask/internal/v1/replica.pb.h"
#include "worker/rank.h"

namespace unmask::testing {

// All ranks of this test: of mpirun, or one.
Communicator* Ranks();

class RankHarness {
 public:
  RankHarness(const std::string& model, const std::string& dtype, Communicator* ranks, int threads = 1)
      : ranks_(ranks) {
    RankOptions options;
    options.model = model;
    options.dtype = dtype;
    if (const char* device = std::getenv("UNMASK_TEST_DEVICE")) options.device = device;
    options.threads = threads;
    options.kv_memory = 64 << 20;
    auto rank = Rank::Open(options, ranks);
    if (!rank.ok()) throw std::runtime_error(rank.status().ToString());
    rank_ = *std::move(rank);
    const absl::Status loaded = rank_->Load([](int64_t, int64_t) { return absl::OkStatus(); });
    if (!loaded.ok()) throw std::runtime_error(loaded.ToString());
  }

  Rank& operator*() { return *rank_; }
  Rank* operator->() { return rank_.get(); }

  internal::v1::StepResult Run(const internal::v1::Step& step) {
    auto result = rank_->engine()->Run(step);
    if (!result.ok()) throw std::runtime_error(result.status().ToString());
    return *std::move(result);
  }

  // Of the last step: a row for each sampled row, over the whole vocabulary.
  std::vector<std::vector<float>> Logits() {
    const Tensor& states = rank_->model()->final_states();
    const PackedMatrix& head = *rank_->weights().head;
    auto memory = rank_->backend()->Allocate(states.rows * head.rows() * 4);
    const Tensor logits = {DType::kF32, states.rows, head.rows(), head.rows(), (*memory)->data()};
    rank_->backend()->MatMul(states, head, logits);
    std::vector<float> own(states.rows * head.rows());
    rank_->backend()->Download(logits, absl::MakeSpan(own));
    if (!rank_->backend()->Synchronize().ok()) throw std::runtime_error("head");
    std::vector<std::vector<float>> rows(states.rows);
    for (const std::string& bytes :
         ranks_->AllGather(std::string(reinterpret_cast<char*>(own.data()), own.size() * 4))) {
      const size_t columns = bytes.size() / 4 / rows.size();
      for (size_t row = 0; row < rows.size(); ++row) {
        const size_t old = rows[row].size();
        rows[row].resize(old + columns);
        std::memcpy(rows[row].data() + old, bytes.data() + row * columns * 4, columns * 4);
      }
    }
    return rows;
  }

 private:
  Communicator* const ranks_;
  std::unique_ptr<Rank> rank_;
};

// A window of all of `tokens` that samples each.
inline internal::v1::Window FullWindow(uint64_t sequence, const std::vector<int32_t>& tokens) {
  internal::v1::Window window;
  window.set_sequence(sequence);
  window.set_length(static_cast<int32_t>(tokens.size()));
  window.add_horizons(static_cast<int32_t>(tokens.size()));
  for (size_t i = 0; i < tokens.size(); ++i) {
    window.add_tokens(tokens[i]);
    window.add_sample(static_cast<int32_t>(i));
  }
  return window;
}

// The part [begin, end) of a canvas, all sampled.
inline internal::v1::Window PartWindow(uint64_t sequence, const std::vector<int32_t>& canvas, int begin, int end) {
  internal::v1::Window window;
  window.set_sequence(sequence);
  window.set_length(static_cast<int32_t>(canvas.size()));
  window.set_begin(begin);
  window.add_horizons(static_cast<int32_t>(canvas.size()));
  for (int i = begin; i < end; ++i) {
    window.add_tokens(canvas[i]);
    window.add_sample(i);
  }
  return window;
}

}  // namespace unmask::testing

#endif  // UNMASK_TESTS_WORKER_RANK_HARNESS_H_
