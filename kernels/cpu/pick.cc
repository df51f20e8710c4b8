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

// Some specs, and their hidden rows side by side: spec i's own row, then those of guided specs in order.
struct Tile {
  int64_t first = 0;  // Of the specs.
  int64_t count = 0;
  int64_t begin = 0;  // Of the rows, in Gathered.
  int64_t rows = 0;
};

// All tiles' rows.
struct Gathered {
  std::vector<char> data;
  std::vector<int64_t> unconditional;  // Of each spec: its row in its tile, or -1.
  std::vector<Tile> tiles;
};

Gathered Gather(const Tensor& hidden, absl::Span<const SampleSpec> specs) {
  const size_t row_bytes = hidden.columns * ByteSize(hidden.dtype);
  const int64_t count = static_cast<int64_t>(specs.size());
  Gathered gathered;
  gathered.unconditional.assign(count, -1);
  int64_t begin = 0;
  for (int64_t first = 0; first < count;) {
    Tile tile{.first = first, .begin = begin};
    const auto rows_of = [&](int64_t i) { return specs[i].unconditional_row < 0 ? 1 : 2; };
    for (int64_t i = first; i < count && tile.rows + rows_of(i) <= kGemmRows; ++i, ++tile.count)
      tile.rows += rows_of(i);
    first += tile.count;
    begin += tile.rows;
    gathered.tiles.push_back(tile);
  }
  gathered.data.resize(begin * row_bytes);
  for (const Tile& tile : gathered.tiles) {
    const auto copy = [&](int64_t from, int64_t to) {
      std::memcpy(gathered.data.data() + (tile.begin + to) * row_bytes, hidden.Rows(from, from + 1).data, row_bytes);
    };
    int64_t guided = tile.count;
    for (int64_t i = 0; i < tile.count; ++i) {
      const SampleSpec& spec = specs[tile.first + i];
      copy(spec.row, i);
      if (spec.unconditional_row < 0) continue;
      gathered.unconditional[tile.first + i] = guided;
      copy(spec.unconditional_row, guided++);
    }
  }
  return gathered;
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

}  // namespace

absl::Status PickCandidates(const KernelTable& kernels, Workers* workers, const Tensor& hidden, const CpuMatrix& head,
                            int32_t first_token, absl::Span<const SampleSpec> specs,
                            absl::Span<CandidateRecord> records) {
  const Gathered gathered = Gather(hidden, specs);
  const int64_t ranges = (head.panels() + kPanelsOfTask - 1) / kPanelsOfTask;  // Of ids, for each tile.
  std::vector<CandidateRecord> parts(specs.size() * ranges);
  std::vector<absl::Status> errors(workers->threads());
  workers->Run(static_cast<int64_t>(gathered.tiles.size()) * ranges, [&](int64_t index, int worker) {
    thread_local std::vector<float> scratch;  // Kept by its thread: half a megabyte would be mapped anew each time.
    const Tile& tile = gathered.tiles[index / ranges];
    const int64_t range = index % ranges;
    if (static_cast<int64_t>(scratch.size()) < tile.rows * kTaskIds) scratch.resize(tile.rows * kTaskIds);
    const Tensor logits{DType::kF32, tile.rows, kTaskIds, kTaskIds, scratch.data()};
    const char* rows = gathered.data.data() + tile.begin * hidden.columns * ByteSize(hidden.dtype);
    const int64_t first = range * kTaskIds, end = std::min(head.rows(), first + kTaskIds);
    for (int64_t p = range * kPanelsOfTask; p * kPanelOutputs < end; ++p) {
      const Tensor out = logits.Columns(p * kPanelOutputs - first, head.PanelEnd(p) - first);
      const absl::Status status = head.panel(p)->Multiply(rows, out, worker);
      if (!status.ok()) {
        errors[worker] = status;
        return;
      }
    }
    for (int64_t i = tile.first; i < tile.first + tile.count; ++i) {
      ScanTask task = Describe(specs[i]);
      task.logits = logits.f32() + (i - tile.first) * kTaskIds;
      if (const int64_t row = gathered.unconditional[i]; row >= 0) task.unconditional = logits.f32() + row * kTaskIds;
      task.count = end - first;
      task.first_id = first_token + static_cast<int32_t>(first);
      kernels.scan(task, &parts[i * ranges + range]);
    }
  });
  for (absl::Status& error : errors) UNMASK_RETURN_IF_ERROR(error);
  for (size_t i = 0; i < specs.size(); ++i) {
    records[i] = EmptyCandidate();
    for (int64_t range = 0; range < ranges; ++range) records[i] = Merge(records[i], parts[i * ranges + range]);
  }
  return absl::OkStatus();
}

}  // namespace unmask
