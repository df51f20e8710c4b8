// A connection to a service. Hides gRPC: errors are absl::Status with the service's google.rpc.Status as a payload
// (errors.h reads it). One call at a time, from one thread; Cancel() from any.
#ifndef UNMASK_CLI_CLIENT_H_
#define UNMASK_CLI_CLIENT_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/credentials.h"
#include "unmask/v1/batch_service.pb.h"
#include "unmask/v1/fleet.pb.h"
#include "unmask/v1/inference.pb.h"
#include "unmask/v1/model.pb.h"

namespace unmask {

// Type URL of the payload with the details of a service's error: a serialised google.rpc.Status.
inline constexpr char kStatusDetailsPayload[] = "type.googleapis.com/google.rpc.Status";

class Client {
 public:
  using OnEvent = std::function<void(const v1::GenerateStreamResponse&)>;

  // `address`: host:port. Connects at the first call, as cli/channel.h says.
  static std::unique_ptr<Client> Create(const std::string& address, const Credentials& credentials = {});
  virtual ~Client() = default;

  // How long a generation or a score may take; DEADLINE_EXCEEDED after that. Default: for ever.
  virtual void SetTimeout(absl::Duration timeout) = 0;

  virtual absl::StatusOr<v1::GenerateResponse> Generate(const v1::GenerateRequest& request) = 0;
  virtual absl::StatusOr<v1::GenerateResponse> Infill(const v1::InfillRequest& request) = 0;
  virtual absl::Status GenerateStream(const v1::GenerateRequest& request, const OnEvent& on_event) = 0;
  virtual absl::Status InfillStream(const v1::InfillRequest& request, const OnEvent& on_event) = 0;
  virtual absl::StatusOr<v1::ScoreResponse> Score(const v1::ScoreRequest& request) = 0;
  virtual absl::StatusOr<v1::TokenizeResponse> Tokenize(const v1::TokenizeRequest& request) = 0;
  virtual absl::StatusOr<v1::DetokenizeResponse> Detokenize(const v1::DetokenizeRequest& request) = 0;
  virtual absl::StatusOr<v1::GetModelResponse> GetModel(const v1::GetModelRequest& request) = 0;
  virtual absl::StatusOr<v1::GetFleetResponse> GetFleet() = 0;

  // Batch jobs.
  using OnJob = std::function<void(const v1::BatchJob&)>;
  using NextPiece = std::function<absl::StatusOr<std::string>()>;  // Empty: that was all.
  virtual absl::StatusOr<v1::UploadBatchInputResponse> UploadBatchInput(const NextPiece& next) = 0;
  virtual absl::StatusOr<v1::BatchJob> CreateBatchJob(const v1::CreateBatchJobRequest& request) = 0;
  virtual absl::StatusOr<v1::BatchJob> GetBatchJob(const std::string& name) = 0;
  virtual absl::StatusOr<v1::BatchJob> PauseBatchJob(const std::string& name) = 0;
  virtual absl::StatusOr<v1::BatchJob> ResumeBatchJob(const std::string& name) = 0;
  virtual absl::StatusOr<v1::BatchJob> CancelBatchJob(const std::string& name) = 0;
  virtual absl::Status DeleteBatchJob(const std::string& name) = 0;
  virtual absl::StatusOr<v1::ListBatchJobsResponse> ListBatchJobs(const v1::ListBatchJobsRequest& request) = 0;
  virtual absl::Status WatchBatchJob(const std::string& name, const OnJob& on_job) = 0;
  virtual absl::StatusOr<v1::ListBatchJobResultsResponse> ListBatchJobResults(
      const v1::ListBatchJobResultsRequest& request) = 0;

  // Ends the call in progress, and every later one until Rearm(), with CANCELLED.
  virtual void Cancel() = 0;
  virtual void Rearm() = 0;
};

}  // namespace unmask

#endif  // UNMASK_CLI_CLIENT_H_
