#include "cli/client.h"

#include <grpcpp/grpcpp.h>

#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "base/trace_context.h"
#include "cli/channel.h"
#include "unmask/v1/batch_service.grpc.pb.h"
#include "unmask/v1/fleet.grpc.pb.h"
#include "unmask/v1/inference.grpc.pb.h"
#include "unmask/v1/model.grpc.pb.h"

namespace unmask {
namespace {

class GrpcClient final : public Client {
 public:
  GrpcClient(const std::string& address, const Credentials& credentials)
      : address_(address),
        credentials_(credentials),
        channel_(MakeChannel(address, credentials)),
        inference_(v1::InferenceService::NewStub(channel_)),
        models_(v1::ModelService::NewStub(channel_)),
        fleet_(v1::FleetService::NewStub(channel_)),
        batch_(v1::BatchService::NewStub(channel_)) {}

  void SetTimeout(absl::Duration timeout) override { timeout_ = timeout; }

  absl::StatusOr<v1::GenerateResponse> Generate(const v1::GenerateRequest& request) override {
    return Unary<v1::GenerateResponse>(timeout_,
                                       [&](auto* c, auto* reply) { return inference_->Generate(c, request, reply); });
  }
  absl::StatusOr<v1::GenerateResponse> Infill(const v1::InfillRequest& request) override {
    return Unary<v1::GenerateResponse>(timeout_,
                                       [&](auto* c, auto* reply) { return inference_->Infill(c, request, reply); });
  }
  absl::Status GenerateStream(const v1::GenerateRequest& request, const OnEvent& on_event) override {
    return Stream([&](auto* c) { return inference_->GenerateStream(c, request); }, on_event);
  }
  absl::Status InfillStream(const v1::InfillRequest& request, const OnEvent& on_event) override {
    return Stream([&](auto* c) { return inference_->InfillStream(c, request); }, on_event);
  }
  absl::StatusOr<v1::ScoreResponse> Score(const v1::ScoreRequest& request) override {
    return Unary<v1::ScoreResponse>(timeout_,
                                    [&](auto* c, auto* reply) { return inference_->Score(c, request, reply); });
  }
  absl::StatusOr<v1::TokenizeResponse> Tokenize(const v1::TokenizeRequest& request) override {
    return Unary<v1::TokenizeResponse>(kShort,
                                       [&](auto* c, auto* reply) { return inference_->Tokenize(c, request, reply); });
  }
  absl::StatusOr<v1::DetokenizeResponse> Detokenize(const v1::DetokenizeRequest& request) override {
    return Unary<v1::DetokenizeResponse>(
        kShort, [&](auto* c, auto* reply) { return inference_->Detokenize(c, request, reply); });
  }
  absl::StatusOr<v1::GetModelResponse> GetModel(const v1::GetModelRequest& request) override {
    return Unary<v1::GetModelResponse>(kShort,
                                       [&](auto* c, auto* reply) { return models_->GetModel(c, request, reply); });
  }
  absl::StatusOr<v1::GetFleetResponse> GetFleet() override {
    return Unary<v1::GetFleetResponse>(
        kShort, [&](auto* c, auto* reply) { return fleet_->GetFleet(c, v1::GetFleetRequest(), reply); });
  }

  absl::StatusOr<v1::UploadBatchInputResponse> UploadBatchInput(const NextPiece& next) override {
    Call call(this, absl::InfiniteDuration());
    v1::UploadBatchInputResponse response;
    const auto writer = batch_->UploadBatchInput(call.context(), &response);
    absl::StatusOr<std::string> piece;
    for (piece = next(); piece.ok() && !piece->empty(); piece = next()) {
      v1::UploadBatchInputRequest request;
      request.set_chunk(*std::move(piece));
      if (!writer->Write(request)) break;  // Finish tells why.
    }
    if (!piece.ok()) call.context()->TryCancel();
    writer->WritesDone();
    const absl::Status status = ToStatus(writer->Finish());
    if (!piece.ok()) return piece.status();
    if (!status.ok()) return status;
    return response;
  }
  absl::StatusOr<v1::BatchJob> CreateBatchJob(const v1::CreateBatchJobRequest& request) override {
    const auto response = Unary<v1::CreateBatchJobResponse>(  // The input is validated whole.
        absl::InfiniteDuration(), [&](auto* c, auto* reply) { return batch_->CreateBatchJob(c, request, reply); });
    if (!response.ok()) return response.status();
    return response->job();
  }
  absl::StatusOr<v1::BatchJob> GetBatchJob(const std::string& name) override {
    return OfJob<v1::GetBatchJobRequest, v1::GetBatchJobResponse>(&v1::BatchService::Stub::GetBatchJob, name);
  }
  absl::StatusOr<v1::BatchJob> PauseBatchJob(const std::string& name) override {
    return OfJob<v1::PauseBatchJobRequest, v1::PauseBatchJobResponse>(&v1::BatchService::Stub::PauseBatchJob, name);
  }
  absl::StatusOr<v1::BatchJob> ResumeBatchJob(const std::string& name) override {
    return OfJob<v1::ResumeBatchJobRequest, v1::ResumeBatchJobResponse>(&v1::BatchService::Stub::ResumeBatchJob, name);
  }
  absl::StatusOr<v1::BatchJob> CancelBatchJob(const std::string& name) override {
    return OfJob<v1::CancelBatchJobRequest, v1::CancelBatchJobResponse>(&v1::BatchService::Stub::CancelBatchJob, name);
  }
  absl::Status DeleteBatchJob(const std::string& name) override {
    v1::DeleteBatchJobRequest request;
    request.set_name(name);
    return Unary<v1::DeleteBatchJobResponse>(
               kShort, [&](auto* c, auto* reply) { return batch_->DeleteBatchJob(c, request, reply); })
        .status();
  }
  absl::StatusOr<v1::ListBatchJobsResponse> ListBatchJobs(const v1::ListBatchJobsRequest& request) override {
    return Unary<v1::ListBatchJobsResponse>(
        kShort, [&](auto* c, auto* reply) { return batch_->ListBatchJobs(c, request, reply); });
  }
  absl::Status WatchBatchJob(const std::string& name, const OnJob& on_job) override {
    Call call(this, absl::InfiniteDuration());
    v1::WatchBatchJobRequest request;
    request.set_name(name);
    const auto reader = batch_->WatchBatchJob(call.context(), request);
    v1::WatchBatchJobResponse response;
    while (reader->Read(&response)) on_job(response.job());
    return ToStatus(reader->Finish());
  }
  absl::StatusOr<v1::ListBatchJobResultsResponse> ListBatchJobResults(
      const v1::ListBatchJobResultsRequest& request) override {
    return Unary<v1::ListBatchJobResultsResponse>(
        kShort, [&](auto* c, auto* reply) { return batch_->ListBatchJobResults(c, request, reply); });
  }

  void Cancel() override {
    MutexLock lock(&mutex_);
    cancelled_ = true;
    if (current_ != nullptr) current_->TryCancel();
  }
  void Rearm() override {
    MutexLock lock(&mutex_);
    cancelled_ = false;
  }

 private:
  static constexpr absl::Duration kShort = absl::Seconds(30);  // For calls that compute nothing.

  static std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address, const Credentials& credentials) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);  // A long canvas with all its details is larger than gRPC's 4 MiB.
    return Dial(address, credentials, arguments);
  }

  // The context of one call, which Cancel() finds while it lives.
  class Call {
   public:
    Call(GrpcClient* client, absl::Duration timeout) : client_(client) {
      if (timeout != absl::InfiniteDuration()) context_.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
      Authorize(client_->credentials_, &context_);
      // As OpenTelemetry hands a trace to a process: what called us finds our request by it.
      const char* traceparent = std::getenv("TRACEPARENT");
      if (const auto trace = ParseTraceparent(traceparent != nullptr ? traceparent : "")) {
        context_.AddMetadata("traceparent", trace->ToString());
      }
      MutexLock lock(&client_->mutex_);
      if (client_->cancelled_) context_.TryCancel();
      client_->current_ = &context_;
    }
    ~Call() {
      MutexLock lock(&client_->mutex_);
      client_->current_ = nullptr;
    }
    grpc::ClientContext* context() { return &context_; }

   private:
    GrpcClient* client_;
    grpc::ClientContext context_;
  };

  template <typename Reply, typename Method>
  absl::StatusOr<Reply> Unary(absl::Duration timeout, const Method& method) {
    Call call(this, timeout);
    Reply reply;
    if (absl::Status status = ToStatus(method(call.context(), &reply)); !status.ok()) return status;
    return reply;
  }

  // A call that names a job and answers with it.
  template <typename Request, typename Reply>
  absl::StatusOr<v1::BatchJob> OfJob(grpc::Status (v1::BatchService::Stub::*method)(grpc::ClientContext*,
                                                                                    const Request&, Reply*),
                                     const std::string& name) {
    Request request;
    request.set_name(name);
    const auto reply =
        Unary<Reply>(kShort, [&](auto* c, auto* reply) { return (batch_.get()->*method)(c, request, reply); });
    if (!reply.ok()) return reply.status();
    return reply->job();
  }

  template <typename Method>
  absl::Status Stream(const Method& method, const OnEvent& on_event) {
    Call call(this, timeout_);
    const auto reader = method(call.context());
    v1::GenerateStreamResponse event;
    while (reader->Read(&event)) on_event(event);
    return ToStatus(reader->Finish());
  }

  absl::Status ToStatus(const grpc::Status& status) const {
    if (status.ok()) return absl::OkStatus();
    std::string message = status.error_message();
    // gRPC's words for this name every address it tried and its own source lines.
    if (absl::StrContains(message, "failed to connect to all addresses")) {
      message = absl::StrCat("no service answers at ", address_,
                             absl::StrContains(message, "Connection refused") ? " (connection refused)" : "");
    }
    absl::Status result(static_cast<absl::StatusCode>(status.error_code()), message);
    if (!status.error_details().empty()) {
      result.SetPayload(kStatusDetailsPayload, absl::Cord(status.error_details()));
    }
    return result;
  }

  const std::string address_;
  const Credentials credentials_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::InferenceService::Stub> inference_;
  const std::unique_ptr<v1::ModelService::Stub> models_;
  const std::unique_ptr<v1::FleetService::Stub> fleet_;
  const std::unique_ptr<v1::BatchService::Stub> batch_;
  absl::Duration timeout_ = absl::InfiniteDuration();

  Mutex mutex_;
  grpc::ClientContext* current_ ABSL_GUARDED_BY(mutex_) = nullptr;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace

std::unique_ptr<Client> Client::Create(const std::string& address, const Credentials& credentials) {
  return std::make_unique<GrpcClient>(address, credentials);
}

}  // namespace unmask
