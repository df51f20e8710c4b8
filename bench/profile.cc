#include "bench/profile.h"

#include <chrono>
#include <utility>

#include "base/mutex.h"

namespace unmask::bench {
namespace {

class ProfilingBackend : public Backend {
 public:
  ProfilingBackend(std::unique_ptr<Backend> backend, Profile* profile)
      : backend_(std::move(backend)), profile_(*profile) {}

  std::string Numerics() const override { return backend_->Numerics(); }
  DType compute_dtype() const override { return backend_->compute_dtype(); }
  absl::StatusOr<std::unique_ptr<Buffer>> Allocate(int64_t bytes) override { return backend_->Allocate(bytes); }
  absl::StatusOr<std::unique_ptr<PackedMatrix>> Pack(absl::Span<const Tensor> slices) override {
    return backend_->Pack(slices);
  }
  absl::StatusOr<std::unique_ptr<PackedMatrix>> PackHead(absl::Span<const Tensor> slices) override {
    return backend_->PackHead(slices);
  }
  void Upload(const Tensor& host, const Tensor& device) override { backend_->Upload(host, device); }
  void Download(const Tensor& device, absl::Span<float> host) override { backend_->Download(device, host); }
  absl::Status Synchronize() override { return backend_->Synchronize(); }
  int parts_at_once() const override { return backend_->parts_at_once(); }
  void RunParts(int64_t count, absl::FunctionRef<void(int64_t)> part) override { backend_->RunParts(count, part); }

  void Embed(const Tensor& table, absl::Span<const int32_t> tokens, int32_t first_token, const Tensor& out) override {
    Time(Operation::kEmbed, [&] { backend_->Embed(table, tokens, first_token, out); });
  }
  void RmsNorm(const Tensor& in, const Tensor& weight, float epsilon, const Tensor& out) override {
    Time(Operation::kNorm, [&] { backend_->RmsNorm(in, weight, epsilon, out); });
  }
  void MatMul(const Tensor& in, const PackedMatrix& weight, const Tensor& out) override {
    Count(2.0 * in.rows * weight.rows() * weight.columns());
    Time(Operation::kMatMul, [&] { backend_->MatMul(in, weight, out); });
  }
  void MatMulSwiGlu(const Tensor& in, const PackedMatrix& weight, const Tensor& gate_up, const Tensor& out) override {
    Count(2.0 * in.rows * weight.rows() * weight.columns());
    Time(Operation::kMatMul, [&] { backend_->MatMulSwiGlu(in, weight, gate_up, out); });
  }
  void RotateAndStore(const RowLayout& layout, int layer, int heads, int kv_heads, int head_dim, float theta,
                      const Tensor& qkv) override {
    Time(Operation::kRotate, [&] { backend_->RotateAndStore(layout, layer, heads, kv_heads, head_dim, theta, qkv); });
  }
  void Attend(const RowLayout& layout, int layer, int heads, int head_dim, absl::Span<const int32_t> kv_map,
              const Tensor& q, const Tensor& out) override {
    Time(Operation::kAttend, [&] { backend_->Attend(layout, layer, heads, head_dim, kv_map, q, out); });
  }
  void SwiGlu(const Tensor& gate_up, const Tensor& out) override {
    Time(Operation::kMatMul, [&] { backend_->SwiGlu(gate_up, out); });
  }
  void Add(const Tensor& delta, const Tensor& sum) override {
    Time(Operation::kAdd, [&] { backend_->Add(delta, sum); });
  }
  void TakeRows(const Tensor& in, absl::Span<const int32_t> rows, const Tensor& out) override {
    Time(Operation::kTakeRows, [&] { backend_->TakeRows(in, rows, out); });
  }
  void PickCandidates(const Tensor& hidden, const PackedMatrix& head, int32_t first_token,
                      absl::Span<const SampleSpec> specs, absl::Span<CandidateRecord> records) override {
    Count(2.0 * static_cast<double>(specs.size()) * head.rows() * head.columns());
    Time(Operation::kPick, [&] { backend_->PickCandidates(hidden, head, first_token, specs, records); });
  }

 private:
  template <typename Call>
  void Time(Operation operation, const Call& call) {
    const auto begin = std::chrono::steady_clock::now();
    call();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    MutexLock lock(&mutex_);
    profile_[operation] += seconds;
  }
  void Count(double flop) {
    MutexLock lock(&mutex_);
    profile_.flop += flop;
  }

  Mutex mutex_;  // Parts issue operations at the same time.
  const std::unique_ptr<Backend> backend_;
  Profile& profile_;
};

}  // namespace

const char* NameOf(Operation operation) {
  constexpr const char* kNames[kOperations] = {"embedding", "norms",         "layer products", "rotary + K/V",
                                               "attention", "residual sums", "row gather",     "head + choice"};
  return kNames[static_cast<int>(operation)];
}

std::unique_ptr<Backend> MakeProfilingBackend(std::unique_ptr<Backend> backend, Profile* profile) {
  return std::make_unique<ProfilingBackend>(std::move(backend), profile);
}

}  // namespace unmask::bench
