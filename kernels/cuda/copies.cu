// Rows taken, converted, and added up over parts: one element a thread, bound by memory.
#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/launch.h"

namespace unmask::cuda {
namespace {

constexpr int kThreads = 256;

dim3 Grid(int64_t rows, int64_t columns) {
  return dim3(static_cast<unsigned>(rows), static_cast<unsigned>((columns + kThreads - 1) / kThreads));
}

// Bits, whatever they mean: Word is of the element's size.
template <typename Word>
__global__ void __launch_bounds__(kThreads) TakeRowsKernel(const TakeRowsArgs args) {
  const int64_t column = int64_t{blockIdx.y} * kThreads + threadIdx.x;
  if (column >= args.columns) return;
  static_cast<Word*>(args.out)[blockIdx.x * args.out_stride + column] =
      static_cast<const Word*>(args.in)[args.from[blockIdx.x] * args.in_stride + column];
}

template <typename From, typename To>
__global__ void __launch_bounds__(kThreads) ConvertKernel(const ConvertArgs args) {
  const int64_t column = int64_t{blockIdx.y} * kThreads + threadIdx.x;
  if (column >= args.columns) return;
  const From x = static_cast<const From*>(args.in)[blockIdx.x * args.in_stride + column];
  Assign(ToFloat(x), static_cast<To*>(args.out) + blockIdx.x * args.out_stride + column);
}

__global__ void __launch_bounds__(kThreads) SumInOrderKernel(const SumInOrderArgs args) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= args.count) return;
  float sum = args.addends[i];
  for (int64_t part = 1; part < args.parts; ++part) sum += args.addends[part * args.stride + i];
  args.sum[i] = sum;
}

}  // namespace

cudaError_t LaunchTakeRows(const TakeRowsArgs& args, cudaStream_t stream) {
  const dim3 grid = Grid(args.rows, args.columns);
  return ByteSize(args.dtype) == 4 ? gpu::Launch(TakeRowsKernel<uint32_t>, grid, kThreads, stream, args)
                                   : gpu::Launch(TakeRowsKernel<uint16_t>, grid, kThreads, stream, args);
}

cudaError_t LaunchConvert(const ConvertArgs& args, cudaStream_t stream) {
  return WithType(args.from, [&]<typename From>(From) {
    return WithType(args.to, [&]<typename To>(To) {
      return gpu::Launch(ConvertKernel<From, To>, Grid(args.rows, args.columns), kThreads, stream, args);
    });
  });
}

cudaError_t LaunchSumInOrder(const SumInOrderArgs& args, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>((args.count + kThreads - 1) / kThreads);
  return gpu::Launch(SumInOrderKernel, dim3(blocks), kThreads, stream, args);
}

}  // namespace unmask::cuda
