// A device's operations, at the height of the model's own: the forward pass (worker/model.cc), batching, sharding and
// cache policy exist once above it.
//
// Operations are issued in order, return nothing and stick at the first failure, which Synchronize() returns once a
// step. One thread at a time, but for the parts of RunParts. Every operation keeps one reduction order per row,
// whatever the number of rows or threads: a row's bits do not depend on its neighbours.
//
// Element types: the residual stream, matrix products and logits are fp32; what feeds a matrix product (a norm's
// output, attention's, SwiGLU's) and the K/V are of the compute dtype.
#ifndef UNMASK_KERNELS_BACKEND_H_
#define UNMASK_KERNELS_BACKEND_H_

#include <climits>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "kernels/candidate.h"
#include "kernels/device_queue.h"
#include "kernels/tensor.h"

namespace unmask {

// Device memory; freed with the object, which must not outlive its Backend.
class Buffer {
 public:
  virtual ~Buffer() = default;
  virtual void* data() = 0;
};

// A weight as the backend wants it: layout and precision are its own.
class PackedMatrix {
 public:
  virtual ~PackedMatrix() = default;
  virtual int64_t rows() const = 0;     // Outputs.
  virtual int64_t columns() const = 0;  // Inputs.
  virtual int64_t bytes() const = 0;
};

// The K/V of one sequence (or of one branch of a guided one) on this rank: row layer * length + position.
struct KvSlot {
  int64_t length = 0;
  Tensor keys;    // (layers * length, kv_heads * head_dim), rotated.
  Tensor values;  // the same shape
};

// Rows of a step, ragged and never padded. Rows of one K/V slot are consecutive.
struct RowLayout {
  struct Group {
    int32_t begin = 0;  // Rows [begin, end).
    int32_t end = 0;
    const KvSlot* slot = nullptr;
  };
  std::vector<int32_t> positions;  // Of each row, in its sequence.
  std::vector<int32_t> horizons;   // Each row attends to positions [0, horizon).
  std::vector<Group> groups;
};

// What a sampled row proposes. Mirrors unmask.internal.v1.Sampling, and one entry of Window.asked.
struct SampleSpec {
  int32_t row = 0;                 // Of the hidden states given.
  int32_t unconditional_row = -1;  // Guidance: logits = u + (cfg_scale + 1) (c - u), u from this row; -1: none.
  float cfg_scale = 0;
  float temperature = 0;
  uint64_t seed = 0;
  uint32_t noise_step = 0;
  uint32_t position = 0;
  absl::Span<const int32_t> suppressed;   // Ids with logit -inf before argmax and softmax.
  int32_t token_bound = 0;                // Ids >= this likewise; 0: none.
  absl::Span<const int32_t> unconfident;  // Ids with logit -inf in the confidence softmax alone.
  int32_t asked = -1;                     // An id whose logit the record tells, as that softmax sees it; -1: none.
};

class Backend {
 public:
  virtual ~Backend() = default;

  // The kind of device and what else decides bits: "cpu avx512_core_bf16 onednn-2.6.3".
  virtual std::string Numerics() const = 0;
  virtual DType compute_dtype() const = 0;

  // Uninitialised memory; never null. RESOURCE_EXHAUSTED when there is none.
  virtual absl::StatusOr<std::unique_ptr<Buffer>> Allocate(int64_t bytes) = 0;

  // Packs the matrix made of `slices` stacked by rows (q over k over v, gate over up). Slices lie in host memory in any
  // DType and are only read during the call. All have the same number of columns (inputs).
  virtual absl::StatusOr<std::unique_ptr<PackedMatrix>> Pack(absl::Span<const Tensor> slices) = 0;
  // The same for PickCandidates' matrix, which is never quantised: its errors would go straight into the choice.
  virtual absl::StatusOr<std::unique_ptr<PackedMatrix>> PackHead(absl::Span<const Tensor> slices) {
    return Pack(slices);
  }

  // Copies a host matrix of any DType to device memory as `dtype` (norm weights as kF32, an embedding table as stored).
  virtual void Upload(const Tensor& host, const Tensor& device) = 0;

  // out[r] = table[tokens[r] - first_token], or 0 where that is no row of the table: the ranks' results add up.
  // table: (vocabulary rows of this rank, hidden), any dtype. out: (tokens, hidden) fp32.
  virtual void Embed(const Tensor& table, absl::Span<const int32_t> tokens, int32_t first_token, const Tensor& out) = 0;

  // out[r] = round(in[r] * rsqrt(mean(in[r]^2) + epsilon)) * weight, both steps in out's dtype as in LLaDA's
  // RMSLayerNorm. in: fp32. weight: (1, hidden) fp32. out: compute dtype.
  virtual void RmsNorm(const Tensor& in, const Tensor& weight, float epsilon, const Tensor& out) = 0;

  // out = in * weight^T. in: (rows, columns of weight) compute dtype. out: (rows, rows of weight) fp32.
  virtual void MatMul(const Tensor& in, const PackedMatrix& weight, const Tensor& out) = 0;

  // Rotary embedding, halves split: with a_i = position * theta^(-2i/head_dim), in fp32, of each head's x:
  // x[i], x[i + d/2] = x[i] cos a_i - x[i + d/2] sin a_i, x[i + d/2] cos a_i + x[i] sin a_i.
  // qkv: (rows, (heads + 2 kv_heads) * head_dim) fp32, q | k | v. Rotates q in place; writes rotated keys, and values,
  // of layer `layer` to each group's slot at the rows' positions.
  virtual void RotateAndStore(const RowLayout& layout, int layer, int heads, int kv_heads, int head_dim, float theta,
                              const Tensor& qkv) = 0;

  // out[r] = softmax(q[r] K^T / sqrt(head_dim)) V over positions [0, horizon) of the row's slot; query head h reads K/V
  // head h / (heads / kv_heads), or kv_map[h] where that is given (ragged slices of grouped heads). q: (rows, heads *
  // head_dim) fp32, rotated. out: the same shape, compute dtype.
  virtual void Attend(const RowLayout& layout, int layer, int heads, int head_dim, absl::Span<const int32_t> kv_map,
                      const Tensor& q, const Tensor& out) = 0;

  // out = silu(gate) * up. gate_up: (rows, 2 * columns) fp32, gate | up. out: (rows, columns) compute dtype.
  virtual void SwiGlu(const Tensor& gate_up, const Tensor& out) = 0;

  // The two in one, and the same bits: out = silu(in * gate^T) * (in * up^T), where `weight` stacks gate over up.
  // gate_up: scratch of (rows, rows of weight) fp32, which need not be written.
  virtual void MatMulSwiGlu(const Tensor& in, const PackedMatrix& weight, const Tensor& gate_up, const Tensor& out) {
    MatMul(in, weight, gate_up);
    SwiGlu(gate_up, out);
  }

  // sum += delta, both fp32.
  virtual void Add(const Tensor& delta, const Tensor& sum) = 0;

  // out[i] = in[rows[i]]; same dtype.
  virtual void TakeRows(const Tensor& in, absl::Span<const int32_t> rows, const Tensor& out) = 0;

  // Logits of the sampled rows against this rank's vocabulary rows (ids first_token and up), reduced to one record a
  // spec; the logits are fp32 and are never kept whole. hidden: (rows, hidden) compute dtype. records: host memory,
  // written by the time Synchronize() returns.
  virtual void PickCandidates(const Tensor& hidden, const PackedMatrix& head, int32_t first_token,
                              absl::Span<const SampleSpec> specs, absl::Span<CandidateRecord> records) = 0;

  // part(i) for each i in [0, count), begun in this order, some at the same time: each issues operations of its own,
  // which its thread does alone, and no two write to the same places. Returns when all are issued.
  virtual void RunParts(int64_t count, absl::FunctionRef<void(int64_t part)> part) {
    for (int64_t i = 0; i < count; ++i) part(i);
  }
  // How many of them at the same time; 1: there is nothing to gain by parts.
  virtual int parts_at_once() const { return 1; }

  // Copies fp32 rows to host memory (tests, and the host side of collectives on a device).
  virtual void Download(const Tensor& device, absl::Span<float> host) = 0;

  // Waits for everything issued; the first failure since the last call.
  virtual absl::Status Synchronize() = 0;

  // The largest head that Attend takes.
  virtual int max_head_dim() const { return INT_MAX; }

  // Null where tensors lie in host memory.
  virtual DeviceQueue* queue() { return nullptr; }
  // Bytes that are left to this rank of a device's own memory; nothing where that is the host's.
  virtual absl::optional<int64_t> FreeMemory() { return absl::nullopt; }
};

struct BackendOptions {
  DType compute_dtype = DType::kF32;
  // Products with weights of Pack in int8: a scale for each output of the weight and for each row of the input, exact
  // sums. Approximate; everything else stays in the compute dtype.
  bool int8 = false;
  int threads = 1;  // The caller included. Changes no bit.
  // This rank among those of its host, which share the host's devices in turn.
  int host_rank = 0;
  int host_ranks = 1;
};

// device: "cpu" or "cuda". INVALID_ARGUMENT for an unknown one, NOT_FOUND for one that this build or machine lacks.
absl::StatusOr<std::unique_ptr<Backend>> OpenBackend(absl::string_view device, const BackendOptions& options);

// Whether the device computes bf16 products natively, which --dtype auto asks.
bool ComputesBf16(absl::string_view device);
bool CpuComputesBf16();

}  // namespace unmask

#endif  // UNMASK_KERNELS_BACKEND_H_
