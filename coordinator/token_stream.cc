#include "coordinator/token_stream.h"

#include <utility>

namespace unmask {

using v1::GenerateStreamResponse;
using v1::StepEvent;

void MergeStep(StepEvent step, StepEvent* earlier) {
  earlier->set_step(step.step());
  earlier->set_merged(earlier->merged() + step.merged());
  for (v1::Commit& commit : *step.mutable_commits()) *earlier->add_commits() = std::move(commit);
  earlier->mutable_proposals()->Swap(step.mutable_proposals());
  earlier->set_masks_left(step.masks_left());
}

TokenStream::TokenStream(CallWriter* writer, RequestRecord record) : writer_(writer), record_(std::move(record)) {}

void TokenStream::Identify(RequestNames names) {
  MutexLock lock(&mutex_);
  record_.Identify(std::move(names));
}

void TokenStream::OnPlaced(absl::string_view replica, uint64_t epoch) {
  MutexLock lock(&mutex_);
  if (!result_) record_.Placed(replica, epoch);
}

void TokenStream::OnStarted() {
  MutexLock lock(&mutex_);
  if (!result_) record_.Started();
}

void TokenStream::OnFirstBlock() {
  MutexLock lock(&mutex_);
  if (!result_) record_.FirstBlockEnded();
}

void TokenStream::OnEvents(std::vector<GenerateStreamResponse> events) {
  MutexLock lock(&mutex_);
  if (result_) return;  // Aborted: nobody listens.
  for (GenerateStreamResponse& event : events) Queue(std::move(event));
  Pump();
}

void TokenStream::Queue(GenerateStreamResponse event) {
  if (events_.size() >= kUnmergedEvents && event.has_step() && events_.back().has_step() &&
      events_.back().step().block() == event.step().block()) {
    MergeStep(std::move(*event.mutable_step()), events_.back().mutable_step());
  } else {
    events_.push_back(std::move(event));
  }
}

void TokenStream::OnDone(absl::StatusOr<v1::GenerateResponse> response) {
  MutexLock lock(&mutex_);
  if (result_) return;
  if (response.ok()) {
    record_.Started();  // OnStarted comes from another thread and may be late.
    *response->mutable_timing() = record_.Timing();
  }
  End(std::move(response));
}

void TokenStream::Abort(const absl::Status& status) {
  MutexLock lock(&mutex_);
  events_.clear();
  if (result_) {
    Pump();
  } else {
    End(status);
  }
}

void TokenStream::End(absl::StatusOr<v1::GenerateResponse> result) {
  record_.Finished(result);
  result_ = std::move(result);
  Pump();
}

void TokenStream::OnWritten() {
  MutexLock lock(&mutex_);
  writing_ = false;
  Pump();
}

void TokenStream::Pump() {
  if (writer_ == nullptr || writing_) return;
  if (!events_.empty()) {
    writing_ = true;
    writer_->Write(events_.front());
    events_.pop_front();
  } else if (result_) {
    std::exchange(writer_, nullptr)->Finish(*result_);
  }
}

bool TokenStream::Abandoned() const {
  MutexLock lock(&mutex_);
  return result_.has_value();
}

size_t TokenStream::waiting_events() const {
  MutexLock lock(&mutex_);
  return events_.size();
}

}  // namespace unmask
