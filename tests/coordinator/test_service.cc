#include "tests/coordinator/test_service.h"

#include <grpcpp/generic/generic_stub.h>
#include <stdlib.h>

#include <future>
#include <thread>
#include <utility>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "gtest/gtest.h"
#include "tests/support/patience.h"

namespace unmask::testing {

bool Eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10) * Patience();
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

Details DetailsOf(const grpc::Status& status) {
  Details found;
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) return found;
  for (const auto& detail : details.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::BadRequest bad_request;
    if (detail.UnpackTo(&info)) {
      found.domain = info.domain();
      found.reason = info.reason();
    } else if (detail.UnpackTo(&bad_request) && bad_request.field_violations_size() > 0) {
      found.field = bad_request.field_violations(0).field();
    } else if (detail.Is<google::rpc::RetryInfo>()) {
      found.retry = true;
    }
  }
  return found;
}

TestService::TestService(ServerOptions options) {
  options.listen = options.fleet_listen = options.admin_listen = "127.0.0.1:0";
  options.model.model_name = "tiny";
  if (!options.model.tokenizer) options.model.eot = 97;
  absl::StatusOr<std::unique_ptr<Server>> started = Server::Start(std::move(options));
  if (!started.ok()) {
    ADD_FAILURE() << started.status();
    abort();  // Nothing can be tested.
  }
  server = *std::move(started);
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  channel = grpc::CreateCustomChannel(server->grpc_address(), grpc::InsecureChannelCredentials(), arguments);
  inference = v1::InferenceService::NewStub(channel);
}

v1::ReplicaState TestService::StateOf(const std::string& replica) const {
  const v1::GetFleetResponse fleet = server->fleet().Describe();
  for (const auto& status : fleet.replicas()) {
    if (status.name() == replica) return status.state();
  }
  return v1::REPLICA_STATE_UNSPECIFIED;
}

std::unique_ptr<ScriptedReplica> TestService::StartReplica(ScriptedReplicaOptions options) {
  const std::string name = options.description.name();
  auto replica = ScriptedReplica::Start(fleet_address(), std::move(options));
  EXPECT_TRUE(Eventually([&] { return StateOf(name) == v1::REPLICA_STATE_READY; })) << name << " is not ready";
  return replica;
}

grpc::Status TestService::CallRaw(const std::string& method, const std::string& bytes, std::string* response,
                                  const std::string& authorization) const {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10) * Patience());
  if (!authorization.empty()) context.AddMetadata("authorization", authorization);
  const grpc::Slice slice(bytes);
  const grpc::ByteBuffer request(&slice, 1);
  grpc::ByteBuffer reply;
  std::promise<grpc::Status> result;
  stub.UnaryCall(&context, method, {}, &request, &reply,
                 [&result](grpc::Status status) { result.set_value(std::move(status)); });
  grpc::Status status = result.get_future().get();
  if (response != nullptr) {
    response->clear();
    std::vector<grpc::Slice> slices;
    if (status.ok() && reply.Dump(&slices).ok()) {
      for (const grpc::Slice& part : slices) response->append(reinterpret_cast<const char*>(part.begin()), part.size());
    }
  }
  return status;
}

grpc::Status TestService::Generate(const v1::GenerateRequest& request, v1::GenerateResponse* response) const {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30) * Patience());
  return inference->Generate(&context, request, response);
}

std::vector<v1::GenerateStreamResponse> TestService::GenerateStream(const v1::GenerateRequest& request,
                                                                    grpc::Status* status) const {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30) * Patience());
  auto reader = inference->GenerateStream(&context, request);
  std::vector<v1::GenerateStreamResponse> events;
  v1::GenerateStreamResponse event;
  while (reader->Read(&event)) events.push_back(event);
  const grpc::Status end = reader->Finish();
  if (status != nullptr) {
    *status = end;
  } else {
    EXPECT_TRUE(end.ok()) << end.error_message();
  }
  return events;
}

v1::GenerateRequest TinyRequest(int gen_length, int block_length) {
  v1::GenerateRequest request;
  for (int id : {1, 2, 3}) request.mutable_token_ids()->add_ids(id);
  request.mutable_options()->set_gen_length(gen_length);
  request.mutable_options()->set_block_length(block_length);
  request.mutable_options()->set_seed(11);
  request.mutable_output()->set_token_ids(true);
  request.mutable_output()->set_canvas(true);
  return request;
}

}  // namespace unmask::testing
