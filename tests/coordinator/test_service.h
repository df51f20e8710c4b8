// A coordinator on free loopback ports that serves TinyModel, and a client of it.
#ifndef UNMASK_TESTS_COORDINATOR_TEST_SERVICE_H_
#define UNMASK_TESTS_COORDINATOR_TEST_SERVICE_H_

#include <grpcpp/create_channel.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/server.h"
#include "tests/coordinator/scripted_replica.h"
#include "unmask/v1/inference.grpc.pb.h"

namespace unmask::testing {

// Polls until `condition` holds. False after ten seconds.
bool Eventually(const std::function<bool()>& condition);

// google.rpc.ErrorInfo.reason and google.rpc.BadRequest's first field of an error; "" where there is none.
struct Details {
  std::string domain;
  std::string reason;
  std::string field;
  bool retry = false;  // RetryInfo is there.
};
Details DetailsOf(const grpc::Status& status);

struct TestService {
  explicit TestService(ServerOptions options = {});

  std::shared_ptr<grpc::Channel> channel;  // To the public port.
  std::unique_ptr<v1::InferenceService::Stub> inference;
  std::unique_ptr<Server> server;

  const std::string& fleet_address() const { return server->fleet_address(); }
  // Starts a replica and waits until it is ready.
  std::unique_ptr<ScriptedReplica> StartReplica(ScriptedReplicaOptions options = {});
  v1::ReplicaState StateOf(const std::string& replica) const;

  // Calls any method with these bytes as its only message; *response is the first that comes back. For streams too.
  // authorization: a header; "": none.
  grpc::Status CallRaw(const std::string& method, const std::string& bytes, std::string* response = nullptr,
                       const std::string& authorization = "") const;

  grpc::Status Generate(const v1::GenerateRequest& request, v1::GenerateResponse* response) const;
  // All events; `status` may be null.
  std::vector<v1::GenerateStreamResponse> GenerateStream(const v1::GenerateRequest& request,
                                                         grpc::Status* status = nullptr) const;
};

// Prompt ids 1, 2, 3 with a seed: always the same text.
v1::GenerateRequest TinyRequest(int gen_length, int block_length);

}  // namespace unmask::testing

#endif  // UNMASK_TESTS_COORDINATOR_TEST_SERVICE_H_
