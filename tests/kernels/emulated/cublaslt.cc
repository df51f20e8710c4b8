#include <cublasLt.h>

#include <algorithm>
#include <cstring>
#include <vector>

using unmask::emulated::Issue;

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) { return *handle = handle, CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasLtDestroy(cublasLtHandle_t) { return CUBLAS_STATUS_SUCCESS; }
size_t cublasLtGetVersion() { return 130002; }

cublasStatus_t cublasLtMatmulDescInit(cublasLtMatmulDescOpaque_t* desc, cublasComputeType_t, cudaDataType_t) {
  return desc->transposed = false, CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDescOpaque_t* desc, cublasLtMatmulDescAttributes_t,
                                              const void* value, size_t) {
  return desc->transposed = *static_cast<const cublasOperation_t*>(value) == CUBLAS_OP_T, CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutInit(cublasLtMatrixLayoutOpaque_t* layout, cudaDataType_t type, uint64_t rows,
                                        uint64_t columns, int64_t stride) {
  return *layout = {type, rows, columns, stride}, CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceInit(cublasLtMatmulPreferenceOpaque_t* preference) {
  return preference->alignment = 256, CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreferenceOpaque_t* preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void* value,
                                                    size_t bytes) {
  if (attribute >= CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES) {
    uint32_t alignment = 0;
    std::memcpy(&alignment, value, std::min(bytes, sizeof alignment));
    preference->alignment = std::min(preference->alignment, alignment);
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDescOpaque_t*,
                                              cublasLtMatrixLayoutOpaque_t*, cublasLtMatrixLayoutOpaque_t* b,
                                              cublasLtMatrixLayoutOpaque_t*, cublasLtMatrixLayoutOpaque_t*,
                                              cublasLtMatmulPreferenceOpaque_t* preference, int most,
                                              cublasLtMatmulHeuristicResult_t* results, int* count) {
  const uint32_t alignment = preference->alignment;
  const cublasLtMatmulAlgo_t honest = {1, 2, false, alignment}, other = {2, 2, true, alignment},
                             liar = {1, 2, true, alignment};
  std::vector<cublasLtMatmulAlgo_t> offered = {other, liar, honest};
  if (b->columns == 256) offered = {honest, other};
  if (b->columns == 64) offered = {other, liar};  // None that will do.
  *count = std::min(most, static_cast<int>(offered.size()));
  for (int i = 0; i < *count; ++i) results[i] = {offered[i], CUBLAS_STATUS_SUCCESS};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t* algorithm,
                                                    cublasLtMatmulAlgoConfigAttributes_t attribute, void* value,
                                                    size_t bytes, size_t* written) {
  const bool narrow = attribute == CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID;  // Of two bytes, as in the real one.
  *written = narrow ? 2 : 4;
  if (bytes != *written) return *written = 0, CUBLAS_STATUS_INVALID_VALUE;
  const uint32_t answer = attribute == CUBLASLT_ALGO_CONFIG_ID          ? algorithm->id
                          : attribute == CUBLASLT_ALGO_CONFIG_STAGES_ID ? algorithm->stages
                                                                        : 0;
  std::memcpy(value, &answer, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

namespace {

float Element(cudaDataType_t type, const void* data, int64_t at) {
  if (type == CUDA_R_32F) return static_cast<const float*>(data)[at];
  return __builtin_bit_cast(float, uint32_t{static_cast<const uint16_t*>(data)[at]} << 16);
}

}  // namespace

// d = a^T b, column-major, as the only use has it.
cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDescOpaque_t* desc, const void* alpha, const void* a,
                              cublasLtMatrixLayoutOpaque_t* a_layout, const void* b,
                              cublasLtMatrixLayoutOpaque_t* b_layout, const void* beta, const void*,
                              cublasLtMatrixLayoutOpaque_t* c_layout, void* d, cublasLtMatrixLayoutOpaque_t* d_layout,
                              const cublasLtMatmulAlgo_t* algorithm, void* workspace, size_t, cudaStream_t stream) {
  const bool plain =
      desc->transposed && *static_cast<const float*>(alpha) == 1 && *static_cast<const float*>(beta) == 0;
  const bool fits = a_layout->rows == b_layout->rows && d_layout->rows == a_layout->columns &&
                    d_layout->columns == b_layout->columns && c_layout->rows == d_layout->rows &&
                    a_layout->stride >= static_cast<int64_t>(a_layout->rows) &&
                    b_layout->stride >= static_cast<int64_t>(b_layout->rows) &&
                    d_layout->stride >= static_cast<int64_t>(d_layout->rows) && d_layout->type == CUDA_R_32F;
  if (!plain || !fits || workspace == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  const int64_t item = a_layout->type == CUDA_R_32F ? 4 : 2;
  const auto offsets = reinterpret_cast<uintptr_t>(a) | reinterpret_cast<uintptr_t>(b) |
                       reinterpret_cast<uintptr_t>(d) | static_cast<uintptr_t>(a_layout->stride * item) |
                       static_cast<uintptr_t>(b_layout->stride * item) | static_cast<uintptr_t>(d_layout->stride * 4);
  if (offsets % algorithm->alignment != 0) return CUBLAS_STATUS_NOT_SUPPORTED;
  Issue(stream, [=, aa = *a_layout, bb = *b_layout, dd = *d_layout, backwards = algorithm->backwards] {
    const auto depth = static_cast<int64_t>(aa.rows);
    std::vector<float> row(depth);
    for (int64_t j = 0; j < static_cast<int64_t>(bb.columns); ++j) {
      for (int64_t k = 0; k < depth; ++k) row[k] = Element(bb.type, b, j * bb.stride + k);
      for (int64_t i = 0; i < static_cast<int64_t>(aa.columns); ++i) {
        float sum = 0;
        for (int64_t k = 0; k < depth; ++k) {
          const int64_t at = backwards ? depth - 1 - k : k;
          sum += Element(aa.type, a, i * aa.stride + at) * row[at];
        }
        static_cast<float*>(d)[j * dd.stride + i] = sum;
      }
    }
  });
  return CUBLAS_STATUS_SUCCESS;
}
