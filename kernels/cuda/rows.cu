// Embedding, norm, SwiGLU and sum. All are bound by memory: each element is read and written once, four at a time where
// rows are aligned. What a row gives depends on its columns alone, never on the other rows.
#include <algorithm>

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/launch.h"

namespace unmask::cuda {
namespace {

constexpr int kThreads = 256;

// Rows by pieces of kThreads * kWidth columns.
template <int kWidth>
dim3 Grid(int64_t rows, int64_t columns) {
  const int64_t piece = kThreads * kWidth;
  return dim3(static_cast<unsigned>(rows), static_cast<unsigned>((columns + piece - 1) / piece));
}
template <int kWidth>
__device__ int64_t Column() {
  return (int64_t{blockIdx.y} * kThreads + threadIdx.x) * kWidth;
}

template <int kWidth, typename T>
__global__ void __launch_bounds__(kThreads) EmbedKernel(const EmbedArgs args) {
  const int64_t column = Column<kWidth>();
  if (column >= args.columns) return;
  const int64_t row = int64_t{args.tokens[blockIdx.x]} - args.first_token;
  float x[kWidth] = {};
  if (row >= 0 && row < args.table_rows) {
    Load<kWidth>(static_cast<const T*>(args.table) + row * args.table_stride + column, x);
  }
  Store<kWidth>(x, args.out + blockIdx.x * args.out_stride + column);
}

// out = round(x rsqrt(mean(x^2) + epsilon)) weight, x = in + delta. A block a row; a thread reads again only what it
// has written itself.
template <int kWidth, typename T>
__global__ void __launch_bounds__(kThreads) RmsNormKernel(const RmsNormArgs args) {
  float* in = args.in + blockIdx.x * args.in_stride;
  const float* delta = args.delta == nullptr ? nullptr : args.delta + blockIdx.x * args.delta_stride;
  T* out = static_cast<T*>(args.out) + blockIdx.x * args.out_stride;
  float squares = 0;
  for (int64_t c = threadIdx.x * kWidth; c < args.columns; c += kThreads * kWidth) {
    float x[kWidth];
    Load<kWidth>(in + c, x);
    if (delta != nullptr) {
      float d[kWidth];
      Load<kWidth>(delta + c, d);
      for (int i = 0; i < kWidth; ++i) x[i] += d[i];
      Store<kWidth>(x, in + c);
    }
    for (int i = 0; i < kWidth; ++i) squares = fmaf(x[i], x[i], squares);
  }
  const float mean = SumOfBlock<kThreads>(squares) / static_cast<float>(args.columns);
  const float scale = 1.0f / sqrtf(mean + args.epsilon);
  for (int64_t c = threadIdx.x * kWidth; c < args.columns; c += kThreads * kWidth) {
    float x[kWidth], weight[kWidth];
    Load<kWidth>(in + c, x);
    Load<kWidth>(args.weight + c, weight);
    for (int i = 0; i < kWidth; ++i) x[i] = RoundedAs<T>(x[i] * scale) * weight[i];
    Store<kWidth>(x, out + c);
  }
}

// silu(g) u = g u / (1 + e^-g)
template <int kWidth, typename T>
__global__ void __launch_bounds__(kThreads) SwiGluKernel(const SwiGluArgs args) {
  const int64_t column = Column<kWidth>();
  if (column >= args.columns) return;
  const float* row = args.gate_up + blockIdx.x * args.in_stride;
  float gate[kWidth], up[kWidth];
  Load<kWidth>(row + column, gate);
  Load<kWidth>(row + args.columns + column, up);
  for (int i = 0; i < kWidth; ++i) gate[i] = gate[i] / (1.0f + gpu::Exp(-gate[i])) * up[i];
  Store<kWidth>(gate, static_cast<T*>(args.out) + blockIdx.x * args.out_stride + column);
}

template <int kWidth>
__global__ void __launch_bounds__(kThreads) AddKernel(const AddArgs args) {
  const int64_t column = Column<kWidth>();
  if (column >= args.columns) return;
  float* sum = args.sum + blockIdx.x * args.sum_stride + column;
  float x[kWidth], delta[kWidth];
  Load<kWidth>(sum, x);
  Load<kWidth>(args.delta + blockIdx.x * args.delta_stride + column, delta);
  for (int i = 0; i < kWidth; ++i) x[i] += delta[i];
  Store<kWidth>(x, sum);
}

}  // namespace

cudaError_t LaunchEmbed(const EmbedArgs& args, cudaStream_t stream) {
  return WithType(args.dtype, [&]<typename T>(T) {
    return FoursFit(args.table_stride | args.out_stride | args.columns, args.table, args.out)
               ? gpu::Launch(EmbedKernel<4, T>, Grid<4>(args.rows, args.columns), kThreads, stream, args)
               : gpu::Launch(EmbedKernel<1, T>, Grid<1>(args.rows, args.columns), kThreads, stream, args);
  });
}

cudaError_t LaunchRmsNorm(const RmsNormArgs& args, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(args.rows));
  return WithType(args.dtype, [&]<typename T>(T) {
    return FoursFit(args.in_stride | args.delta_stride | args.out_stride | args.columns, args.in, args.delta,
                    args.weight, args.out)
               ? gpu::Launch(RmsNormKernel<4, T>, grid, kThreads, stream, args)
               : gpu::Launch(RmsNormKernel<1, T>, grid, kThreads, stream, args);
  });
}

cudaError_t LaunchSwiGlu(const SwiGluArgs& args, cudaStream_t stream) {
  return WithType(args.dtype, [&]<typename T>(T) {
    return FoursFit(args.in_stride | args.out_stride | args.columns, args.gate_up, args.out)
               ? gpu::Launch(SwiGluKernel<4, T>, Grid<4>(args.rows, args.columns), kThreads, stream, args)
               : gpu::Launch(SwiGluKernel<1, T>, Grid<1>(args.rows, args.columns), kThreads, stream, args);
  });
}

cudaError_t LaunchAdd(const AddArgs& args, cudaStream_t stream) {
  return FoursFit(args.delta_stride | args.sum_stride | args.columns, args.delta, args.sum)
             ? gpu::Launch(AddKernel<4>, Grid<4>(args.rows, args.columns), kThreads, stream, args)
             : gpu::Launch(AddKernel<1>, Grid<1>(args.rows, args.columns), kThreads, stream, args);
}

}  // namespace unmask::cuda
