#include "coordinator/batch_streams.h"

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/mutex.h"
#include "base/status.h"
#include "coordinator/batch/incoming_file.h"
#include "coordinator/errors.h"
#include "coordinator/raw_call.h"
#include "unmask/v1/batch_service.pb.h"

namespace unmask {
namespace {

using Clock = std::chrono::steady_clock;

// Pieces go to a file as they come; memory holds one.
class Upload final : public grpc::ServerReadReactor<grpc::ByteBuffer> {
 public:
  Upload(const ServiceContext& context, BatchRunner* runner, grpc::CallbackServerContext* call,
         grpc::ByteBuffer* response)
      : context_(context), call_(*call), response_(*response) {
    const absl::Status status = Begin(runner);
    status.ok() ? StartRead(&piece_) : End(status);
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      End(Close());
    } else if (const absl::Status taken = Take(); taken.ok()) {
      StartRead(&piece_);
    } else {
      End(taken);
    }
  }
  void OnDone() override { delete this; }

 private:
  absl::Status Begin(BatchRunner* runner) {
    // Before the first piece has come; each is checked again as it is read.
    UNMASK_RETURN_IF_ERROR(context_.access->Check(kMethod, Header(call_, "authorization")));
    if (runner == nullptr) return NoBatchStore();
    UNMASK_ASSIGN_OR_RETURN(file_, IncomingFile::Begin(runner->folder().uploads()));
    return absl::OkStatus();
  }

  absl::Status Take() {
    v1::UploadBatchInputRequest piece;
    UNMASK_RETURN_IF_ERROR(ReadRequest(*context_.access, kMethod, call_, piece_, &piece));
    return file_->Append(piece.chunk(), "chunk");
  }

  absl::Status Close() {
    if (call_.IsCancelled()) {
      return ServiceError(absl::StatusCode::kCancelled, kCancelled, "the client cancelled the call");
    }
    UNMASK_RETURN_IF_ERROR(file_->Keep());
    v1::UploadBatchInputResponse response;
    response.set_upload(file_->name());
    response.set_size(file_->size());
    response.set_digest(file_->TakeDigest());
    response_ = ToBytes(response);
    return absl::OkStatus();
  }

  void End(const absl::Status& status) {
    const std::chrono::duration<double> taken = Clock::now() - received_;
    context_.metrics->RequestFinished(kMethod, status, taken.count());
    Finish(ToGrpc(status));
  }

  static constexpr char kMethod[] = "UploadBatchInput";
  const ServiceContext context_;
  grpc::CallbackServerContext& call_;
  grpc::ByteBuffer& response_;
  const Clock::time_point received_ = Clock::now();
  std::unique_ptr<IncomingFile> file_;
  grpc::ByteBuffer piece_;
};

// Sends the job's latest state; states that a slow reader missed are skipped. Held by its call, by the runner while it
// listens, and by a command on its way there.
class Watch final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                    public BatchWatcher,
                    public std::enable_shared_from_this<Watch> {
 public:
  Watch(const ServiceContext& context, BatchRunner* runner) : context_(context), runner_(runner) {}

  void Begin(grpc::CallbackServerContext* call, const grpc::ByteBuffer* bytes) {
    self_ = shared_from_this();
    v1::WatchBatchJobRequest request;
    absl::Status status = ReadRequest(*context_.access, kMethod, *call, *bytes, &request);
    if (status.ok() && runner_ == nullptr) status = NoBatchStore();
    if (!status.ok()) {
      MutexLock lock(&mutex_);
      return End(status);
    }
    runner_->Post([self = self_, name = request.name()](BatchBook* book, const absl::Status& why) {
      const absl::StatusOr<v1::BatchJob> job = book == nullptr ? why : book->Get(name);
      if (job.ok()) {
        self->runner_->Watch(*job, self);
      } else {
        MutexLock lock(&self->mutex_);
        self->End(job.status());
      }
    });
  }

  void OnJob(const v1::BatchJob& job) override {
    MutexLock lock(&mutex_);
    if (ended_) return;
    latest_ = job;
    if (!writing_) Write();
  }

  void OnWriteDone(bool ok) override {
    MutexLock lock(&mutex_);
    writing_ = false;
    if (ended_) return;
    if (!ok) {
      End(absl::CancelledError());
    } else if (last_) {
      End(absl::OkStatus());
    } else if (latest_) {
      Write();
    }
  }

  void OnCancel() override {
    MutexLock lock(&mutex_);
    End(absl::CancelledError());
  }

  void OnDone() override {
    if (runner_ != nullptr) {
      runner_->Post([self = self_](BatchBook*, const absl::Status&) { self->runner_->Unwatch(self.get()); });
    }
    self_.reset();
  }

 private:
  void Write() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (latest_->state() == v1::BATCH_JOB_STATE_UNSPECIFIED) {
      return End(ServiceError(absl::StatusCode::kNotFound, kJobNotFound, "no such batch job"));
    }
    last_ = latest_->state() >= v1::BATCH_JOB_STATE_SUCCEEDED;
    v1::WatchBatchJobResponse response;
    *response.mutable_job() = *std::exchange(latest_, std::nullopt);
    outgoing_ = ToBytes(response);
    writing_ = true;
    StartWrite(&outgoing_);
  }

  void End(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (std::exchange(ended_, true)) return;
    const std::chrono::duration<double> taken = Clock::now() - received_;
    context_.metrics->RequestFinished(kMethod, status, taken.count());
    Finish(ToGrpc(status));
  }

  static constexpr char kMethod[] = "WatchBatchJob";
  const ServiceContext context_;
  BatchRunner* const runner_;
  const Clock::time_point received_ = Clock::now();
  std::shared_ptr<Watch> self_;  // Until OnDone.
  grpc::ByteBuffer outgoing_;
  Mutex mutex_;
  std::optional<v1::BatchJob> latest_ ABSL_GUARDED_BY(mutex_);  // That waits to be sent.
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool last_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace

grpc::ServerReadReactor<grpc::ByteBuffer>* MakeBatchUpload(const ServiceContext& context, BatchRunner* runner,
                                                           grpc::CallbackServerContext* call,
                                                           grpc::ByteBuffer* response) {
  return new Upload(context, runner, call, response);
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* MakeBatchWatch(const ServiceContext& context, BatchRunner* runner,
                                                           grpc::CallbackServerContext* call,
                                                           const grpc::ByteBuffer* request) {
  const auto watch = std::make_shared<Watch>(context, runner);
  watch->Begin(call, request);
  return watch.get();
}

}  // namespace unmask
