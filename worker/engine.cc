#include "worker/engine.h"

#include <chrono>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "worker/agree.h"
#include "worker/batch.h"
#include "worker/parts.h"

namespace unmask {
namespace {

using internal::v1::Candidates;
using internal::v1::Sampling;
using internal::v1::Step;
using internal::v1::StepResult;
using internal::v1::Window;

// The whole step, in as many parts as the model computes well.
std::vector<Batch> MakeBatches(const Step& step, int parts_at_once, KvCache* kv) {
  std::vector<int64_t> rows;
  for (const Window& window : step.windows()) rows.push_back(window.tokens_size() + window.unconditional_tokens_size());
  std::vector<Batch> batches;
  int begin = 0;
  for (const int size : PartSizes(rows, parts_at_once)) {
    batches.push_back(MakeBatch(step, begin, begin + size, kv));
    begin += size;
  }
  return batches;
}

// The candidates of one window, from the records of its sampled positions.
Candidates ToCandidates(const Window& window, absl::Span<const CandidateRecord> records) {
  const Sampling& sampling = window.sampling();
  Candidates candidates;
  for (const CandidateRecord& record : records) {
    const CandidateFigures figures = Figures(record);
    candidates.add_tokens(figures.token);
    candidates.add_confidences(figures.confidence);
    if (sampling.margin()) candidates.add_margins(figures.margin);
    if (sampling.entropy()) candidates.add_entropies(figures.entropy);
    if (window.asked_size() > 0) candidates.add_log_probabilities(figures.log_probability);
    if (figures.not_finite) candidates.set_not_finite(true);
  }
  return candidates;
}

}  // namespace

absl::StatusOr<StepResult> Engine::Run(const Step& step) {
  const auto begin = std::chrono::steady_clock::now();
  StepResult result;
  result.set_id(step.id());
  result.set_epoch(step.epoch());
  for (const uint64_t sequence : step.release()) kv_->Release(sequence);

  // All ranks see the same step and hold the same slots, so that all find the same.
  if (const absl::Status status = CheckStep(step, limits_, *kv_); !status.ok()) {
    result.set_error(std::string(status.message()));
    return result;
  }
  if (const auto requests = NewSequences(step, *kv_); !requests.empty()) {
    UNMASK_RETURN_IF_ERROR(Agree(kv_->Reserve(requests), ranks_));
  }
  const std::vector<Batch> batches = MakeBatches(step, model_->parts_at_once(), kv_);
  size_t sampled = 0;
  for (const Window& window : step.windows()) sampled += window.sample_size();
  std::vector<CandidateRecord> records(sampled, EmptyCandidate());
  if (step.windows_size() > 0) model_->Forward(batches, absl::MakeSpan(records));
  UNMASK_ASSIGN_OR_RETURN(records, Gather(records));

  absl::Span<const CandidateRecord> rest = records;
  for (const Window& window : step.windows()) {
    *result.add_candidates() = ToCandidates(window, rest.first(window.sample_size()));
    rest.remove_prefix(window.sample_size());
  }
  const auto elapsed = std::chrono::steady_clock::now() - begin;
  result.set_compute_micros(std::chrono::duration_cast<std::chrono::microseconds>(elapsed).count());
  return result;
}

absl::StatusOr<std::vector<CandidateRecord>> Engine::Gather(const std::vector<CandidateRecord>& own) {
  // A failed rank sends a message in place of its records: one byte tells which.
  const absl::Status status = backend_->Synchronize();
  std::string bytes(1, status.ok() ? '+' : '-');
  if (status.ok()) {
    bytes.append(reinterpret_cast<const char*>(own.data()), own.size() * sizeof(CandidateRecord));
  } else {
    bytes.append(status.message().data(), status.message().size());
  }
  std::vector<CandidateRecord> merged(own.size(), EmptyCandidate());
  const std::vector<std::string> all = ranks_->AllGather(bytes);
  for (size_t rank = 0; rank < all.size(); ++rank) {
    const absl::string_view body = absl::string_view(all[rank]).substr(1);
    if (all[rank][0] != '+') return absl::InternalError(absl::StrCat("rank ", rank, ": ", body));
    for (size_t i = 0; i < merged.size(); ++i) {
      CandidateRecord record;
      std::memcpy(&record, body.data() + i * sizeof record, sizeof record);
      merged[i] = rank == 0 ? record : Merge(merged[i], record);
    }
  }
  return merged;
}

void Engine::Release(const internal::v1::Release& release) {
  for (const uint64_t sequence : release.sequences()) kv_->Release(sequence);
}

}  // namespace unmask
