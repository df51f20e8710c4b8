#include "bench/replica.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "coordinator/options.h"
#include "worker/safetensors.h"
#include "worker/tensor_plan.h"

namespace unmask::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kPrompt = 64, kGen = 64;

absl::StatusOr<BackendOptions> ToOptions(const std::string& dtype, int threads) {
  if (dtype == "fp32") return BackendOptions{.compute_dtype = DType::kF32, .threads = threads};
  if (dtype == "bf16") return BackendOptions{.compute_dtype = DType::kBf16, .threads = threads};
  if (dtype == "int8") {
    const DType rest = CpuComputesBf16() ? DType::kBf16 : DType::kF32;
    return BackendOptions{.compute_dtype = rest, .int8 = true, .threads = threads};
  }
  return absl::InvalidArgumentError(absl::StrCat("dtype \"", dtype, "\" is none of fp32, bf16, int8"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Replica>> Replica::Open(const std::string& folder, const std::string& dtype, int threads,
                                                       Communicator* ranks) {
  std::unique_ptr<Replica> replica(new Replica(ranks));
  UNMASK_RETURN_IF_ERROR(replica->Load(folder, dtype, threads));
  return replica;
}

absl::Status Replica::Load(const std::string& folder, const std::string& dtype, int threads) {
  UNMASK_ASSIGN_OR_RETURN(config_, ReadConfig(folder));
  UNMASK_ASSIGN_OR_RETURN(const auto checkpoint, Checkpoint::Open(folder));
  UNMASK_RETURN_IF_ERROR(CheckTensors(*checkpoint, config_));
  UNMASK_ASSIGN_OR_RETURN(shard_, MakeShard(config_.heads, config_.kv_heads, config_.mlp_size, config_.embedding_size,
                                            ranks_->size(), ranks_->rank()));
  UNMASK_ASSIGN_OR_RETURN(const BackendOptions options, ToOptions(dtype, threads));
  UNMASK_ASSIGN_OR_RETURN(auto backend, OpenBackend("cpu", options));
  backend_ = MakeProfilingBackend(std::move(backend), &profile_);
  UNMASK_ASSIGN_OR_RETURN(weights_, LoadWeights(*checkpoint, config_, shard_, backend_.get(), ranks_,
                                                [](int64_t, int64_t) { return absl::OkStatus(); }));
  const int32_t rows = std::max(2 * config_.max_sequence_length, kMostCompany * (kPrompt + kGen));
  UNMASK_ASSIGN_OR_RETURN(model_, Model::Make(config_, shard_, weights_, rows, backend_.get(), ranks_));
  kv_ = std::make_unique<KvCache>(backend_.get(), config_.layers, shard_.kv_heads.size() * config_.head_dim(),
                                  kMostCompany * config_.max_sequence_length);
  const StepLimits limits = {config_.embedding_size, config_.max_sequence_length, rows};
  engine_ = std::make_unique<Engine>(limits, model_.get(), kv_.get(), backend_.get(), ranks_);

  served_ = std::make_shared<ServedModel>();
  served_->name = folder;
  served_->shape.set_layers(config_.layers);
  served_->shape.set_vocab_size(config_.vocab_size);
  served_->shape.set_embedding_size(config_.embedding_size);
  served_->shape.set_max_sequence_length(config_.max_sequence_length);
  served_->shape.set_mask_token_id(config_.mask_token_id);
  served_->shape.set_eos_token_id(config_.eos_token_id);
  return absl::OkStatus();
}

void Replica::Begin(const SequenceSpec& spec, int company) {
  kv_->Clear();
  sequences_.clear();
  while (static_cast<int>(sequences_.size()) < company) {
    sequences_.push_back(std::make_unique<DenoisingSequence>(++last_id_, spec));
  }
}

absl::StatusOr<Replica::StepTime> Replica::Step() {
  ranks_->Barrier();
  profile_.Clear();
  const Clock::time_point begin = Clock::now();
  internal::v1::Step step;
  for (const auto& sequence : sequences_) *step.add_windows() = sequence->PlanWindow();
  UNMASK_ASSIGN_OR_RETURN(const auto result, engine_->Run(step));
  if (!result.error().empty()) return absl::InternalError(result.error());
  for (size_t i = 0; i < sequences_.size(); ++i) {
    UNMASK_RETURN_IF_ERROR(sequences_[i]->Advance(result.candidates(i)).status());
  }
  StepTime time;
  time.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  time.profile = profile_;
  for (const auto& window : step.windows()) time.sampled += window.sample_size();
  return time;
}

absl::StatusOr<internal::v1::StepResult> Replica::Run(const internal::v1::Window& window) {
  kv_->Clear();
  internal::v1::Step step;
  *step.add_windows() = window;
  UNMASK_ASSIGN_OR_RETURN(auto result, engine_->Run(step));
  if (!result.error().empty()) return absl::InternalError(result.error());
  return result;
}

absl::StatusOr<std::vector<float>> Replica::Logits() {
  const Tensor& states = model_->final_states();
  const PackedMatrix& head = *weights_.head;
  UNMASK_ASSIGN_OR_RETURN(const auto memory, backend_->Allocate(states.rows * head.rows() * 4));
  const Tensor logits = {DType::kF32, states.rows, head.rows(), head.rows(), memory->data()};
  backend_->MatMul(states, head, logits);
  std::vector<float> host(states.rows * head.rows());
  backend_->Download(logits, absl::MakeSpan(host));
  UNMASK_RETURN_IF_ERROR(backend_->Synchronize());
  return host;
}

SequenceSpec BenchSpec(const std::shared_ptr<const ServedModel>& model, v1::Cache cache) {
  SequenceSpec spec;
  spec.model = model;
  v1::GenerationOptions options;
  options.set_gen_length(kGen);
  options.set_block_length(32);
  options.set_steps(kGen);
  options.set_cache(cache);
  options.set_reference_parity(true);  // Every step is run: nothing ends early.
  spec.options = ResolveOptions(options, *model, kPrompt, /*drawn_seed=*/1).value();
  const int plain = std::min(16000, model->shape.vocab_size() - 100);  // No special tokens.
  for (int i = 0; i < kPrompt; ++i) spec.canvas.push_back(1 + i * 37 % plain);
  spec.prompt_length = kPrompt;
  spec.canvas.resize(kPrompt + kGen, model->mask());
  spec.output.set_canvas(true);
  return spec;
}

}  // namespace unmask::bench
