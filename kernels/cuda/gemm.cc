#include "kernels/cuda/gemm.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace unmask::cuda {
namespace {

constexpr size_t kWorkspace = size_t{32} << 20;
constexpr int kMostCandidates = 64;
// Algorithms are chosen for these numbers of rows, and used for all below: the last one for more.
constexpr int64_t kRowBuckets[] = {16, 32, 64, 128, 256, 512, 1024};
// Whose algorithm is the measure of the others.
constexpr int64_t kMeasure = 256;
constexpr int64_t kRowsCompared = 16;

int64_t Bucket(int64_t rows) {
  for (const int64_t bucket : kRowBuckets) {
    if (rows <= bucket) return bucket;
  }
  return std::end(kRowBuckets)[-1];
}

absl::Status ToStatus(cublasStatus_t status, absl::string_view what) {
  if (status == CUBLAS_STATUS_SUCCESS) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(what, ": cuBLASLt status ", static_cast<int>(status)));
}

// What a product looks like to cuBLASLt, whose matrices are column-major: out^T = weight in^T.
struct Problem {
  explicit Problem(const MultiplyArgs& args) {
    const cudaDataType_t type = args.dtype == DType::kBf16 ? CUDA_R_16BF : CUDA_R_32F;
    cublasLtMatmulDescInit(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    const cublasOperation_t transposed = CUBLAS_OP_T;
    cublasLtMatmulDescSetAttribute(&operation, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed);
    cublasLtMatrixLayoutInit(&weight, type, args.depth, args.outputs, args.depth);
    cublasLtMatrixLayoutInit(&in, type, args.depth, args.rows, args.in_stride);
    cublasLtMatrixLayoutInit(&out, CUDA_R_32F, args.outputs, args.rows, args.out_stride);
  }
  cublasLtMatmulDescOpaque_t operation;
  cublasLtMatrixLayoutOpaque_t weight, in, out;
};

bool Aligned(const MultiplyArgs& args) {
  const auto item = static_cast<int64_t>(ByteSize(args.dtype));
  const auto beginnings = reinterpret_cast<uintptr_t>(args.in) | reinterpret_cast<uintptr_t>(args.weight) |
                          reinterpret_cast<uintptr_t>(args.out);
  return beginnings % 16 == 0 &&
         (args.depth * item | args.in_stride * item | args.outputs * 4 | args.out_stride * 4) % 16 == 0;
}

// What decides the order of an algorithm's sums.
std::vector<int> Walk(const cublasLtMatmulAlgo_t& algorithm) {
  std::vector<int> walk;
  for (const auto attribute : {CUBLASLT_ALGO_CONFIG_ID, CUBLASLT_ALGO_CONFIG_STAGES_ID, CUBLASLT_ALGO_CONFIG_SPLITK_NUM,
                               CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID}) {
    uint32_t value = 0;  // Some attributes are of two bytes.
    size_t written = 0;
    cublasLtMatmulAlgoConfigGetAttribute(&algorithm, attribute, &value, sizeof value, &written);
    if (written == 0) {
      uint16_t narrow = 0;
      cublasLtMatmulAlgoConfigGetAttribute(&algorithm, attribute, &narrow, sizeof narrow, &written);
      value = narrow;
    }
    walk.push_back(static_cast<int>(value));
  }
  return walk;
}

// Numbers of very different sizes, 2^-8 to 2^8, so that even short sums of bf16 round.
std::string RoundingNumbers(DType dtype, int64_t bytes) {
  std::vector<uint32_t> some(65521);  // A prime: rows do not repeat.
  std::mt19937 random(1);
  for (uint32_t& number : some) number = 0x3b800000u + (random() & 0x87ffffffu);
  const int64_t item = ByteSize(dtype);
  std::string numbers(bytes, '\0');
  for (int64_t i = 0; i < bytes / item; ++i) {
    const uint32_t number = some[i % some.size()] >> (32 - 8 * item);  // A bf16 is a float's upper half.
    std::memcpy(numbers.data() + i * item, &number, item);
  }
  return numbers;
}

}  // namespace

cudaError_t LaunchMultiply(const MultiplyArgs& args, cudaStream_t stream) {
  if (args.rows == 0) return cudaSuccess;
  return args.gemm->Multiply(args, stream) == CUBLAS_STATUS_SUCCESS ? cudaSuccess : cudaErrorLaunchFailure;
}

absl::StatusOr<std::unique_ptr<Gemm>> Gemm::Open(cudaStream_t stream) {
  std::unique_ptr<Gemm> gemm(new Gemm(stream));
  UNMASK_RETURN_IF_ERROR(ToStatus(cublasLtCreate(&gemm->handle_), "opening cuBLASLt"));
  UNMASK_ASSIGN_OR_RETURN(gemm->workspace_, DeviceMemory::Allocate(kWorkspace, stream));
  return gemm;
}

Gemm::~Gemm() {
  if (handle_ != nullptr) cublasLtDestroy(handle_);
}

std::string Gemm::Name() const { return absl::StrCat("cublaslt-", cublasLtGetVersion()); }

cublasStatus_t Gemm::Multiply(const MultiplyArgs& args, cudaStream_t stream) const {
  Problem problem(args);
  const float one = 1, zero = 0;
  return cublasLtMatmul(handle_, &problem.operation, &one, args.weight, &problem.weight, args.in, &problem.in, &zero,
                        args.out, &problem.out, args.out, &problem.out, args.algorithm, workspace_.data(), kWorkspace,
                        stream);
}

absl::Status Gemm::Plan(MultiplyArgs* args) {
  if (args->rows == 0) return absl::OkStatus();
  const bool aligned = Aligned(*args);
  Pinned& pinned = pinned_[{args->dtype, args->outputs, args->depth, aligned}];
  for (const int64_t bucket : {kMeasure, Bucket(args->rows)}) {
    auto& algorithm = pinned.by_rows[bucket];
    if (algorithm != nullptr) continue;
    MultiplyArgs shape = *args;
    shape.rows = bucket;
    shape.in_stride = shape.depth;  // The same algorithm whatever gaps a caller's rows have,
    shape.out_stride = shape.outputs;
    UNMASK_ASSIGN_OR_RETURN(const cublasLtMatmulAlgo_t chosen, Choose(shape, aligned, &pinned));
    algorithm = std::make_unique<cublasLtMatmulAlgo_t>(chosen);
  }
  args->algorithm = pinned.by_rows[Bucket(args->rows)].get();
  return absl::OkStatus();
}

absl::StatusOr<cublasLtMatmulAlgo_t> Gemm::Choose(const MultiplyArgs& args, bool aligned, Pinned* pinned) const {
  UNMASK_ASSIGN_OR_RETURN(const auto candidates, Candidates(args, aligned));
  if (pinned->walk.empty()) {
    pinned->walk = Walk(candidates.front());
    return candidates.front();
  }
  const cublasLtMatmulAlgo_t& measure = *pinned->by_rows[kMeasure];
  for (const cublasLtMatmulAlgo_t& candidate : candidates) {
    if (Walk(candidate) != pinned->walk) continue;
    UNMASK_ASSIGN_OR_RETURN(const bool same, SameBits(args, candidate, measure));
    if (same) return candidate;
  }
  return measure;
}

absl::StatusOr<std::vector<cublasLtMatmulAlgo_t>> Gemm::Candidates(const MultiplyArgs& args, bool aligned) const {
  Problem problem(args);
  cublasLtMatmulPreferenceOpaque_t preference;
  cublasLtMatmulPreferenceInit(&preference);
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    cublasLtMatmulPreferenceSetAttribute(&preference, attribute, &value, sizeof value);
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{kWorkspace});
  prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, uint32_t{CUBLASLT_REDUCTION_SCHEME_NONE});  // No split sums.
  const uint32_t alignment = aligned ? 16 : static_cast<uint32_t>(ByteSize(args.dtype));
  const uint32_t out_alignment = aligned ? 16 : 4;
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, out_alignment);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, out_alignment);
  std::vector<cublasLtMatmulHeuristicResult_t> results(kMostCandidates);
  int count = 0;
  UNMASK_RETURN_IF_ERROR(
      ToStatus(cublasLtMatmulAlgoGetHeuristic(handle_, &problem.operation, &problem.weight, &problem.in, &problem.out,
                                              &problem.out, &preference, kMostCandidates, results.data(), &count),
               absl::StrCat("choosing an algorithm for ", args.rows, " x ", args.depth, " x ", args.outputs)));
  std::vector<cublasLtMatmulAlgo_t> candidates;
  for (int i = 0; i < count; ++i) {
    if (results[i].state == CUBLAS_STATUS_SUCCESS) candidates.push_back(results[i].algo);
  }
  if (candidates.empty()) {
    return absl::InternalError(
        absl::StrCat("cuBLASLt has no product of ", args.rows, " x ", args.depth, " x ", args.outputs));
  }
  return candidates;
}

absl::StatusOr<bool> Gemm::SameBits(const MultiplyArgs& shape, const cublasLtMatmulAlgo_t& a,
                                    const cublasLtMatmulAlgo_t& b) const {
  const int64_t item = ByteSize(shape.dtype), in_bytes = shape.rows * shape.depth * item;
  const int64_t compared = std::min(kRowsCompared, shape.rows);
  UNMASK_ASSIGN_OR_RETURN(const DeviceMemory in, DeviceMemory::Allocate(in_bytes, stream_));
  UNMASK_ASSIGN_OR_RETURN(const DeviceMemory out, DeviceMemory::Allocate(shape.rows * shape.outputs * 4, stream_));
  const std::string numbers = RoundingNumbers(shape.dtype, in_bytes);
  std::vector<float> outs[2];
  for (int i = 0; i < 2; ++i) {
    MultiplyArgs args = shape;
    args.algorithm = i == 0 ? &a : &b;
    args.in = in.data();
    args.out = out.as<float>();
    cudaMemcpyAsync(in.data(), numbers.data(), in_bytes, cudaMemcpyHostToDevice, stream_);
    if (Multiply(args, stream_) != CUBLAS_STATUS_SUCCESS) return false;
    // The first rows and the last: the others lie in tiles like theirs.
    outs[i].resize(2 * compared * shape.outputs);
    const int64_t bytes = compared * shape.outputs * 4;
    cudaMemcpyAsync(outs[i].data(), out.data(), bytes, cudaMemcpyDeviceToHost, stream_);
    cudaMemcpyAsync(outs[i].data() + compared * shape.outputs,
                    out.as<float>() + (shape.rows - compared) * shape.outputs, bytes, cudaMemcpyDeviceToHost, stream_);
    UNMASK_RETURN_IF_ERROR(cuda::ToStatus(cudaStreamSynchronize(stream_), "comparing products"));
  }
  return std::memcmp(outs[0].data(), outs[1].data(), outs[0].size() * sizeof(float)) == 0;
}

}  // namespace unmask::cuda
