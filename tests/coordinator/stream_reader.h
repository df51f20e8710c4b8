// One GenerateStream call of many, read in the background: no thread of its own.
#ifndef UNMASK_TESTS_COORDINATOR_STREAM_READER_H_
#define UNMASK_TESTS_COORDINATOR_STREAM_READER_H_

#include <grpcpp/grpcpp.h>

#include <set>
#include <string>
#include <utility>

#include "base/mutex.h"
#include "unmask/v1/inference.grpc.pb.h"

namespace unmask::testing {

// Thread-safe.
class StreamReader final : public grpc::ClientReadReactor<v1::GenerateStreamResponse> {
 public:
  // slow: reads the first event, and no other before ReadOn().
  StreamReader(v1::InferenceService::Stub* stub, v1::GenerateRequest request, bool slow)
      : request_(std::move(request)), slow_(slow) {
    stub->async()->GenerateStream(&context_, &request_, this);
    if (slow) AddHold();  // Reads may be started by others than its own callbacks.
    StartRead(&event_);
    StartCall();
  }
  // Cancels what has not ended.
  ~StreamReader() override {
    MutexLock lock(&mutex_);
    if (slow_) RemoveHold();
    context_.TryCancel();
    while (!ended_) over_.Wait(&mutex_);
  }

  bool accepted() const {
    MutexLock lock(&mutex_);
    return accepted_;
  }
  bool ended() const {
    MutexLock lock(&mutex_);
    return ended_;
  }
  void ReadOn() {
    {
      MutexLock lock(&mutex_);
      slow_ = false;
      if (!accepted_ || ended_) return RemoveHold();
    }
    StartRead(&event_);
    RemoveHold();
  }

  // What there is to say against it, once it has ended: "" for a stream with status OK that said each commit once,
  // every step, and the answer of `expected` at its end.
  std::string Fault(const v1::GenerateResponse& expected) const {
    MutexLock lock(&mutex_);
    if (!status_.ok()) return status_.error_message();
    if (commits_ != expected.token_ids_size() || positions_.size() != static_cast<size_t>(commits_)) {
      return "commits are lost or doubled";
    }
    if (steps_ != expected.usage().steps()) return "steps are lost or doubled";
    if (completed_.SerializeAsString() != expected.SerializeAsString()) return "another answer";
    return "";
  }
  bool merged() const {
    MutexLock lock(&mutex_);
    return merged_;
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    {
      MutexLock lock(&mutex_);
      accepted_ |= event_.has_accepted();
      if (event_.has_step()) {
        steps_ += event_.step().merged();
        merged_ |= event_.step().merged() > 1;
        commits_ += event_.step().commits_size();
        for (const v1::Commit& commit : event_.step().commits()) positions_.insert(commit.position());
      }
      if (event_.has_completed()) completed_ = Comparable(event_.completed());
      if (slow_) return;
    }
    StartRead(&event_);
  }
  void OnDone(const grpc::Status& status) override {
    MutexLock lock(&mutex_);
    status_ = status;
    ended_ = true;
    over_.SignalAll();
  }

  // Without what differs between two calls for the same.
  static v1::GenerateResponse Comparable(v1::GenerateResponse response) {
    response.clear_timing();
    response.clear_request_id();
    return response;
  }

 private:
  grpc::ClientContext context_;
  const v1::GenerateRequest request_;
  v1::GenerateStreamResponse event_;  // Of the one read that may be under way.

  mutable Mutex mutex_;
  CondVar over_;
  bool slow_ ABSL_GUARDED_BY(mutex_);
  bool accepted_ ABSL_GUARDED_BY(mutex_) = false;
  bool merged_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  int steps_ ABSL_GUARDED_BY(mutex_) = 0;
  int commits_ ABSL_GUARDED_BY(mutex_) = 0;
  std::set<int32_t> positions_ ABSL_GUARDED_BY(mutex_);  // Of them.
  v1::GenerateResponse completed_ ABSL_GUARDED_BY(mutex_);
  grpc::Status status_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace unmask::testing

#endif  // UNMASK_TESTS_COORDINATOR_STREAM_READER_H_
