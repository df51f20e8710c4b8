#include "kernels/cuda/loader.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "kernels/cuda/launch.h"

namespace unmask::cuda {
namespace {

constexpr int64_t kHalfBytes = int64_t{16} << 20;

}  // namespace

absl::StatusOr<std::unique_ptr<Loader>> Loader::Make(int threads, cudaStream_t stream) {
  std::unique_ptr<Loader> loader(new Loader(threads, stream));
  for (Half& half : loader->halves_) {
    UNMASK_ASSIGN_OR_RETURN(half.host, PinnedMemory::Allocate(kHalfBytes));
    UNMASK_ASSIGN_OR_RETURN(half.device, DeviceMemory::Allocate(kHalfBytes, stream));
    UNMASK_RETURN_IF_ERROR(
        ToStatus(cudaEventCreateWithFlags(&half.fetched, cudaEventDisableTiming), "creating an event"));
  }
  return loader;
}

Loader::~Loader() {
  for (Half& half : halves_) {
    if (half.fetched != nullptr) cudaEventDestroy(half.fetched);
  }
}

absl::Status Loader::Load(const Tensor& host, const Tensor& device) {
  if (host.rows == 0 || host.columns == 0) return absl::OkStatus();
  const int64_t row_bytes = host.columns * static_cast<int64_t>(ByteSize(host.dtype));
  if (row_bytes > kHalfBytes) {
    return absl::InternalError(absl::StrCat("a row of ", row_bytes, " bytes is longer than ", kHalfBytes));
  }
  const int64_t step = kHalfBytes / row_bytes;
  for (int64_t begin = 0; begin < host.rows; begin += step) {
    const int64_t end = std::min(host.rows, begin + step);
    UNMASK_RETURN_IF_ERROR(LoadRows(host.Rows(begin, end), device.Rows(begin, end), &halves_[next_]));
    next_ ^= 1;
  }
  return absl::OkStatus();
}

absl::Status Loader::LoadRows(const Tensor& host, const Tensor& device, Half* half) {
  UNMASK_RETURN_IF_ERROR(ToStatus(cudaEventSynchronize(half->fetched), "waiting for a copy"));
  const int64_t row_bytes = host.columns * static_cast<int64_t>(ByteSize(host.dtype));
  workers_.RunRows(host.rows, host.columns, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      std::memcpy(half->host.data() + row * row_bytes, host.Rows(row, row + 1).data, row_bytes);
    }
  });
  const bool converted = host.dtype != device.dtype;
  void* const to = converted ? half->device.data() : device.data;
  const int64_t pitch = converted ? row_bytes : device.stride * static_cast<int64_t>(ByteSize(device.dtype));
  UNMASK_RETURN_IF_ERROR(ToStatus(
      cudaMemcpy2DAsync(to, pitch, half->host.data(), row_bytes, row_bytes, host.rows, cudaMemcpyHostToDevice, stream_),
      "copying to the device"));
  UNMASK_RETURN_IF_ERROR(ToStatus(cudaEventRecord(half->fetched, stream_), "recording a copy"));
  if (!converted) return absl::OkStatus();
  return ToStatus(LaunchConvert({.in = to,
                                 .out = device.data,
                                 .in_stride = host.columns,
                                 .out_stride = device.stride,
                                 .rows = host.rows,
                                 .columns = host.columns,
                                 .from = host.dtype,
                                 .to = device.dtype},
                                stream_),
                  "converting");
}

}  // namespace unmask::cuda
