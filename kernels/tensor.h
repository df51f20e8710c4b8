// A view of a row-major matrix in a device's memory. Owns nothing and is copied freely; the memory is a Buffer's.
#ifndef UNMASK_KERNELS_TENSOR_H_
#define UNMASK_KERNELS_TENSOR_H_

#include <cstddef>
#include <cstdint>

namespace unmask {

enum class DType { kF32, kF16, kBf16 };

constexpr size_t ByteSize(DType dtype) { return dtype == DType::kF32 ? 4 : 2; }
constexpr const char* Name(DType dtype) {
  return dtype == DType::kF32 ? "fp32" : dtype == DType::kF16 ? "fp16" : "bf16";
}

struct Tensor {
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t stride = 0;  // Elements from one row to the next, >= columns.
  void* data = nullptr;

  // Rows [begin, end), and columns [begin, end), of the same memory.
  Tensor Rows(int64_t begin, int64_t end) const {
    return {dtype, end - begin, columns, stride, static_cast<char*>(data) + begin * stride * ByteSize(dtype)};
  }
  Tensor Columns(int64_t begin, int64_t end) const {
    return {dtype, rows, end - begin, stride, static_cast<char*>(data) + begin * ByteSize(dtype)};
  }
  float* f32() const { return static_cast<float*>(data); }
};

}  // namespace unmask

#endif  // UNMASK_KERNELS_TENSOR_H_
