// gpu_step_bench: the engine with random weights in LLaDA-8B's shape (or another), as an instrument: no checkpoint, no
// coordinator. Reads a command a line and answers each with a line of JSON, so that bench/gpu/run.py can take turns
// between it and the reference.
//
//   case SEQUENCES CONTEXT ROWS SAMPLED   what a step is from here on: windows of ROWS positions that end CONTEXT, of
//                                         which the last SAMPLED are sampled; K/V of all before is there
//   step                                  one step: milliseconds, and the FLOP and bytes that it cannot do without
#include <CLI/CLI.hpp>
#include <chrono>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/status.h"
#include "cluster/communicator.h"
#include "worker/engine.h"

namespace unmask::bench {
namespace {

using nlohmann::json;

struct Flags {
  std::string device = "cuda";
  std::string dtype = "bf16";
  int threads = 8;
  Config config;
};

// Numbers of a standard deviation of about 0.02, in bf16: one block, of which every matrix is a part.
class RandomMatrices {
 public:
  explicit RandomMatrices(int64_t elements) : numbers_(elements + kShift) {
    std::mt19937_64 random(1);
    std::uniform_real_distribution<float> uniform(-0.035f, 0.035f);
    std::vector<uint16_t> some(1 << 20);
    for (uint16_t& number : some) number = static_cast<uint16_t>(__builtin_bit_cast(uint32_t, uniform(random)) >> 16);
    for (size_t i = 0; i < numbers_.size(); ++i) numbers_[i] = some[(i * 7919 + i / some.size()) % some.size()];
  }
  // Another one each time.
  Tensor Next(int64_t rows, int64_t columns) {
    next_ = (next_ + 4099) % kShift;
    return {DType::kBf16, rows, columns, columns, numbers_.data() + next_};
  }

 private:
  static constexpr int64_t kShift = 1 << 16;
  std::vector<uint16_t> numbers_;
  int64_t next_ = 0;
};

class Instrument {
 public:
  static absl::StatusOr<std::unique_ptr<Instrument>> Open(const Flags& flags);
  absl::StatusOr<json> Do(const std::string& line);
  std::string numerics() const { return backend_->Numerics(); }

 private:
  explicit Instrument(const Flags& flags) : config_(flags.config), ranks_(SoloCommunicator()) {}
  absl::Status MakeWeights();
  absl::StatusOr<OwnedTensor> Norm();
  absl::StatusOr<json> Begin(std::istringstream& words);
  internal::v1::Step StepOf(int begin, int sampled) const;

  const Config config_;
  const std::unique_ptr<Communicator> ranks_;
  Shard shard_;
  std::unique_ptr<Backend> backend_;  // Outlives everything below.
  Weights weights_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<KvCache> kv_;
  std::unique_ptr<Engine> engine_;
  int sequences_ = 0, context_ = 0, rows_ = 0, sampled_ = 0;
};

absl::StatusOr<std::unique_ptr<Instrument>> Instrument::Open(const Flags& flags) {
  std::unique_ptr<Instrument> it(new Instrument(flags));
  const Config& c = it->config_;
  UNMASK_ASSIGN_OR_RETURN(it->shard_, MakeShard(c.heads, c.kv_heads, c.mlp_size, c.embedding_size, 1, 0));
  const DType dtype = flags.dtype == "fp32" ? DType::kF32 : DType::kBf16;
  UNMASK_ASSIGN_OR_RETURN(it->backend_, OpenBackend(flags.device, {.compute_dtype = dtype, .threads = flags.threads}));
  UNMASK_RETURN_IF_ERROR(it->MakeWeights());
  const int32_t rows = 2 * c.max_sequence_length;
  UNMASK_ASSIGN_OR_RETURN(it->model_,
                          Model::Make(c, it->shard_, it->weights_, rows, it->backend_.get(), it->ranks_.get()));
  it->kv_ = std::make_unique<KvCache>(it->backend_.get(), c.layers, c.kv_heads * c.head_dim(), int64_t{1} << 20);
  it->engine_ = std::make_unique<Engine>(StepLimits{c.embedding_size, c.max_sequence_length, rows}, it->model_.get(),
                                         it->kv_.get(), it->backend_.get(), it->ranks_.get());
  return it;
}

absl::StatusOr<OwnedTensor> Instrument::Norm() {
  const std::vector<float> ones(config_.hidden_size, 1.0f);
  OwnedTensor norm;
  UNMASK_ASSIGN_OR_RETURN(norm.memory, backend_->Allocate(config_.hidden_size * 4));
  norm.tensor = {DType::kF32, 1, config_.hidden_size, config_.hidden_size, norm.memory->data()};
  backend_->Upload({DType::kF32, 1, config_.hidden_size, config_.hidden_size, const_cast<float*>(ones.data())},
                   norm.tensor);
  UNMASK_RETURN_IF_ERROR(backend_->Synchronize());
  return norm;
}

absl::Status Instrument::MakeWeights() {
  const int64_t d = config_.hidden_size, kv = int64_t{config_.kv_heads} * config_.head_dim(), mlp = config_.mlp_size;
  const int64_t vocabulary = config_.embedding_size;
  RandomMatrices random(std::max(vocabulary, mlp) * d);
  const Tensor table = random.Next(vocabulary, d);
  UNMASK_ASSIGN_OR_RETURN(weights_.embedding.memory, backend_->Allocate(vocabulary * d * 2));
  weights_.embedding.tensor = {DType::kBf16, vocabulary, d, d, weights_.embedding.memory->data()};
  backend_->Upload(table, weights_.embedding.tensor);
  for (int layer = 0; layer < config_.layers; ++layer) {
    LayerWeights w;
    UNMASK_ASSIGN_OR_RETURN(w.attention_norm, Norm());
    UNMASK_ASSIGN_OR_RETURN(w.mlp_norm, Norm());
    const Tensor q = random.Next(d, d), k = random.Next(kv, d), v = random.Next(kv, d);
    if (layer + 1 < config_.layers) {
      UNMASK_ASSIGN_OR_RETURN(w.qkv, backend_->Pack({q, k, v}));
    } else {
      UNMASK_ASSIGN_OR_RETURN(w.query, backend_->Pack({q}));
      UNMASK_ASSIGN_OR_RETURN(w.key_value, backend_->Pack({k, v}));
    }
    UNMASK_ASSIGN_OR_RETURN(w.attention_out, backend_->Pack({random.Next(d, d)}));
    const Tensor gate = random.Next(mlp, d), up = random.Next(mlp, d);
    UNMASK_ASSIGN_OR_RETURN(w.gate_up, backend_->Pack({gate, up}));
    UNMASK_ASSIGN_OR_RETURN(w.down, backend_->Pack({random.Next(d, mlp)}));
    weights_.layers.push_back(std::move(w));
  }
  UNMASK_ASSIGN_OR_RETURN(weights_.final_norm, Norm());
  UNMASK_ASSIGN_OR_RETURN(weights_.head, backend_->PackHead({random.Next(vocabulary, d)}));
  return backend_->Synchronize();
}

internal::v1::Step Instrument::StepOf(int begin, int sampled) const {
  internal::v1::Step step;
  for (int i = 0; i < sequences_; ++i) {
    internal::v1::Window& window = *step.add_windows();
    window.set_sequence(i + 1);
    window.set_length(context_);
    window.set_begin(begin);
    window.add_horizons(context_);
    for (int position = begin; position < context_; ++position) {
      window.add_tokens((position * 37 + i * 101) % (config_.vocab_size - 1));
      if (position >= context_ - sampled) window.add_sample(position);
    }
  }
  return step;
}

absl::StatusOr<json> Instrument::Begin(std::istringstream& words) {
  words >> sequences_ >> context_ >> rows_ >> sampled_;
  kv_->Clear();
  const int all = sequences_;
  // The K/V of the whole canvas, a sequence at a time: a step has only so many rows.
  const internal::v1::Step whole = StepOf(0, 0);
  for (int i = 0; i < all; ++i) {
    internal::v1::Step one;
    *one.add_windows() = whole.windows(i);
    UNMASK_ASSIGN_OR_RETURN(const auto result, engine_->Run(one));
    if (!result.error().empty()) return absl::InternalError(result.error());
  }
  return json{{"numerics", numerics()}};
}

absl::StatusOr<json> Instrument::Do(const std::string& line) {
  std::istringstream words(line);
  std::string command;
  words >> command;
  if (command == "case") return Begin(words);
  if (command != "step") return absl::InvalidArgumentError("unknown command " + line);
  const internal::v1::Step step = StepOf(context_ - rows_, sampled_);
  const auto begin = std::chrono::steady_clock::now();
  UNMASK_ASSIGN_OR_RETURN(const auto result, engine_->Run(step));
  const std::chrono::duration<double, std::milli> elapsed = std::chrono::steady_clock::now() - begin;
  if (!result.error().empty()) return absl::InternalError(result.error());

  const double d = config_.hidden_size, kv = double(config_.kv_heads) * config_.head_dim(), layers = config_.layers;
  const double layer = 2 * d * d + 2 * d * kv + 3 * d * config_.mlp_size, head = d * config_.embedding_size;
  const double rows = double(sequences_) * rows_, sampled = double(sequences_) * sampled_;
  // The last layer: keys and values of all rows, the rest of sampled ones.
  const double products = rows * ((layers - 1) * layer + 2 * d * kv) + sampled * (layer - 2 * d * kv + head);
  const double attention = 2 * context_ * d * (rows * (layers - 1) + sampled);
  const double bytes = 2 * (layers * layer + head) + sequences_ * double(context_) * 2 * kv * 2 * layers;
  return json{{"ms", elapsed.count()}, {"tflop", 2e-12 * (products + attention)}, {"gbyte", 1e-9 * bytes}};
}

int Main(int argc, char** argv) {
  Flags flags;
  Config& c = flags.config;
  c.layers = 32, c.hidden_size = 4096, c.heads = 32, c.kv_heads = 32, c.mlp_size = 12288;
  c.vocab_size = c.embedding_size = 126464, c.max_sequence_length = 4096;
  c.norm_epsilon = 1e-5f, c.rope_theta = 500000;
  CLI::App app("The engine with random weights, as an instrument; see bench/gpu/step_bench.cc", "gpu_step_bench");
  app.add_option("--device", flags.device, "cpu or cuda")->capture_default_str();
  app.add_option("--dtype", flags.dtype, "fp32 or bf16")->capture_default_str();
  app.add_option("--threads", flags.threads, "that load")->capture_default_str();
  app.add_option("--layers", c.layers)->capture_default_str();
  app.add_option("--hidden", c.hidden_size)->capture_default_str();
  app.add_option("--heads", c.heads)->capture_default_str();
  app.add_option("--mlp", c.mlp_size)->capture_default_str();
  app.add_option("--vocabulary", c.embedding_size)->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  c.kv_heads = c.heads;
  c.vocab_size = c.embedding_size;
  auto instrument = Instrument::Open(flags);
  if (!instrument.ok()) {
    std::cerr << "gpu_step_bench: " << instrument.status() << std::endl;
    return EXIT_FAILURE;
  }
  std::cout << "ready" << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    const auto answer = (*instrument)->Do(line);
    if (!answer.ok()) {
      std::cerr << "gpu_step_bench: " << answer.status() << std::endl;
      return EXIT_FAILURE;
    }
    std::cout << answer->dump() << std::endl;
  }
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace unmask::bench

int main(int argc, char** argv) { return unmask::bench::Main(argc, argv); }
