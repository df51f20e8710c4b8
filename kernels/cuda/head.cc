#include "kernels/cuda/head.h"

#include <algorithm>
#include <vector>

#include "base/status.h"
#include "kernels/cuda/launch.h"

namespace unmask::cuda {
namespace {

// 384 rows of 16384 fp32 logits are 24 MiB: they fit in the second-level cache of an H100 (50 MiB) beside the weights
// that stream by. From some 200 rows on the product is bound by arithmetic, so that reading the weights once for each
// 384 costs nothing.
constexpr int64_t kTileRowsMost = 384;
constexpr int64_t kRangesOfPart = 16;
constexpr int64_t kPartIds = kRangesOfPart * kScanRange;

int64_t DepthBytes(const HeadMatrix& head) { return head.depth * static_cast<int64_t>(ByteSize(head.dtype)); }

// Of kScanRange ids, which begin at multiples of four of all ids (launch.h).
int64_t Shift(int32_t first_token) { return first_token % 4; }
int64_t Ranges(const HeadMatrix& head, int32_t first_token) {
  return (head.ids + Shift(first_token) + kScanRange - 1) / kScanRange;
}

struct CopyRecordsArgs {
  const CandidateRecord* from;
  CandidateRecord* to;
  int64_t count;
};
cudaError_t CopyRecords(const CopyRecordsArgs& args, cudaStream_t stream) {
  return cudaMemcpyAsync(args.to, args.from, args.count * sizeof(CandidateRecord), cudaMemcpyDeviceToHost, stream);
}

}  // namespace

// As many as fit in a tile's rows, where guidance takes a row of its own.
size_t Head::TileSize(absl::Span<const SampleSpec> specs) {
  size_t size = 0;
  for (int64_t rows = 0; size < specs.size(); ++size) {
    rows += specs[size].unconditional_row < 0 ? 1 : 2;
    if (rows > kTileRowsMost) break;
  }
  return size;
}

// Rows and scans of the tile, and two lists of ids a spec.
int64_t Head::DataBytes(absl::Span<const SampleSpec> tile) {
  int64_t bytes = 0;
  for (const SampleSpec& spec : tile) {
    bytes += sizeof(ScanSpec) + (2 + spec.suppressed.size() + spec.unconfident.size()) * sizeof(int32_t);
  }
  return bytes;
}

bool Head::HasRoomFor(const HeadMatrix& head, int32_t first_token) const {
  return DepthBytes(head) <= depth_bytes_ && Ranges(head, first_token) <= ranges_;
}

absl::Status Head::MakeRoomFor(const HeadMatrix& head, int32_t first_token, cudaStream_t stream) {
  depth_bytes_ = std::max(depth_bytes_, DepthBytes(head));
  ranges_ = std::max(ranges_, Ranges(head, first_token));
  UNMASK_ASSIGN_OR_RETURN(rows_, DeviceMemory::Allocate(kTileRowsMost * depth_bytes_, stream));
  UNMASK_ASSIGN_OR_RETURN(logits_, DeviceMemory::Allocate(kTileRowsMost * kPartIds * 4, stream));
  UNMASK_ASSIGN_OR_RETURN(records_, DeviceMemory::Allocate(kTileRowsMost * ranges_ * sizeof(CandidateRecord), stream));
  UNMASK_ASSIGN_OR_RETURN(merged_, DeviceMemory::Allocate(kTileRowsMost * sizeof(CandidateRecord), stream));
  return absl::OkStatus();
}

absl::Status Head::Pick(const Tensor& hidden, const HeadMatrix& head, int32_t first_token,
                        absl::Span<const SampleSpec> tile, CandidateRecord* records, Gemm* gemm, StepData* data,
                        Program* program) {
  std::vector<int32_t> rows;
  for (const SampleSpec& spec : tile) rows.push_back(spec.row);
  std::vector<ScanSpec> scans;
  for (const SampleSpec& spec : tile) {
    ScanSpec scan{};
    scan.seed = spec.seed;
    scan.suppressed = data->Put(spec.suppressed);
    scan.suppressed_count = static_cast<int32_t>(spec.suppressed.size());
    scan.unconfident = data->Put(spec.unconfident);
    scan.unconfident_count = static_cast<int32_t>(spec.unconfident.size());
    scan.row = static_cast<int32_t>(scans.size());
    scan.unconditional_row = spec.unconditional_row < 0 ? -1 : static_cast<int32_t>(rows.size());
    if (spec.unconditional_row >= 0) rows.push_back(spec.unconditional_row);
    scan.noise_step = spec.noise_step;
    scan.position = spec.position;
    scan.cfg_scale = spec.cfg_scale;
    scan.temperature = spec.temperature;
    scan.token_bound = spec.token_bound;
    scan.asked = spec.asked;
    scans.push_back(scan);
  }
  const auto count = static_cast<int64_t>(rows.size()), spec_count = static_cast<int64_t>(tile.size());
  const int64_t shift = Shift(first_token);
  program->Call<LaunchTakeRows>("taking sampled rows", count,
                                TakeRowsArgs{.in = hidden.data,
                                             .from = data->Put(absl::MakeConstSpan(rows)),
                                             .out = rows_.data(),
                                             .in_stride = hidden.stride,
                                             .out_stride = head.depth,
                                             .rows = count,
                                             .columns = head.depth,
                                             .dtype = hidden.dtype});
  ScanArgs scan{};
  scan.logits = logits_.as<float>();
  scan.specs = data->Put(absl::MakeConstSpan(scans));
  scan.records = records_.as<CandidateRecord>();
  scan.stride = kPartIds;
  scan.spec_count = spec_count;
  scan.first_token = first_token;
  scan.ranges = static_cast<int32_t>(Ranges(head, first_token));
  for (; scan.first_range < scan.ranges; scan.first_range += kRangesOfPart) {
    const int64_t first = std::max<int64_t>(0, scan.first_range * int64_t{kScanRange} - shift);
    const int64_t end = std::min(head.ids, (scan.first_range + kRangesOfPart) * int64_t{kScanRange} - shift);
    scan.first = static_cast<int32_t>(first);
    scan.count = end - first;
    MultiplyArgs product{};
    product.gemm = gemm;
    product.in = rows_.data();
    product.weight = static_cast<const char*>(head.data) + first * head.depth * ByteSize(head.dtype);
    product.out = logits_.as<float>();
    product.in_stride = product.depth = head.depth;
    product.out_stride = kPartIds;
    product.rows = count;
    product.outputs = scan.count;
    product.dtype = head.dtype;
    UNMASK_RETURN_IF_ERROR(gemm->Plan(&product));
    program->Call<LaunchMultiply>("logits", count, product);
    program->Call<LaunchScan>("scanning logits", count, scan);
  }
  program->Call<LaunchMerge>("merging records", count,
                             MergeArgs{.records = records_.as<CandidateRecord>(),
                                       .merged = merged_.as<CandidateRecord>(),
                                       .spec_count = spec_count,
                                       .ranges = scan.ranges});
  program->Call<CopyRecords>("copying records", count,
                             CopyRecordsArgs{merged_.as<CandidateRecord>(), records, spec_count});
  return absl::OkStatus();
}

}  // namespace unmask::cuda
