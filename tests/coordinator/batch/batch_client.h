// Calls of BatchService as tests make them.
#ifndef UNMASK_TESTS_COORDINATOR_BATCH_BATCH_CLIENT_H_
#define UNMASK_TESTS_COORDINATOR_BATCH_BATCH_CLIENT_H_

#include <grpcpp/create_channel.h>

#include <chrono>
#include <memory>
#include <string>

#include "gtest/gtest.h"
#include "unmask/v1/batch_service.grpc.pb.h"

namespace unmask::testing {

class BatchClient {
 public:
  explicit BatchClient(std::shared_ptr<grpc::Channel> channel) : stub_(v1::BatchService::NewStub(channel)) {}
  explicit BatchClient(const std::string& address)
      : BatchClient(grpc::CreateChannel(address, grpc::InsecureChannelCredentials())) {}

  v1::BatchService::Stub& stub() { return *stub_; }

  grpc::Status Create(const v1::CreateBatchJobRequest& request, v1::BatchJob* job = nullptr) {
    grpc::ClientContext context;
    v1::CreateBatchJobResponse response;
    const grpc::Status status = stub_->CreateBatchJob(&context, request, &response);
    if (job != nullptr) *job = response.job();
    return status;
  }
  // A job with seed 1 of these lines. steps: of each; 0: its default.
  v1::BatchJob Create(const std::string& name, const std::string& lines, const std::string& output = "",
                      int steps = 0) {
    v1::CreateBatchJobRequest request;
    request.mutable_job()->set_name(name);
    request.mutable_job()->set_seed(1);
    request.mutable_job()->set_output_path(output);
    if (steps > 0) request.mutable_job()->mutable_default_options()->set_steps(steps);
    request.set_lines(lines);
    v1::BatchJob job;
    const grpc::Status status = Create(request, &job);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return job;
  }
  v1::BatchJob Get(const std::string& name) {
    grpc::ClientContext context;
    v1::GetBatchJobRequest request;
    request.set_name(name);
    v1::GetBatchJobResponse response;
    return stub_->GetBatchJob(&context, request, &response).ok() ? response.job() : v1::BatchJob();
  }
  // Pause, Resume, Cancel: BatchClient::Ask<v1::PauseBatchJobRequest, ...>(&v1::BatchService::Stub::PauseBatchJob,
  // name).
  template <typename Request, typename Response>
  grpc::Status Ask(grpc::Status (v1::BatchService::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                   const std::string& name, Response* response = nullptr) {
    grpc::ClientContext context;
    Request request;
    request.set_name(name);
    Response ignored;
    return (stub_.get()->*method)(&context, request, response != nullptr ? response : &ignored);
  }
  // The job's end, by watching it; how many states were seen.
  v1::BatchJob Watch(const std::string& name, int* seen = nullptr, grpc::Status* status = nullptr) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(100));
    v1::WatchBatchJobRequest request;
    request.set_name(name);
    const auto reader = stub_->WatchBatchJob(&context, request);
    v1::WatchBatchJobResponse response;
    int count = 0;
    while (reader->Read(&response)) ++count;
    const grpc::Status end = reader->Finish();
    if (status != nullptr) *status = end;
    if (seen != nullptr) *seen = count;
    return response.job();
  }
  // All results' lines, by pages; indices must be 0, 1, 2 …
  std::string Results(const std::string& name, int page_size = 0) {
    std::string lines;
    v1::ListBatchJobResultsRequest request;
    request.set_name(name);
    request.set_page_size(page_size);
    int64_t index = 0;
    while (true) {
      grpc::ClientContext context;
      v1::ListBatchJobResultsResponse response;
      EXPECT_TRUE(stub_->ListBatchJobResults(&context, request, &response).ok());
      for (const auto& result : response.results()) {
        EXPECT_EQ(result.index(), index++);
        lines += result.line() + "\n";
      }
      if (!response.has_next_index()) return lines;
      request.set_start_index(response.next_index());
    }
  }

 private:
  const std::unique_ptr<v1::BatchService::Stub> stub_;
};

}  // namespace unmask::testing

#endif  // UNMASK_TESTS_COORDINATOR_BATCH_BATCH_CLIENT_H_
