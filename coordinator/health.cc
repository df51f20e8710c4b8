#include "coordinator/health.h"

#include <grpcpp/health_check_service_interface.h>

#include <chrono>

namespace unmask {
namespace {

constexpr std::chrono::milliseconds kInterval(50);
constexpr char kInference[] = "unmask.v1.InferenceService";
// These answer whether or not there are replicas.
constexpr const char* kAlwaysServing[] = {"unmask.v1.ModelService", "unmask.v1.FleetService"};

}  // namespace

HealthReporter::HealthReporter(const FrontDoor* door, grpc::HealthCheckServiceInterface* service)
    : door_(*door), service_(*service) {
  for (const char* name : kAlwaysServing) service_.SetServingStatus(name, true);
  service_.SetServingStatus(kInference, false);
  thread_ = std::thread([this] { Run(); });
}

HealthReporter::~HealthReporter() {
  {
    MutexLock lock(&mutex_);
    stop_ = true;
  }
  stopped_.SignalAll();
  thread_.join();
}

void HealthReporter::Run() {
  bool reported = false;
  MutexLock lock(&mutex_);
  while (!stop_) {
    const bool ready = door_.Readiness().ok();
    if (ready != reported) service_.SetServingStatus(kInference, ready);
    reported = ready;
    stopped_.WaitUntil(&mutex_, std::chrono::steady_clock::now() + kInterval);
  }
}

}  // namespace unmask
