// The gRPC face of batch jobs. What a method asks is answered on the runner's thread; see coordinator/batch/book.h.
#include <functional>
#include <memory>
#include <utility>

#include "absl/time/clock.h"
#include "base/status.h"
#include "coordinator/batch/runner.h"
#include "coordinator/batch_streams.h"
#include "coordinator/raw_call.h"
#include "coordinator/request_names.h"
#include "coordinator/services.h"
#include "unmask/v1/batch_service.grpc.pb.h"

namespace unmask {
namespace {

using Service = v1::BatchService;

template <template <typename> typename... Methods>
struct Raw;
template <>
struct Raw<> {
  using Base = Service::Service;
};
template <template <typename> typename Method, template <typename> typename... Methods>
struct Raw<Method, Methods...> {
  using Base = Method<typename Raw<Methods...>::Base>;
};

using RawService = Raw<Service::WithRawCallbackMethod_UploadBatchInput,  //
                       Service::WithRawCallbackMethod_CreateBatchJob,    //
                       Service::WithRawCallbackMethod_GetBatchJob,       //
                       Service::WithRawCallbackMethod_ListBatchJobs,     //
                       Service::WithRawCallbackMethod_WatchBatchJob,     //
                       Service::WithRawCallbackMethod_PauseBatchJob,     //
                       Service::WithRawCallbackMethod_ResumeBatchJob,    //
                       Service::WithRawCallbackMethod_CancelBatchJob,    //
                       Service::WithRawCallbackMethod_DeleteBatchJob,    //
                       Service::WithRawCallbackMethod_ListBatchJobResults>::Base;

int64_t Now() { return absl::ToUnixSeconds(absl::Now()); }

// A response that holds a job and nothing else.
template <typename Response>
absl::StatusOr<Response> Holding(absl::StatusOr<v1::BatchJob> job) {
  if (!job.ok()) return job.status();
  Response response;
  *response.mutable_job() = *std::move(job);
  return response;
}

class BatchService final : public RawService {
 public:
  BatchService(const ServiceContext& context, BatchRunner* runner) : context_(context), runner_(runner) {}

  grpc::ServerReadReactor<grpc::ByteBuffer>* UploadBatchInput(grpc::CallbackServerContext* call,
                                                              grpc::ByteBuffer* response) override {
    return MakeBatchUpload(context_, runner_, call, response);
  }
  grpc::ServerWriteReactor<grpc::ByteBuffer>* WatchBatchJob(grpc::CallbackServerContext* call,
                                                            const grpc::ByteBuffer* request) override {
    return MakeBatchWatch(context_, runner_, call, request);
  }

  grpc::ServerUnaryReactor* CreateBatchJob(grpc::CallbackServerContext* call, const grpc::ByteBuffer* request,
                                           grpc::ByteBuffer* response) override {
    return Ask<v1::CreateBatchJobRequest>(
        {call, request, response}, "CreateBatchJob", [](BatchBook& book, const v1::CreateBatchJobRequest& asked) {
          return Holding<v1::CreateBatchJobResponse>(book.Create(asked, RandomWord(), Now()));
        });
  }
  grpc::ServerUnaryReactor* GetBatchJob(grpc::CallbackServerContext* call, const grpc::ByteBuffer* request,
                                        grpc::ByteBuffer* response) override {
    return Ask<v1::GetBatchJobRequest>({call, request, response}, "GetBatchJob",
                                       [](BatchBook& book, const v1::GetBatchJobRequest& asked) {
                                         return Holding<v1::GetBatchJobResponse>(book.Get(asked.name()));
                                       });
  }
  grpc::ServerUnaryReactor* ListBatchJobs(grpc::CallbackServerContext* call, const grpc::ByteBuffer* request,
                                          grpc::ByteBuffer* response) override {
    return Ask<v1::ListBatchJobsRequest>(
        {call, request, response}, "ListBatchJobs",
        [](BatchBook& book, const v1::ListBatchJobsRequest& asked) { return book.List(asked); });
  }
  grpc::ServerUnaryReactor* PauseBatchJob(grpc::CallbackServerContext* call, const grpc::ByteBuffer* request,
                                          grpc::ByteBuffer* response) override {
    return Ask<v1::PauseBatchJobRequest>({call, request, response}, "PauseBatchJob",
                                         [](BatchBook& book, const v1::PauseBatchJobRequest& asked) {
                                           return Holding<v1::PauseBatchJobResponse>(book.Pause(asked.name()));
                                         });
  }
  grpc::ServerUnaryReactor* ResumeBatchJob(grpc::CallbackServerContext* call, const grpc::ByteBuffer* request,
                                           grpc::ByteBuffer* response) override {
    return Ask<v1::ResumeBatchJobRequest>({call, request, response}, "ResumeBatchJob",
                                          [](BatchBook& book, const v1::ResumeBatchJobRequest& asked) {
                                            return Holding<v1::ResumeBatchJobResponse>(book.Resume(asked.name()));
                                          });
  }
  grpc::ServerUnaryReactor* CancelBatchJob(grpc::CallbackServerContext* call, const grpc::ByteBuffer* request,
                                           grpc::ByteBuffer* response) override {
    return Ask<v1::CancelBatchJobRequest>(
        {call, request, response}, "CancelBatchJob", [](BatchBook& book, const v1::CancelBatchJobRequest& asked) {
          return Holding<v1::CancelBatchJobResponse>(book.Cancel(asked.name(), Now()));
        });
  }
  grpc::ServerUnaryReactor* DeleteBatchJob(grpc::CallbackServerContext* call, const grpc::ByteBuffer* request,
                                           grpc::ByteBuffer* response) override {
    return Ask<v1::DeleteBatchJobRequest>(
        {call, request, response}, "DeleteBatchJob",
        [](BatchBook& book, const v1::DeleteBatchJobRequest& asked) -> absl::StatusOr<v1::DeleteBatchJobResponse> {
          UNMASK_RETURN_IF_ERROR(book.Delete(asked.name()));
          return v1::DeleteBatchJobResponse();
        });
  }
  grpc::ServerUnaryReactor* ListBatchJobResults(grpc::CallbackServerContext* call, const grpc::ByteBuffer* request,
                                                grpc::ByteBuffer* response) override {
    return Ask<v1::ListBatchJobResultsRequest>(
        {call, request, response}, "ListBatchJobResults",
        [](BatchBook& book, const v1::ListBatchJobResultsRequest& asked) { return book.Results(asked); });
  }

 private:
  // answer(book, request) yields absl::StatusOr of the response.
  template <typename Request, typename Answer>
  grpc::ServerUnaryReactor* Ask(const UnaryCall& call, const char* method, Answer answer) {
    const auto received = std::chrono::steady_clock::now();
    grpc::ServerUnaryReactor* reactor = call.context->DefaultReactor();
    const auto finish = [this, method, received, reactor](const absl::Status& status) {
      const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - received;
      context_.metrics->RequestFinished(method, status, taken.count());
      reactor->Finish(ToGrpc(status));
    };
    auto request = std::make_shared<Request>();
    absl::Status status = ReadRequest(*context_.access, method, *call.context, *call.request, request.get());
    if (status.ok() && runner_ == nullptr) status = NoBatchStore();
    if (!status.ok()) {
      finish(status);
      return reactor;
    }
    runner_->Post([request, answer, finish, response = call.response](BatchBook* book, const absl::Status& why) {
      if (book == nullptr) return finish(why);
      const auto answered = answer(*book, *request);
      if (answered.ok()) *response = ToBytes(*answered);
      finish(answered.status());
    });
    return reactor;
  }

  const ServiceContext context_;
  BatchRunner* const runner_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeBatchService(const ServiceContext& context, BatchRunner* runner) {
  return std::make_unique<BatchService>(context, runner);
}

}  // namespace unmask
