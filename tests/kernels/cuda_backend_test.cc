// What is the CUDA backend's own: steps that repeat, sums that wait for a norm, memory that is freed early. On an
// emulated device, whose work can be counted.
#include <cuda_runtime_api.h>

#include <cmath>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/cpu/backend_cpu.h"
#include "kernels/cuda/backend_cuda.h"
#include "tests/kernels/matrix.h"

namespace unmask::testing {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<Backend> Open(DType dtype = DType::kF32) { return OpenCudaBackend({.compute_dtype = dtype}).value(); }

TEST(CudaBackendTest, RefusesWhatIsNotBuilt) {
  EXPECT_EQ(OpenCudaBackend({.compute_dtype = DType::kF16}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(OpenCudaBackend({.int8 = true}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(OpenCudaBackend({.threads = 0}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(CudaBackendTest, NumericsNameDeviceAndVersions) {
  EXPECT_EQ(Open(DType::kBf16)->Numerics(), "cuda bf16 sm_80 Emulated GPU cuda-13000 cublaslt-130002");
}

TEST(CudaBackendTest, LackOfMemoryIsAnErrorAndFreeMemoryIsTheDevices) {
  const auto backend = Open();
  EXPECT_EQ(backend->Allocate(int64_t{1} << 60).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(backend->Allocate(-1).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(backend->FreeMemory(), (int64_t{4} << 30) - (int64_t{512} << 20));
  const auto shared = OpenCudaBackend({.host_rank = 1, .host_ranks = 2}).value();  // One device for both.
  EXPECT_EQ(shared->FreeMemory(), *backend->FreeMemory() / 2 - (int64_t{256} << 20));
}

// A few layers' worth of operations on `tokens`, and what they yield.
struct Step {
  explicit Step(Backend* backend)
      : backend(backend),
        table(DType::kF32, 50, 16),
        weight(DType::kF32, 32, 16),
        back(DType::kF32, 16, 16),
        norm(DType::kF32, 1, 16),
        hidden(DType::kF32, 6, 16),
        normed(DType::kF32, 6, 16),
        wide(DType::kF32, 6, 32),
        narrow(DType::kF32, 6, 16),
        delta(DType::kF32, 6, 16) {
    table.FillNormal(1);
    weight.FillNormal(2);
    back.FillNormal(3);
    norm.FillNormal(4);
    packed = *backend->Pack({weight.tensor()});
    packed_back = *backend->Pack({back.tensor()});
  }

  std::vector<float> Run(const std::vector<int32_t>& tokens, int rows = 6) {
    const auto part = [rows](const Matrix& matrix) { return matrix.tensor().Rows(0, rows); };
    backend->Embed(table.tensor(), absl::MakeConstSpan(tokens).first(rows), 0, part(hidden));
    for (int layer = 0; layer < 3; ++layer) {
      backend->RmsNorm(part(hidden), norm.tensor(), 1e-5f, part(normed));
      backend->MatMul(part(normed), *packed, part(wide));
      backend->SwiGlu(part(wide), part(narrow));
      backend->MatMul(part(narrow), *packed_back, part(delta));
      backend->Add(part(delta), part(hidden));
    }
    std::vector<float> result(rows * 16);
    backend->Download(part(hidden), absl::MakeSpan(result));
    EXPECT_EQ(backend->Synchronize(), absl::OkStatus());
    return result;
  }

  Backend* const backend;
  Matrix table, weight, back, norm, hidden, normed, wide, narrow, delta;
  std::unique_ptr<PackedMatrix> packed, packed_back;
};

std::vector<int32_t> Tokens(int first) { return {first, first + 7, 3, first + 1, 0, 49 - first}; }

TEST(CudaBackendTest, AStepThatRepeatsIsOneLaunchOfItsOwnTokens) {
  const auto backend = Open();
  Step step(backend.get());
  for (int i = 0; i < 5; ++i) {
    const emulated::Counts before = emulated::Counted();
    const auto result = step.Run(Tokens(i));
    const emulated::Counts& after = emulated::Counted();
    EXPECT_EQ(after.graph_launches - before.graph_launches, i == 0 ? 0 : 1) << "step " << i;
    EXPECT_EQ(after.captured - before.captured, i == 1 ? 14 : 0) << "step " << i;
    if (i > 0) {
      EXPECT_LE(after.issued - before.issued, 2) << "more than copies in and out, step " << i;
    }
    const auto fresh = Open();  // To which no step has come before.
    EXPECT_EQ(result, Step(fresh.get()).Run(Tokens(i))) << "step " << i;
  }
  // Other rows are another step; the first is still known.
  const int launches = emulated::Counted().graph_launches;
  step.Run(Tokens(1), 4);
  EXPECT_EQ(emulated::Counted().graph_launches, launches);
  step.Run(Tokens(1));
  EXPECT_EQ(emulated::Counted().graph_launches, launches + 1);
}

TEST(CudaBackendTest, AgreesWithTheCpu) {
  const auto cuda = Open();
  const auto cpu = OpenCpuBackend({.compute_dtype = DType::kF32, .threads = 1}).value();
  const auto ours = Step(cuda.get()).Run(Tokens(2)), theirs = Step(cpu.get()).Run(Tokens(2));
  for (size_t i = 0; i < ours.size(); ++i) EXPECT_NEAR(ours[i], theirs[i], 1e-4f * (1 + std::abs(theirs[i])));
}

TEST(CudaBackendTest, ASumTakenAlongByANormHasTheSameBits) {
  const auto backend = Open();
  Matrix sums[2] = {{DType::kF32, 3, 20}, {DType::kF32, 3, 20}}, outs[2] = {{DType::kF32, 3, 20}, {DType::kF32, 3, 20}};
  Matrix delta(DType::kF32, 3, 20), weight(DType::kF32, 1, 20);
  delta.FillNormal(1);
  weight.FillNormal(2);
  int issued[2];
  for (int apart = 0; apart < 2; ++apart) {
    sums[apart].FillNormal(3);
    issued[apart] = emulated::Counted().issued;
    backend->Add(delta.tensor(), sums[apart].tensor());
    if (apart == 1) {
      EXPECT_EQ(backend->Synchronize(), absl::OkStatus());
    }
    backend->RmsNorm(sums[apart].tensor(), weight.tensor(), 1e-5f, outs[apart].tensor());
    ASSERT_EQ(backend->Synchronize(), absl::OkStatus());
    issued[apart] = emulated::Counted().issued - issued[apart];
  }
  EXPECT_EQ(issued[0], 1);
  EXPECT_EQ(issued[1], 2);
  for (int row = 0; row < 3; ++row) {
    EXPECT_EQ(sums[0].RowBytes(row), sums[1].RowBytes(row));
    EXPECT_EQ(outs[0].RowBytes(row), outs[1].RowBytes(row));
  }
  // A norm of something else does not.
  Matrix other(DType::kF32, 3, 20);
  other.FillNormal(4);
  const std::string before = sums[0].RowBytes(0);
  backend->Add(delta.tensor(), sums[0].tensor());
  backend->RmsNorm(other.tensor(), weight.tensor(), 1e-5f, outs[0].tensor());
  ASSERT_EQ(backend->Synchronize(), absl::OkStatus());
  EXPECT_NE(sums[0].RowBytes(0), before);
}

TEST(CudaBackendTest, MemoryFreedBeforeTheStepHasBegunServesItStill) {
  const auto backend = Open();
  Matrix in(DType::kF32, 2, 8), weight(DType::kF32, 4, 8), out(DType::kF32, 2, 4);
  in.FillIntegers(1, 3);
  weight.FillIntegers(2, 3);
  auto packed = *backend->Pack({weight.tensor()});
  backend->MatMul(in.tensor(), *packed, out.tensor());
  packed = nullptr;
  ASSERT_EQ(backend->Synchronize(), absl::OkStatus());
  double expected = 0;
  for (int i = 0; i < 8; ++i) expected += in.At(1, i) * weight.At(3, i);
  EXPECT_EQ(out.At(1, 3), expected);
}

TEST(CudaBackendTest, AFailureDropsWhatWasAwaited) {
  const auto backend = Open();
  Matrix hidden(DType::kF32, 2, 8), head(DType::kF32, 40, 8), wrong(DType::kF32, 2, 9);
  hidden.FillIntegers(1, 2);
  head.FillIntegers(2, 2);
  const auto packed = *backend->Pack({head.tensor()});
  const std::vector<SampleSpec> specs(2);
  {
    std::vector<CandidateRecord> records(2);
    backend->PickCandidates(hidden.tensor(), *packed, 0, specs, absl::MakeSpan(records));
    backend->Add(wrong.tensor(), hidden.tensor());
  }
  const absl::Status status = backend->Synchronize();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("Add: delta is (2, 9) fp32, not (2, 8) fp32"));
  std::vector<CandidateRecord> records(2);
  backend->PickCandidates(hidden.tensor(), *packed, 0, specs, absl::MakeSpan(records));
  ASSERT_EQ(backend->Synchronize(), absl::OkStatus());
  EXPECT_GE(records[1].token, 0);
}

// More specs than records, rows and data have room for at a time.
TEST(CudaBackendTest, AnyNumberOfSpecsIsPicked) {
  const auto backend = Open();
  Matrix hidden(DType::kF32, 3, 2), head(DType::kF32, 5, 2);
  hidden.FillIntegers(1, 3);
  head.FillIntegers(2, 3);
  const auto packed = *backend->Pack({head.tensor()});
  std::vector<SampleSpec> specs(5000);
  for (size_t i = 0; i < specs.size(); ++i) specs[i].row = static_cast<int32_t>(i % 3);
  std::vector<CandidateRecord> records(specs.size());
  backend->PickCandidates(hidden.tensor(), *packed, 0, specs, absl::MakeSpan(records));
  ASSERT_EQ(backend->Synchronize(), absl::OkStatus());
  for (size_t i = 3; i < specs.size(); ++i) ASSERT_EQ(records[i].token, records[i % 3].token) << i;
}

}  // namespace
}  // namespace unmask::testing
