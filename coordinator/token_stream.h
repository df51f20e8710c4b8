// The mailbox between a sequence, which is computed somewhere, and the call that reads it, which may be slow.
//
// Memory is bounded: once a few events wait, a step joins the one before it where both are of one block. Blocks and the
// result are never dropped, and every commit is sent once, in order.
#ifndef UNMASK_COORDINATOR_TOKEN_STREAM_H_
#define UNMASK_COORDINATOR_TOKEN_STREAM_H_

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "coordinator/request_record.h"
#include "coordinator/sequence.h"
#include "unmask/v1/inference.pb.h"

namespace unmask {

// The call's side. Called under the stream's mutex: must neither block nor call back.
class CallWriter {
 public:
  virtual ~CallWriter() = default;
  // One at a time: the next one follows TokenStream::OnWritten.
  virtual void Write(const v1::GenerateStreamResponse& event) = 0;
  // The end. The writer is not used any more.
  virtual void Finish(const absl::StatusOr<v1::GenerateResponse>& result) = 0;
};

// Appends `step` to `earlier`, a step of the same block: merged adds up, commits follow, and the rest (step, proposals,
// masks_left) is as of the later one.
void MergeStep(v1::StepEvent step, v1::StepEvent* earlier);

// Thread-safe.
class TokenStream : public SequenceSink {
 public:
  // Events that wait before steps are merged.
  static constexpr size_t kUnmergedEvents = 16;

  // `writer` must live until its Finish.
  TokenStream(CallWriter* writer, RequestRecord record);

  void Identify(RequestNames names);

  void OnPlaced(absl::string_view replica, uint64_t epoch) override;
  void OnStarted() override;
  void OnFirstBlock() override;
  void OnEvents(std::vector<v1::GenerateStreamResponse> events) override;
  void OnDone(absl::StatusOr<v1::GenerateResponse> response) override;
  bool Abandoned() const override;

  // Lets the first event go, once it is certain that the request is taken; they wait until then.
  void Open() { OnWritten(); }
  // The write is over.
  void OnWritten();

  // Drops the events that wait, and ends the call with an error unless its sequence is over.
  void Abort(const absl::Status& status);

  size_t waiting_events() const;

 private:
  void Queue(v1::GenerateStreamResponse event) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void End(absl::StatusOr<v1::GenerateResponse> result) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Pump() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable Mutex mutex_;
  CallWriter* writer_ ABSL_GUARDED_BY(mutex_);  // Null once finished.
  RequestRecord record_ ABSL_GUARDED_BY(mutex_);
  std::deque<v1::GenerateStreamResponse> events_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::StatusOr<v1::GenerateResponse>> result_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = true;  // Or not open yet.
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_TOKEN_STREAM_H_
