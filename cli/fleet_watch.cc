#include "cli/fleet_watch.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "cli/channel.h"

namespace unmask {
namespace {

constexpr absl::Duration kAnswerTime = absl::Seconds(2);

std::shared_ptr<grpc::Channel> DialPatiently(const std::string& address, const Credentials& credentials) {
  grpc::ChannelArguments arguments;
  // The coordinator may be a moment from listening, or from listening again.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  return Dial(address, credentials, arguments);
}

}  // namespace

FleetProbe::FleetProbe(const std::string& address, const Credentials& credentials)
    : credentials_(credentials), stub_(v1::FleetService::NewStub(DialPatiently(address, credentials))) {}

bool FleetProbe::Ask(absl::Duration timeout, v1::GetFleetResponse* fleet) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(timeout));
  Authorize(credentials_, &context);
  fleet->Clear();
  return stub_->GetFleet(&context, v1::GetFleetRequest(), fleet).ok();
}

bool IsReady(const v1::GetFleetResponse& fleet) {
  return std::any_of(fleet.replicas().begin(), fleet.replicas().end(),
                     [](const v1::ReplicaStatus& replica) { return replica.state() == v1::REPLICA_STATE_READY; });
}

v1::LoadingProgress TotalLoading(const v1::GetFleetResponse& fleet) {
  v1::LoadingProgress total;
  for (const v1::ReplicaStatus& replica : fleet.replicas()) {
    if (replica.state() != v1::REPLICA_STATE_STARTING) continue;
    total.set_bytes_done(total.bytes_done() + replica.loading().bytes_done());
    total.set_bytes_total(total.bytes_total() + replica.loading().bytes_total());
  }
  return total;
}

FleetWatch::FleetWatch(const std::string& address, const Credentials& credentials, absl::Duration interval,
                       std::function<void(const v1::GetFleetResponse&)> on_fleet)
    : interval_(interval), on_fleet_(std::move(on_fleet)), probe_(address, credentials), thread_([this] { Watch(); }) {}

FleetWatch::~FleetWatch() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    wake_.SignalAll();
  }
  thread_.join();
}

void FleetWatch::Watch() {
  v1::GetFleetResponse fleet;
  while (true) {
    if (probe_.Ask(kAnswerTime, &fleet)) on_fleet_(fleet);
    const auto next = std::chrono::steady_clock::now() + absl::ToChronoMilliseconds(interval_);
    MutexLock lock(&mutex_);
    while (!stopping_ && wake_.WaitUntil(&mutex_, next)) {
    }
    if (stopping_) return;
  }
}

}  // namespace unmask
