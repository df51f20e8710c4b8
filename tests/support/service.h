// A whole service of real processes for a test: `unmask serve` on free loopback ports, ended with the object.
#ifndef UNMASK_TESTS_SUPPORT_SERVICE_H_
#define UNMASK_TESTS_SUPPORT_SERVICE_H_

#include <grpcpp/grpcpp.h>
#include <sys/types.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "unmask/v1/fleet.grpc.pb.h"
#include "unmask/v1/inference.grpc.pb.h"
#include "unmask/v1/model.grpc.pb.h"

namespace unmask::testing {

class Service {
 public:
  // Flags of `unmask serve` but for the ports and the ready file; replicas dial in at fleet_host. Fails the test when
  // it is not ready in time; with `--replicas 0` that needs no replica.
  explicit Service(const std::vector<std::string>& flags, const std::string& fleet_host = "127.0.0.1");
  ~Service();
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  v1::InferenceService::Stub& inference() { return *inference_; }
  v1::ModelService::Stub& models() { return *models_; }
  v1::FleetService::Stub& fleet() { return *fleet_; }
  const std::string& address() const { return address_; }
  const std::string& admin() const { return admin_; }
  const std::string& fleet_address() const { return fleet_address_; }
  pid_t pid() const { return pid_; }

  // All that its processes have written on standard output and error.
  std::string Log() const;

  v1::GetFleetResponse GetFleet();
  // Waits until the fleet shows `ready` READY replicas, at most 60 s.
  bool WaitForReady(int ready);

  // SIGTERM, and the exit code that follows; -1 if it was ended by a signal, or had to be after `limit`.
  int End(std::chrono::seconds limit = std::chrono::seconds(20));

 private:
  pid_t pid_ = -1;
  std::string directory_;
  std::string address_;
  std::string admin_;
  std::string fleet_address_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::InferenceService::Stub> inference_;
  std::unique_ptr<v1::ModelService::Stub> models_;
  std::unique_ptr<v1::FleetService::Stub> fleet_;
};

// build/bin/NAME.
std::string BinaryPath(const std::string& name);

// Everything that a stream said, and its status.
struct Streamed {
  grpc::Status status;
  std::vector<v1::GenerateStreamResponse> events;
  v1::GenerateResponse completed;  // Default if it did not complete.
};
Streamed GenerateStream(Service& service, const v1::GenerateRequest& request);
Streamed InfillStream(Service& service, const v1::InfillRequest& request);

// What must not differ between two runs of one request: everything but timing, request id and replays.
std::string Identity(v1::GenerateResponse response);

}  // namespace unmask::testing

#endif  // UNMASK_TESTS_SUPPORT_SERVICE_H_
