#include "kernels/cpu/pick.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "base/status.h"

namespace unmask {
namespace {

constexpr int64_t kPanelsOfTask =
    4;  // 1024 ids: a row's scan is worth its fixed costs, and 128 rows of them fit the L2.
constexpr int64_t kTaskIds = kPanelsOfTask * kPanelOutputs;

// The hidden rows of some specs side by side: spec i's own row, then those of guided specs in order.
struct Tile {
  std::vector<char> data;
  Tensor rows;
  std::vector<int64_t> unconditional;  // Of each spec: its row here, or -1.
};

// How many of the first specs go together: as many as have kGemmRows rows, where guidance takes two.
size_t TileSize(absl::Span<const SampleSpec> specs) {
  size_t size = 0;
  for (int64_t rows = 0; size < specs.size(); ++size) {
    rows += specs[size].unconditional_row < 0 ? 1 : 2;
    if (rows > kGemmRows) break;
  }
  return size;
}

void Gather(const Tensor& hidden, absl::Span<const SampleSpec> specs, int64_t row_multiple, Tile* tile) {
  const size_t row_bytes = hidden.columns * ByteSize(hidden.dtype);
  int64_t rows = static_cast<int64_t>(specs.size());
  tile->unconditional.clear();
  for (const SampleSpec& spec : specs) tile->unconditional.push_back(spec.unconditional_row < 0 ? -1 : rows++);
  tile->data.resize(RoundUp(rows, row_multiple) * row_bytes);
  tile->rows = {hidden.dtype, rows, hidden.columns, hidden.columns, tile->data.data()};
  const auto copy = [&](int64_t from, int64_t to) {
    std::memcpy(tile->rows.Rows(to, to + 1).data, hidden.Rows(from, from + 1).data, row_bytes);
  };
  for (size_t i = 0; i < specs.size(); ++i) {
    copy(specs[i].row, static_cast<int64_t>(i));
    if (tile->unconditional[i] >= 0) copy(specs[i].unconditional_row, tile->unconditional[i]);
  }
}

ScanTask Describe(const SampleSpec& spec) {
  ScanTask task{};
  task.cfg_scale = spec.cfg_scale;
  task.temperature = spec.temperature;
  task.seed = spec.seed;
  task.noise_step = spec.noise_step;
  task.position = spec.position;
  task.suppressed = spec.suppressed.data();
  task.suppressed_count = static_cast<int64_t>(spec.suppressed.size());
  task.token_bound = spec.token_bound;
  task.unconfident = spec.unconfident.data();
  task.unconfident_count = static_cast<int64_t>(spec.unconfident.size());
  task.asked = spec.asked;
  return task;
}

absl::Status PickTile(const KernelTable& kernels, Workers* workers, const Tile& tile, const CpuMatrix& head,
                      int32_t first_token, absl::Span<const SampleSpec> specs, absl::Span<CandidateRecord> records) {
  const int64_t tasks = (head.panels() + kPanelsOfTask - 1) / kPanelsOfTask;
  const int64_t count = static_cast<int64_t>(specs.size());
  for (int64_t p = 0; p < head.panels(); ++p) {
    UNMASK_RETURN_IF_ERROR(head.panel(p)->Prepare(tile.rows.rows));
  }
  std::vector<std::vector<float>> scratch(workers->threads(), std::vector<float>(tile.rows.rows * kTaskIds));
  std::vector<CandidateRecord> parts(count * tasks);
  std::vector<absl::Status> errors(workers->threads());
  workers->Run(tasks, [&](int64_t t, int worker) {
    const Tensor logits{DType::kF32, tile.rows.rows, kTaskIds, kTaskIds, scratch[worker].data()};
    const int64_t first = t * kTaskIds, end = std::min(head.rows(), first + kTaskIds);
    for (int64_t p = t * kPanelsOfTask; p * kPanelOutputs < end; ++p) {
      const Tensor out = logits.Columns(p * kPanelOutputs - first, head.PanelEnd(p) - first);
      const absl::Status status = head.panel(p)->Multiply(tile.rows.data, out, worker);
      if (!status.ok()) {
        errors[worker] = status;
        return;
      }
    }
    for (int64_t i = 0; i < count; ++i) {
      ScanTask task = Describe(specs[i]);
      task.logits = logits.f32() + i * kTaskIds;
      if (tile.unconditional[i] >= 0) task.unconditional = logits.f32() + tile.unconditional[i] * kTaskIds;
      task.count = end - first;
      task.first_id = first_token + static_cast<int32_t>(first);
      kernels.scan(task, &parts[i * tasks + t]);
    }
  });
  for (absl::Status& error : errors) UNMASK_RETURN_IF_ERROR(error);
  for (int64_t i = 0; i < count; ++i) {
    records[i] = EmptyCandidate();
    for (int64_t t = 0; t < tasks; ++t) records[i] = Merge(records[i], parts[i * tasks + t]);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status PickCandidates(const KernelTable& kernels, Workers* workers, const Tensor& hidden, const CpuMatrix& head,
                            int32_t first_token, absl::Span<const SampleSpec> specs,
                            absl::Span<CandidateRecord> records) {
  Tile tile;
  for (size_t begin = 0, size; begin < specs.size(); begin += size) {
    size = TileSize(specs.subspan(begin));
    Gather(hidden, specs.subspan(begin, size), head.row_multiple(), &tile);
    UNMASK_RETURN_IF_ERROR(
        PickTile(kernels, workers, tile, head, first_token, specs.subspan(begin, size), records.subspan(begin, size)));
  }
  return absl::OkStatus();
}

}  // namespace unmask
