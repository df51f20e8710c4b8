#include "kernels/cuda/backend_cuda.h"

#include <algorithm>
#include <chrono>
#include <new>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "kernels/checks.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/device_memory.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/head.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/layouts.h"
#include "kernels/cuda/loader.h"
#include "kernels/cuda/program.h"
#include "kernels/cuda/rotary_table.h"
#include "kernels/cuda/step_data.h"

namespace unmask {
namespace cuda {
namespace {

constexpr int64_t kStepDataBytes = int64_t{16} << 20;
constexpr int64_t kMostRecords = 4096;  // Of a step, before it must wait in between.

// Operations are written down as they are issued (program.h) and begin together: where the host needs their results,
// where memory that they use is freed, and in Synchronize().
class CudaBackend : public Backend, public DeviceQueue {
 public:
  static absl::StatusOr<std::unique_ptr<Backend>> Open(const BackendOptions& options);
  ~CudaBackend() override { Begin(); }

  std::string Numerics() const override {
    return absl::StrCat("cuda ", Name(dtype_), " ", device_->name(), " ", gemm_->Name());
  }
  DType compute_dtype() const override { return dtype_; }

  absl::StatusOr<std::unique_ptr<Buffer>> Allocate(int64_t bytes) override {
    if (bytes < 0) return absl::InvalidArgumentError(absl::StrCat("allocating ", bytes, " bytes"));
    UNMASK_ASSIGN_OR_RETURN(DeviceMemory memory, DeviceMemory::Allocate(bytes, stream()));
    return std::make_unique<OwnBuffer>(this, std::move(memory));
  }
  absl::StatusOr<std::unique_ptr<PackedMatrix>> Pack(absl::Span<const Tensor> slices) override;
  void Upload(const Tensor& host, const Tensor& device) override;
  void Embed(const Tensor& table, absl::Span<const int32_t> tokens, int32_t first_token, const Tensor& out) override;
  void RmsNorm(const Tensor& in, const Tensor& weight, float epsilon, const Tensor& out) override;
  void MatMul(const Tensor& in, const PackedMatrix& weight, const Tensor& out) override;
  void RotateAndStore(const RowLayout& layout, int layer, int heads, int kv_heads, int head_dim, float theta,
                      const Tensor& qkv) override;
  void Attend(const RowLayout& layout, int layer, int heads, int head_dim, absl::Span<const int32_t> kv_map,
              const Tensor& q, const Tensor& out) override;
  void SwiGlu(const Tensor& gate_up, const Tensor& out) override;
  void Add(const Tensor& delta, const Tensor& sum) override;
  void TakeRows(const Tensor& in, absl::Span<const int32_t> rows, const Tensor& out) override;
  void PickCandidates(const Tensor& hidden, const PackedMatrix& head, int32_t first_token,
                      absl::Span<const SampleSpec> specs, absl::Span<CandidateRecord> records) override;
  void Download(const Tensor& device, absl::Span<float> host) override;
  absl::Status Synchronize() override {
    Keep(Settle(), "Synchronize");
    if (!failure_.ok()) Forget();
    return std::exchange(failure_, absl::OkStatus());
  }

  int max_head_dim() const override { return kMaxHeadDim; }
  DeviceQueue* queue() override { return this; }
  absl::optional<int64_t> FreeMemory() override { return device_->FreeMemory(); }

  void Append(const char* name, int64_t rows, Run run, const void* args, size_t bytes) override {
    Issue(name, [&]() -> absl::Status {
      program_.Append(run, name, rows, args, bytes);
      return absl::OkStatus();
    });
  }
  void Fail(const absl::Status& status) override {
    if (failure_.ok()) failure_ = status;
  }
  void ForgetKept() override { program_.ForgetGraphs(); }
  std::string Device() const override { return device_->bus(); }
  void Watch(Watcher watch) override { watch_ = std::move(watch); }

 private:
  // Freed in the stream's order: what is written down and uses it goes first.
  class OwnBuffer : public Buffer {
   public:
    OwnBuffer(CudaBackend* backend, DeviceMemory memory) : backend_(backend), memory_(std::move(memory)) {}
    ~OwnBuffer() override { backend_->Begin(); }
    void* data() override { return memory_.data(); }

   private:
    CudaBackend* const backend_;
    const DeviceMemory memory_;
  };

  class Matrix : public PackedMatrix {
   public:
    Matrix(CudaBackend* backend, DeviceMemory memory, const Tensor& tensor)
        : memory_(backend, std::move(memory)), tensor_(tensor) {}
    int64_t rows() const override { return tensor_.rows; }
    int64_t columns() const override { return tensor_.columns; }
    int64_t bytes() const override { return rows() * columns() * static_cast<int64_t>(ByteSize(tensor_.dtype)); }
    const Tensor& tensor() const { return tensor_; }

   private:
    const OwnBuffer memory_;
    const Tensor tensor_;
  };

  // Records on their way to the caller.
  struct Awaited {
    absl::Span<CandidateRecord> to;
    const CandidateRecord* from;
  };

  CudaBackend(DType dtype, std::unique_ptr<cuda::Device> device)
      : dtype_(dtype), device_(std::move(device)), program_(device_->stream()) {}

  cudaStream_t stream() const { return device_->stream(); }

  // Runs an operation unless one has failed before; keeps the first failure.
  template <typename Operation>
  void Issue(const char* name, const Operation& operation) {
    if (!failure_.ok()) return;
    WriteAdd();
    Keep(operation(), name);
  }
  void Keep(const absl::Status& status, const char* name) {
    if (failure_.ok()) failure_ = Annotate(status, name);
  }

  // A sum waits for the next operation: a norm of it takes it along in one pass over the rows.
  void WriteAdd() {
    if (!has_add_) return;
    has_add_ = false;
    program_.Call<LaunchAdd>("Add", add_.rows, add_);
  }

  // Gives the device what is written down.
  void Begin() {
    if (!failure_.ok()) return;
    WriteAdd();
    Keep(data_.Send(stream()), "Begin");
    if (failure_.ok()) Keep(program_.Begin(), "Begin");
  }

  absl::Status Wait();

  // Waits for it, too, and hands out what the host is to get.
  absl::Status Settle() {
    Begin();
    UNMASK_RETURN_IF_ERROR(failure_);
    UNMASK_RETURN_IF_ERROR(Wait());
    for (const Awaited& awaited : awaited_) std::copy_n(awaited.from, awaited.to.size(), awaited.to.begin());
    Forget();
    return absl::OkStatus();
  }

  // What is written down, and where it lies.
  void Forget() {
    has_add_ = false;
    program_.Clear();
    awaited_.clear();
    records_used_ = 0;
    data_.Clear();
    layouts_.Clear();
  }

  // Makes room in the step's data; whatever was put there before may be gone.
  absl::Status MakeRoom(int64_t bytes, int pieces) {
    if (data_.Fits(bytes, pieces)) return absl::OkStatus();
    UNMASK_RETURN_IF_ERROR(Settle());
    if (data_.Fits(bytes, pieces)) return absl::OkStatus();
    return absl::ResourceExhaustedError(
        absl::StrCat(bytes, " bytes of an operation's data are more than ", kStepDataBytes));
  }

  const DType dtype_;
  const std::unique_ptr<cuda::Device> device_;  // Outlives all memory below.
  std::unique_ptr<Gemm> gemm_;
  std::unique_ptr<Loader> loader_;
  StepData data_;
  Program program_;
  Layouts layouts_;
  RotaryTable angles_;
  Head head_;
  PinnedMemory records_;
  int64_t records_used_ = 0;
  std::vector<Awaited> awaited_;
  bool has_add_ = false;
  AddArgs add_ = {};
  Watcher watch_;
  absl::Status failure_;
};

absl::StatusOr<std::unique_ptr<Backend>> CudaBackend::Open(const BackendOptions& options) {
  UNMASK_ASSIGN_OR_RETURN(auto device, cuda::Device::Open(options.host_rank, options.host_ranks));
  std::unique_ptr<CudaBackend> backend(new CudaBackend(options.compute_dtype, std::move(device)));
  UNMASK_ASSIGN_OR_RETURN(backend->gemm_, Gemm::Open(backend->stream()));
  UNMASK_ASSIGN_OR_RETURN(backend->loader_, Loader::Make(options.threads, backend->stream()));
  UNMASK_ASSIGN_OR_RETURN(backend->data_, StepData::Make(kStepDataBytes, backend->stream()));
  UNMASK_ASSIGN_OR_RETURN(backend->records_, PinnedMemory::Allocate(kMostRecords * sizeof(CandidateRecord)));
  return backend;
}

absl::StatusOr<std::unique_ptr<PackedMatrix>> CudaBackend::Pack(absl::Span<const Tensor> slices) {
  UNMASK_ASSIGN_OR_RETURN(const int64_t rows, StackedRows(slices));
  const int64_t columns = slices[0].columns;
  UNMASK_ASSIGN_OR_RETURN(DeviceMemory memory,
                          DeviceMemory::Allocate(rows * columns * static_cast<int64_t>(ByteSize(dtype_)), stream()));
  const Tensor all = {dtype_, rows, columns, columns, memory.data()};
  int64_t first = 0;
  for (const Tensor& slice : slices) {
    UNMASK_RETURN_IF_ERROR(loader_->Load(slice, all.Rows(first, first + slice.rows)));
    first += slice.rows;
  }
  return std::make_unique<Matrix>(this, std::move(memory), all);
}

void CudaBackend::Upload(const Tensor& host, const Tensor& device) {
  Issue("Upload", [&]() -> absl::Status {
    UNMASK_RETURN_IF_ERROR(CheckSameShape(host, device));
    Begin();  // What was issued before sees what was there before.
    return loader_->Load(host, device);
  });
}

void CudaBackend::Embed(const Tensor& table, absl::Span<const int32_t> tokens, int32_t first_token, const Tensor& out) {
  Issue("Embed", [&]() -> absl::Status {
    UNMASK_RETURN_IF_ERROR(CheckShape("out", out, static_cast<int64_t>(tokens.size()), table.columns, DType::kF32));
    UNMASK_RETURN_IF_ERROR(MakeRoom(out.rows * static_cast<int64_t>(sizeof(int32_t)), 1));
    program_.Call<LaunchEmbed>("Embed", out.rows,
                               EmbedArgs{.table = table.data,
                                         .tokens = data_.Put(tokens),
                                         .out = out.f32(),
                                         .table_rows = table.rows,
                                         .table_stride = table.stride,
                                         .out_stride = out.stride,
                                         .rows = out.rows,
                                         .columns = out.columns,
                                         .dtype = table.dtype,
                                         .first_token = first_token});
    return absl::OkStatus();
  });
}

void CudaBackend::Add(const Tensor& delta, const Tensor& sum) {
  Issue("Add", [&]() -> absl::Status {
    UNMASK_RETURN_IF_ERROR(CheckShape("delta", delta, sum.rows, sum.columns, DType::kF32));
    UNMASK_RETURN_IF_ERROR(CheckShape("sum", sum, sum.rows, sum.columns, DType::kF32));
    add_ = {delta.f32(), sum.f32(), delta.stride, sum.stride, sum.rows, sum.columns};
    has_add_ = true;
    return absl::OkStatus();
  });
}

void CudaBackend::RmsNorm(const Tensor& in, const Tensor& weight, float epsilon, const Tensor& out) {
  const bool sums = has_add_ && add_.sum == in.data && add_.sum_stride == in.stride && add_.rows == in.rows &&
                    add_.columns == in.columns;
  if (sums) has_add_ = false;
  Issue("RmsNorm", [&]() -> absl::Status {
    UNMASK_RETURN_IF_ERROR(CheckShape("weight", weight, 1, in.columns, DType::kF32));
    UNMASK_RETURN_IF_ERROR(CheckShape("in", in, in.rows, in.columns, DType::kF32));
    UNMASK_RETURN_IF_ERROR(CheckShape("out", out, in.rows, in.columns, dtype_));
    program_.Call<LaunchRmsNorm>(sums ? "Add, RmsNorm" : "RmsNorm", in.rows,
                                 RmsNormArgs{.in = in.f32(),
                                             .delta = sums ? add_.delta : nullptr,
                                             .weight = weight.f32(),
                                             .out = out.data,
                                             .in_stride = in.stride,
                                             .delta_stride = sums ? add_.delta_stride : 0,
                                             .out_stride = out.stride,
                                             .rows = in.rows,
                                             .columns = in.columns,
                                             .dtype = dtype_,
                                             .epsilon = epsilon});
    return absl::OkStatus();
  });
}

void CudaBackend::MatMul(const Tensor& in, const PackedMatrix& weight, const Tensor& out) {
  Issue("MatMul", [&]() -> absl::Status {
    UNMASK_RETURN_IF_ERROR(CheckShape("in", in, in.rows, weight.columns(), dtype_));
    UNMASK_RETURN_IF_ERROR(CheckShape("out", out, in.rows, weight.rows(), DType::kF32));
    MultiplyArgs args{};
    args.gemm = gemm_.get();
    args.in = in.data;
    args.weight = static_cast<const Matrix&>(weight).tensor().data;
    args.out = out.f32();
    args.in_stride = in.stride;
    args.out_stride = out.stride;
    args.rows = in.rows;
    args.outputs = weight.rows();
    args.depth = weight.columns();
    args.dtype = dtype_;
    UNMASK_RETURN_IF_ERROR(gemm_->Plan(&args));
    program_.Call<LaunchMultiply>("MatMul", in.rows, args);
    return absl::OkStatus();
  });
}

void CudaBackend::RotateAndStore(const RowLayout& layout, int layer, int heads, int kv_heads, int head_dim, float theta,
                                 const Tensor& qkv) {
  Issue("RotateAndStore", [&]() -> absl::Status {
    UNMASK_ASSIGN_OR_RETURN(const int64_t positions,
                            CheckRotation(layout, layer, heads, kv_heads, head_dim, dtype_, qkv));
    if (!angles_.Holds(theta, head_dim, positions)) {
      Begin();
      UNMASK_RETURN_IF_ERROR(angles_.Grow(theta, head_dim, positions, stream()));
    }
    UNMASK_RETURN_IF_ERROR(MakeRoom(Layouts::DataBytes(layout), Layouts::kDataPieces));
    program_.Call<LaunchRotate>("RotateAndStore", qkv.rows,
                                RotateArgs{.layout = layouts_.Stage(layout, qkv.rows, &data_).device,
                                           .cosines = angles_.cosines(),
                                           .sines = angles_.sines(),
                                           .qkv = qkv.f32(),
                                           .stride = qkv.stride,
                                           .rows = qkv.rows,
                                           .layer = layer,
                                           .heads = heads,
                                           .kv_heads = kv_heads,
                                           .head_dim = head_dim,
                                           .dtype = dtype_});
    return absl::OkStatus();
  });
}

void CudaBackend::Attend(const RowLayout& layout, int layer, int heads, int head_dim, absl::Span<const int32_t> kv_map,
                         const Tensor& q, const Tensor& out) {
  Issue("Attend", [&]() -> absl::Status {
    UNMASK_RETURN_IF_ERROR(CheckShape("q", q, q.rows, int64_t{heads} * head_dim, DType::kF32));
    UNMASK_RETURN_IF_ERROR(CheckShape("out", out, q.rows, q.columns, dtype_));
    UNMASK_RETURN_IF_ERROR(CheckLayout(layout, layer, 0, dtype_, q.rows));
    if (head_dim > kMaxHeadDim) {
      return absl::InternalError(absl::StrCat("head_dim ", head_dim, " is more than ", kMaxHeadDim));
    }
    UNMASK_ASSIGN_OR_RETURN(const std::vector<int32_t> kv_heads, KvHeads(layout, heads, head_dim, kv_map));
    if (kv_heads.empty()) return absl::OkStatus();
    UNMASK_RETURN_IF_ERROR(
        MakeRoom(Layouts::DataBytes(layout) + heads * static_cast<int64_t>(sizeof(int32_t)), Layouts::kDataPieces + 1));
    const StagedLayout& staged = layouts_.Stage(layout, q.rows, &data_);
    const AttendArgs args{.layout = staged.device,
                          .tiles = staged.tiles,
                          .kv_head_of = data_.Put(absl::MakeConstSpan(kv_heads)),
                          .q = q.f32(),
                          .out = out.data,
                          .q_stride = q.stride,
                          .out_stride = out.stride,
                          .rows = q.rows,
                          .tile_count = staged.tile_count,
                          .layer = layer,
                          .heads = heads,
                          .head_dim = head_dim,
                          .dtype = dtype_};
    if (dtype_ == DType::kBf16 && staged.aligned && (head_dim == 64 || head_dim == 128)) {
      program_.Call<LaunchAttendTiles>("Attend", q.rows, args);
    } else {
      program_.Call<LaunchAttendRows>("Attend", q.rows, args);
    }
    return absl::OkStatus();
  });
}

void CudaBackend::SwiGlu(const Tensor& gate_up, const Tensor& out) {
  Issue("SwiGlu", [&]() -> absl::Status {
    UNMASK_RETURN_IF_ERROR(CheckShape("gate_up", gate_up, out.rows, 2 * out.columns, DType::kF32));
    UNMASK_RETURN_IF_ERROR(CheckShape("out", out, out.rows, out.columns, dtype_));
    program_.Call<LaunchSwiGlu>("SwiGlu", out.rows,
                                SwiGluArgs{.gate_up = gate_up.f32(),
                                           .out = out.data,
                                           .in_stride = gate_up.stride,
                                           .out_stride = out.stride,
                                           .rows = out.rows,
                                           .columns = out.columns,
                                           .dtype = dtype_});
    return absl::OkStatus();
  });
}

void CudaBackend::TakeRows(const Tensor& in, absl::Span<const int32_t> rows, const Tensor& out) {
  Issue("TakeRows", [&]() -> absl::Status {
    UNMASK_RETURN_IF_ERROR(CheckShape("out", out, static_cast<int64_t>(rows.size()), in.columns, in.dtype));
    for (const int32_t row : rows) UNMASK_RETURN_IF_ERROR(CheckWithin("row", row, in.rows));
    UNMASK_RETURN_IF_ERROR(MakeRoom(out.rows * static_cast<int64_t>(sizeof(int32_t)), 1));
    program_.Call<LaunchTakeRows>("TakeRows", out.rows,
                                  TakeRowsArgs{.in = in.data,
                                               .from = data_.Put(rows),
                                               .out = out.data,
                                               .in_stride = in.stride,
                                               .out_stride = out.stride,
                                               .rows = out.rows,
                                               .columns = out.columns,
                                               .dtype = in.dtype});
    return absl::OkStatus();
  });
}

void CudaBackend::PickCandidates(const Tensor& hidden, const PackedMatrix& head, int32_t first_token,
                                 absl::Span<const SampleSpec> specs, absl::Span<CandidateRecord> records) {
  Issue("PickCandidates", [&]() -> absl::Status {
    UNMASK_RETURN_IF_ERROR(CheckSpecs(hidden, head.columns(), dtype_, specs, records.size()));
    const Tensor& weight = static_cast<const Matrix&>(head).tensor();
    const HeadMatrix matrix = {weight.data, weight.rows, weight.columns, dtype_};
    if (!head_.HasRoomFor(matrix, first_token)) {
      Begin();
      UNMASK_RETURN_IF_ERROR(head_.MakeRoomFor(matrix, first_token, stream()));
    }
    for (size_t begin = 0, size; begin < specs.size(); begin += size) {
      size = Head::TileSize(specs.subspan(begin));
      const auto tile = specs.subspan(begin, size);
      if (records_used_ + static_cast<int64_t>(size) > kMostRecords) UNMASK_RETURN_IF_ERROR(Settle());
      UNMASK_RETURN_IF_ERROR(MakeRoom(Head::DataBytes(tile), Head::DataPieces(tile)));
      auto* const pinned = reinterpret_cast<CandidateRecord*>(records_.data()) + records_used_;
      UNMASK_RETURN_IF_ERROR(head_.Pick(hidden, matrix, first_token, tile, pinned, gemm_.get(), &data_, &program_));
      records_used_ += static_cast<int64_t>(size);
      awaited_.push_back({records.subspan(begin, size), pinned});
    }
    return absl::OkStatus();
  });
}

void CudaBackend::Download(const Tensor& device, absl::Span<float> host) {
  Issue("Download", [&]() -> absl::Status {
    UNMASK_RETURN_IF_ERROR(CheckShape("device", device, device.rows, device.columns, DType::kF32));
    if (static_cast<int64_t>(host.size()) != device.rows * device.columns) {
      return absl::InternalError(absl::StrCat("host has ", host.size(), " floats, not ", device.rows * device.columns));
    }
    if (host.empty()) return absl::OkStatus();
    Begin();
    const int64_t row_bytes = device.columns * static_cast<int64_t>(sizeof(float));
    return ToStatus(cudaMemcpy2DAsync(host.data(), row_bytes, device.data, device.stride * sizeof(float), row_bytes,
                                      device.rows, cudaMemcpyDeviceToHost, stream()),
                    "copying to the host");
  });
}

// With somebody to ask in between, the device is looked at instead of waited for.
absl::Status CudaBackend::Wait() {
  if (!watch_) return ToStatus(cudaStreamSynchronize(stream()), "a step");
  const auto begin = std::chrono::steady_clock::now();
  for (;;) {
    const cudaError_t state = cudaStreamQuery(stream());
    if (state != cudaErrorNotReady) return ToStatus(state, "a step");
    const std::chrono::nanoseconds waited = std::chrono::steady_clock::now() - begin;
    UNMASK_RETURN_IF_ERROR(watch_(waited));
    if (waited < std::chrono::milliseconds(100)) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  }
}

}  // namespace
}  // namespace cuda

absl::StatusOr<std::unique_ptr<Backend>> OpenCudaBackend(const BackendOptions& options) {
  if (options.compute_dtype != DType::kF32 && options.compute_dtype != DType::kBf16) {
    return absl::InvalidArgumentError(
        absl::StrCat("compute dtype ", Name(options.compute_dtype), " is not built for CUDA"));
  }
  if (options.int8) return absl::InvalidArgumentError("dtype int8 is not built for CUDA");
  if (options.threads < 1 || options.threads > 1024) {
    return absl::InvalidArgumentError(absl::StrCat("threads ", options.threads, " is not in [1, 1024]"));
  }
  try {
    return cuda::CudaBackend::Open(options);
  } catch (const std::system_error& error) {
    return absl::ResourceExhaustedError(absl::StrCat("starting ", options.threads, " threads: ", error.what()));
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("no memory for the CUDA backend");
  }
}

}  // namespace unmask
