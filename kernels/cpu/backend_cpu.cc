#include "kernels/cpu/backend_cpu.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "kernels/angles.h"
#include "kernels/checks.h"
#include "kernels/cpu/attention.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/huge_pages.h"
#include "kernels/cpu/int8_matmul.h"
#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/matmul.h"
#include "kernels/cpu/pick.h"
#include "kernels/cpu/workers.h"

namespace unmask {
namespace {

class HostBuffer : public Buffer {
 public:
  explicit HostBuffer(void* data) : data_(data) {}
  ~HostBuffer() override { std::free(data_); }
  void* data() override { return data_; }

 private:
  void* const data_;
};

template <typename T = void>
T* Row(const Tensor& tensor, int64_t row) {
  return static_cast<T*>(tensor.Rows(row, row + 1).data);
}

class CpuBackend : public Backend {
 public:
  CpuBackend(const BackendOptions& options, const CpuKind& kind)
      : dtype_(options.compute_dtype),
        kernels_(*kind.kernels),
        workers_(options.threads, KeepOneDnnToThisThread),
        multiplier_(&kernels_, options.compute_dtype, kind.onednn, &workers_),
        issuers_(workers_.threads()) {
    if (options.int8) int8_ = std::make_unique<Int8Multiplier>(&kernels_, kind.onednn, &workers_);
  }

  std::string Numerics() const override {
    return absl::StrCat("cpu ", Name(dtype_), int8_ != nullptr ? "+int8" : "", " x86-64-", kernels_.name, " ",
                        multiplier_.Name());
  }
  DType compute_dtype() const override { return dtype_; }

  absl::StatusOr<std::unique_ptr<Buffer>> Allocate(int64_t bytes) override {
    if (bytes < 0) return absl::InvalidArgumentError(absl::StrCat("allocating ", bytes, " bytes"));
    void* data = AllocateInHugePages(bytes);
    if (data == nullptr) return absl::ResourceExhaustedError(absl::StrCat("no memory for ", bytes, " bytes"));
    return std::make_unique<HostBuffer>(data);
  }

  absl::StatusOr<std::unique_ptr<PackedMatrix>> Pack(absl::Span<const Tensor> slices) override {
    KeepOneDnnToThisThread();
    if (int8_ != nullptr) return int8_->Pack(slices);
    return multiplier_.Pack(slices);
  }
  absl::StatusOr<std::unique_ptr<PackedMatrix>> PackHead(absl::Span<const Tensor> slices) override {
    KeepOneDnnToThisThread();
    return multiplier_.Pack(slices);
  }

  void Upload(const Tensor& host, const Tensor& device) override {
    Issue("Upload", [&]() -> absl::Status {
      UNMASK_RETURN_IF_ERROR(CheckSameShape(host, device));
      workers_.RunRows(host.rows, host.columns, [&](int64_t begin, int64_t end) {
        std::vector<float> wide(host.dtype == device.dtype ? 0 : host.columns);
        for (int64_t r = begin; r < end; ++r) {
          if (host.dtype == device.dtype) {
            std::memcpy(Row(device, r), Row(host, r), host.columns * ByteSize(host.dtype));
          } else {
            kernels_.widen(host.dtype, Row(host, r), host.columns, wide.data());
            kernels_.narrow(wide.data(), host.columns, device.dtype, Row(device, r));
          }
        }
      });
      return absl::OkStatus();
    });
  }

  void Embed(const Tensor& table, absl::Span<const int32_t> tokens, int32_t first_token, const Tensor& out) override {
    Issue("Embed", [&]() -> absl::Status {
      UNMASK_RETURN_IF_ERROR(CheckShape("out", out, static_cast<int64_t>(tokens.size()), table.columns, DType::kF32));
      workers_.RunRows(out.rows, out.columns, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          const int64_t row = int64_t{tokens[r]} - first_token;
          if (row >= 0 && row < table.rows) {
            kernels_.widen(table.dtype, Row(table, row), table.columns, Row<float>(out, r));
          } else {
            std::memset(Row(out, r), 0, out.columns * sizeof(float));
          }
        }
      });
      return absl::OkStatus();
    });
  }

  void RmsNorm(const Tensor& in, const Tensor& weight, float epsilon, const Tensor& out) override {
    Issue("RmsNorm", [&]() -> absl::Status {
      UNMASK_RETURN_IF_ERROR(CheckShape("weight", weight, 1, in.columns, DType::kF32));
      UNMASK_RETURN_IF_ERROR(CheckShape("in", in, in.rows, in.columns, DType::kF32));
      UNMASK_RETURN_IF_ERROR(CheckShape("out", out, in.rows, in.columns, dtype_));
      workers_.RunRows(in.rows, in.columns, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          kernels_.rms_norm(Row<float>(in, r), weight.f32(), epsilon, in.columns, dtype_, Row(out, r));
        }
      });
      return absl::OkStatus();
    });
  }

  void MatMul(const Tensor& in, const PackedMatrix& weight, const Tensor& out) override {
    Issue("MatMul", [&]() -> absl::Status {
      UNMASK_RETURN_IF_ERROR(CheckShape("in", in, in.rows, weight.columns(), dtype_));
      UNMASK_RETURN_IF_ERROR(CheckShape("out", out, in.rows, weight.rows(), DType::kF32));
      if (const auto* quantised = dynamic_cast<const Int8Matrix*>(&weight)) return int8_->Multiply(in, *quantised, out);
      return multiplier_.Multiply(in, static_cast<const CpuMatrix&>(weight), out);
    });
  }

  void MatMulSwiGlu(const Tensor& in, const PackedMatrix& weight, const Tensor& gate_up, const Tensor& out) override {
    const auto* matrix = dynamic_cast<const CpuMatrix*>(&weight);
    if (matrix == nullptr || !MatrixMultiplier::HasPairs(*matrix)) {
      return Backend::MatMulSwiGlu(in, weight, gate_up, out);
    }
    Issue("MatMulSwiGlu", [&]() -> absl::Status {
      UNMASK_RETURN_IF_ERROR(CheckShape("in", in, in.rows, weight.columns(), dtype_));
      UNMASK_RETURN_IF_ERROR(CheckShape("out", out, in.rows, weight.rows() / 2, dtype_));
      return multiplier_.MultiplySwiGlu(in, *matrix, out);
    });
  }

  void RotateAndStore(const RowLayout& layout, int layer, int heads, int kv_heads, int head_dim, float theta,
                      const Tensor& qkv) override {
    Issue("RotateAndStore", [&]() -> absl::Status {
      UNMASK_ASSIGN_OR_RETURN(const int64_t positions,
                              CheckRotation(layout, layer, heads, kv_heads, head_dim, dtype_, qkv));
      AngleTable& angles = issuers_[workers_.current()].angles;
      angles.Grow(theta, head_dim, positions);
      std::vector<const KvSlot*> slots(qkv.rows);  // Of each row; null for one of no group.
      for (const RowLayout::Group& group : layout.groups) {
        std::fill(slots.begin() + group.begin, slots.begin() + group.end, group.slot);
      }
      workers_.RunRows(qkv.rows, qkv.columns, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          if (slots[r] == nullptr) continue;
          RotateRow(angles, layout.positions[r], *slots[r], layer, heads, kv_heads, head_dim, Row<float>(qkv, r));
        }
      });
      return absl::OkStatus();
    });
  }

  void Attend(const RowLayout& layout, int layer, int heads, int head_dim, absl::Span<const int32_t> kv_map,
              const Tensor& q, const Tensor& out) override {
    Issue("Attend", [&]() -> absl::Status {
      UNMASK_RETURN_IF_ERROR(CheckShape("q", q, q.rows, int64_t{heads} * head_dim, DType::kF32));
      UNMASK_RETURN_IF_ERROR(CheckShape("out", out, q.rows, q.columns, dtype_));
      UNMASK_RETURN_IF_ERROR(CheckLayout(layout, layer, 0, dtype_, q.rows));
      return AttendRows(kernels_, &workers_, layout, layer, heads, head_dim, kv_map, q, out);
    });
  }

  void SwiGlu(const Tensor& gate_up, const Tensor& out) override {
    Issue("SwiGlu", [&]() -> absl::Status {
      UNMASK_RETURN_IF_ERROR(CheckShape("gate_up", gate_up, out.rows, 2 * out.columns, DType::kF32));
      UNMASK_RETURN_IF_ERROR(CheckShape("out", out, out.rows, out.columns, dtype_));
      workers_.RunRows(out.rows, gate_up.columns, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          const float* gate = Row<float>(gate_up, r);
          kernels_.swiglu(gate, gate + out.columns, out.columns, dtype_, Row(out, r));
        }
      });
      return absl::OkStatus();
    });
  }

  void Add(const Tensor& delta, const Tensor& sum) override {
    Issue("Add", [&]() -> absl::Status {
      UNMASK_RETURN_IF_ERROR(CheckShape("delta", delta, sum.rows, sum.columns, DType::kF32));
      UNMASK_RETURN_IF_ERROR(CheckShape("sum", sum, sum.rows, sum.columns, DType::kF32));
      workers_.RunRows(sum.rows, sum.columns, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) kernels_.add(Row<float>(delta, r), sum.columns, Row<float>(sum, r));
      });
      return absl::OkStatus();
    });
  }

  void TakeRows(const Tensor& in, absl::Span<const int32_t> rows, const Tensor& out) override {
    Issue("TakeRows", [&]() -> absl::Status {
      UNMASK_RETURN_IF_ERROR(CheckShape("out", out, static_cast<int64_t>(rows.size()), in.columns, in.dtype));
      for (const int32_t row : rows) UNMASK_RETURN_IF_ERROR(CheckWithin("row", row, in.rows));
      for (int64_t i = 0; i < out.rows; ++i)
        std::memcpy(Row(out, i), Row(in, rows[i]), in.columns * ByteSize(in.dtype));
      return absl::OkStatus();
    });
  }

  void PickCandidates(const Tensor& hidden, const PackedMatrix& head, int32_t first_token,
                      absl::Span<const SampleSpec> specs, absl::Span<CandidateRecord> records) override {
    Issue("PickCandidates", [&]() -> absl::Status {
      UNMASK_RETURN_IF_ERROR(CheckSpecs(hidden, head.columns(), dtype_, specs, records.size()));
      return unmask::PickCandidates(kernels_, &workers_, hidden, static_cast<const CpuMatrix&>(head), first_token,
                                    specs, records);
    });
  }

  void Download(const Tensor& device, absl::Span<float> host) override {
    Issue("Download", [&]() -> absl::Status {
      UNMASK_RETURN_IF_ERROR(CheckShape("device", device, device.rows, device.columns, DType::kF32));
      if (static_cast<int64_t>(host.size()) != device.rows * device.columns) {
        return absl::InternalError(
            absl::StrCat("host has ", host.size(), " floats, not ", device.rows * device.columns));
      }
      for (int64_t r = 0; r < device.rows; ++r) {
        std::memcpy(host.data() + r * device.columns, Row(device, r), device.columns * sizeof(float));
      }
      return absl::OkStatus();
    });
  }

  int parts_at_once() const override { return workers_.threads(); }
  void RunParts(int64_t count, absl::FunctionRef<void(int64_t)> part) override { workers_.RunParts(count, part); }

  absl::Status Synchronize() override {
    absl::Status first;
    for (Issuer& issuer : issuers_) first.Update(std::exchange(issuer.failure, absl::OkStatus()));
    return first;
  }

 private:
  // Runs an operation unless one has failed before; keeps the first failure.
  template <typename Operation>
  void Issue(const char* name, const Operation& operation) {
    absl::Status& failure = issuers_[workers_.current()].failure;
    if (!failure.ok()) return;
    KeepOneDnnToThisThread();
    try {
      failure = Annotate(operation(), name);
    } catch (const std::bad_alloc&) {
      failure = absl::ResourceExhaustedError(absl::StrCat(name, ": out of memory"));
    }
  }

  void RotateRow(const AngleTable& angles, int64_t position, const KvSlot& slot, int layer, int heads, int kv_heads,
                 int head_dim, float* row) {
    const int64_t half = head_dim / 2;
    const float* cosines = angles.Cosines(position);
    const float* sines = angles.Sines(position);
    for (int h = 0; h < heads; ++h) {
      float* head = row + int64_t{h} * head_dim;
      kernels_.rotate(head, cosines, sines, half, DType::kF32, head);
    }
    const float* keys = row + int64_t{heads} * head_dim;
    const int64_t width = int64_t{kv_heads} * head_dim;
    const int64_t slot_row = layer * slot.length + position;
    char* to = Row<char>(slot.keys, slot_row);
    for (int h = 0; h < kv_heads; ++h) {
      kernels_.rotate(keys + int64_t{h} * head_dim, cosines, sines, half, dtype_, to + h * head_dim * ByteSize(dtype_));
    }
    kernels_.narrow(keys + width, width, dtype_, Row(slot.values, slot_row));
  }

  const DType dtype_;
  const KernelTable& kernels_;
  Workers workers_;
  MatrixMultiplier multiplier_;
  std::unique_ptr<Int8Multiplier> int8_;  // Null: weights are multiplied in the compute dtype.
  struct Issuer {
    AngleTable angles;
    absl::Status failure;
  };
  std::vector<Issuer> issuers_;  // By worker: who may issue operations, each in a part of its own.
};

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> OpenCpuBackend(const BackendOptions& options, const CpuKind& kind) {
  if (options.compute_dtype != DType::kF32 && options.compute_dtype != DType::kBf16) {
    return absl::InvalidArgumentError(
        absl::StrCat("compute dtype ", Name(options.compute_dtype), " is not built for the CPU"));
  }
  if (options.threads < 1 || options.threads > 1024) {
    return absl::InvalidArgumentError(absl::StrCat("threads ", options.threads, " is not in [1, 1024]"));
  }
  try {
    return std::make_unique<CpuBackend>(options, kind);
  } catch (const std::system_error& error) {
    return absl::ResourceExhaustedError(absl::StrCat("starting ", options.threads, " threads: ", error.what()));
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("no memory for the CPU backend");
  }
}

}  // namespace unmask
