// What the service says about itself: models, replicas, health, reflection.
#include "gmock/gmock.h"
#include "tests/coordinator/test_service.h"
#include "unmask/v1/fleet.grpc.pb.h"
#include "unmask/v1/model.grpc.pb.h"

namespace unmask {
namespace {

using testing::DetailsOf;
using testing::Eventually;
using testing::TestService;

v1::Model GetModel(const TestService& service) {
  grpc::ClientContext context;
  v1::GetModelResponse response;
  EXPECT_TRUE(v1::ModelService::NewStub(service.channel)->GetModel(&context, {}, &response).ok());
  return response.model();
}

TEST(ServicesStatusTest, TheModelIsNamedBeforeAndDescribedAfterItsFirstReplica) {
  TestService service;
  EXPECT_EQ(GetModel(service).name(), "tiny");
  EXPECT_FALSE(GetModel(service).ready());
  testing::ScriptedReplicaOptions options;
  options.description = testing::DescribeReplica("a", 2);
  options.description.set_dtype("fp32");
  const auto replica = service.StartReplica(options);
  const v1::Model model = GetModel(service);
  EXPECT_TRUE(model.ready());
  EXPECT_EQ(model.vocab_size(), 100);
  EXPECT_EQ(model.embedding_size(), 104);
  EXPECT_EQ(model.special_tokens().mask(), 99);
  EXPECT_EQ(model.special_tokens().eot(), 97);
  EXPECT_EQ(model.tensor_parallel(), 2);
  EXPECT_EQ(model.dtype(), "fp32");
  EXPECT_EQ(model.numerics(), "scripted");
  EXPECT_EQ(model.default_options().gen_length(), 128);
  EXPECT_EQ(model.default_options().block_length(), 32);
  EXPECT_FALSE(model.default_options().has_seed());
  EXPECT_FALSE(model.has_tokenizer());
}

TEST(ServicesStatusTest, AnotherModelIsNotFound) {
  TestService service;
  grpc::ClientContext context;
  v1::GetModelRequest request;
  request.set_model("other");
  v1::GetModelResponse response;
  const grpc::Status status = v1::ModelService::NewStub(service.channel)->GetModel(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(DetailsOf(status).reason, "MODEL_NOT_FOUND");
}

TEST(ServicesStatusTest, ListModelsNamesTheOnlyOne) {
  TestService service;
  grpc::ClientContext context;
  v1::ListModelsResponse response;
  ASSERT_TRUE(v1::ModelService::NewStub(service.channel)->ListModels(&context, {}, &response).ok());
  ASSERT_EQ(response.models_size(), 1);
  EXPECT_EQ(response.models(0).name(), "tiny");
}

TEST(ServicesStatusTest, TheFleetShowsReplicasTheirRanksAndShards) {
  TestService service;
  testing::ScriptedReplicaOptions options;
  options.description = testing::DescribeReplica("a", 4);
  const auto replica = service.StartReplica(options);
  grpc::ClientContext context;
  v1::GetFleetResponse fleet;
  ASSERT_TRUE(v1::FleetService::NewStub(service.channel)->GetFleet(&context, {}, &fleet).ok());
  ASSERT_EQ(fleet.replicas_size(), 1);
  EXPECT_EQ(fleet.replicas(0).state(), v1::REPLICA_STATE_READY);
  ASSERT_EQ(fleet.replicas(0).ranks_size(), 4);
  EXPECT_EQ(fleet.replicas(0).ranks(3).shard().vocabulary_end(), 104);
}

// A serving status, 0 to 3, or -1 for an unknown service. On the wire, since gRPC's health.proto is not installed.
int HealthOf(const TestService& service, const std::string& name) {
  const std::string request = name.empty() ? "" : std::string("\x0a") + static_cast<char>(name.size()) + name;
  std::string response;
  const grpc::Status status = service.CallRaw("/grpc.health.v1.Health/Check", request, &response);
  if (status.error_code() == grpc::StatusCode::NOT_FOUND) return -1;
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response.empty() ? 0 : response.at(1);
}
constexpr int kServing = 1;
constexpr int kNotServing = 2;

TEST(ServicesStatusTest, HealthFollowsTheReplicas) {
  TestService service;
  const std::string inference = "unmask.v1.InferenceService";
  EXPECT_EQ(HealthOf(service, ""), kServing);
  EXPECT_EQ(HealthOf(service, "unmask.v1.ModelService"), kServing);
  EXPECT_EQ(HealthOf(service, "unmask.v1.FleetService"), kServing);
  EXPECT_EQ(HealthOf(service, "unmask.v1.Oracle"), -1);
  EXPECT_EQ(HealthOf(service, inference), kNotServing);
  auto replica = service.StartReplica();
  EXPECT_TRUE(Eventually([&] { return HealthOf(service, inference) == kServing; }));
  replica.reset();
  EXPECT_TRUE(Eventually([&] { return HealthOf(service, inference) == kNotServing; }));
  replica = service.StartReplica();
  EXPECT_TRUE(Eventually([&] { return HealthOf(service, inference) == kServing; }));
  service.server->Drain();
  EXPECT_TRUE(Eventually([&] { return HealthOf(service, inference) == kNotServing; }));
  EXPECT_EQ(HealthOf(service, ""), kServing) << "draining is no reason to be restarted";
}

TEST(ServicesStatusTest, ReflectionListsTheServicesAndTheirFiles) {
  TestService service;
  const std::string method = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
  std::string response;
  ASSERT_TRUE(service.CallRaw(method, "\x3a\x01*", &response).ok());  // list_services
  for (const char* name : {"unmask.v1.InferenceService", "unmask.v1.ModelService", "unmask.v1.FleetService"}) {
    EXPECT_THAT(response, ::testing::HasSubstr(name));
  }
  const std::string symbol = "unmask.v1.InferenceService";  // file_containing_symbol
  ASSERT_TRUE(service.CallRaw(method, std::string("\x22") + static_cast<char>(symbol.size()) + symbol, &response).ok());
  EXPECT_THAT(response, ::testing::HasSubstr("unmask/v1/inference.proto"));
  EXPECT_THAT(response, ::testing::HasSubstr("GenerateStream"));
}

}  // namespace
}  // namespace unmask
