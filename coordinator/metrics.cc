#include "coordinator/metrics.h"

#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "coordinator/errors.h"
#include "google/protobuf/descriptor.h"
#include "prometheus/counter.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"
#include "prometheus/text_serializer.h"

namespace unmask {
namespace {

using prometheus::ClientMetric;
using prometheus::Family;
using prometheus::MetricFamily;

// Seconds: 10 ms to 82 s in doublings, as OpenTelemetry's conventions for generative models have it.
prometheus::Histogram::BucketBoundaries Buckets() {
  prometheus::Histogram::BucketBoundaries buckets;
  for (double bound = 0.01; bound < 100; bound *= 2) buckets.push_back(bound);
  return buckets;
}

// REMASKING_LOW_CONFIDENCE -> low_confidence.
std::string Label(absl::string_view enum_name, absl::string_view prefix) {
  return absl::AsciiStrToLower(absl::StripPrefix(enum_name, prefix));
}

MetricFamily GaugeFamily(std::string name, std::string help) {
  MetricFamily family;
  family.name = std::move(name);
  family.help = std::move(help);
  family.type = prometheus::MetricType::Gauge;
  return family;
}

void AddGauge(std::vector<ClientMetric::Label> labels, double value, MetricFamily* family) {
  ClientMetric metric;
  metric.label = std::move(labels);
  metric.gauge.value = value;
  family->metric.push_back(std::move(metric));
}

std::vector<MetricFamily> FleetFamilies(const v1::GetFleetResponse& fleet) {
  MetricFamily queued = GaugeFamily("unmask_queued_requests", "Requests that wait for a replica.");
  MetricFamily running = GaugeFamily("unmask_running_requests", "Requests that replicas compute.");
  MetricFamily states = GaugeFamily("unmask_replica_state", "1 for the state that the replica is in.");
  MetricFamily restarts = GaugeFamily("unmask_replica_restarts", "Restarts as the replica's supervisor counts them.");
  int running_requests = 0;
  for (const v1::ReplicaStatus& replica : fleet.replicas()) {
    running_requests += replica.running();
    AddGauge({{"replica", replica.name()}}, replica.restarts(), &restarts);
    for (int state = v1::REPLICA_STATE_STARTING; state <= v1::ReplicaState_MAX; ++state) {
      const std::string name = v1::ReplicaState_Name(static_cast<v1::ReplicaState>(state));
      AddGauge({{"replica", replica.name()}, {"state", Label(name, "REPLICA_STATE_")}},
               replica.state() == state ? 1 : 0, &states);
    }
  }
  AddGauge({}, fleet.queued(), &queued);
  AddGauge({}, running_requests, &running);
  return {queued, running, states, restarts};
}

}  // namespace

struct Metrics::Families {
  prometheus::Registry registry;
  Family<prometheus::Counter>& requests =
      prometheus::BuildCounter().Name("unmask_requests_total").Help("Requests by how they ended.").Register(registry);
  Family<prometheus::Histogram>& duration = prometheus::BuildHistogram()
                                                .Name("unmask_request_duration_seconds")
                                                .Help("From a request's arrival to its end.")
                                                .Register(registry);
  Family<prometheus::Histogram>& queue = prometheus::BuildHistogram()
                                             .Name("unmask_request_queue_seconds")
                                             .Help("From a request's arrival to its first step.")
                                             .Register(registry);
  Family<prometheus::Counter>& steps = prometheus::BuildCounter()
                                           .Name("unmask_denoising_steps_total")
                                           .Help("Denoising steps of completed requests.")
                                           .Register(registry);
  Family<prometheus::Counter>& rejected = prometheus::BuildCounter()
                                              .Name("unmask_rejected_total")
                                              .Help("Requests that ended in an error of the service's table.")
                                              .Register(registry);
  prometheus::Counter& tokens = prometheus::BuildCounter()
                                    .Name("unmask_committed_tokens_total")
                                    .Help("Tokens of completed requests.")
                                    .Register(registry)
                                    .Add({});
  prometheus::Counter& replays = prometheus::BuildCounter()
                                     .Name("unmask_sequence_replays_total")
                                     .Help("Times that a replica died under a request that completed all the same.")
                                     .Register(registry)
                                     .Add({});
};

Metrics::Metrics(const std::string& version, int expected_replicas) : families_(std::make_unique<Families>()) {
  prometheus::BuildGauge()
      .Name("unmask_build_info")
      .Help("1; what runs is in the labels.")
      .Register(families_->registry)
      .Add({{"version", version}})
      .Set(1);
  prometheus::BuildGauge()
      .Name("unmask_expected_replicas")
      .Help("Replicas that should be ready; 0: unknown.")
      .Register(families_->registry)
      .Add({})
      .Set(expected_replicas);
}

Metrics::~Metrics() = default;

void Metrics::RequestStarted(const char* method, double queued) {
  families_->queue.Add({{"method", method}}, Buckets()).Observe(queued);
}

void Metrics::RequestFinished(const char* method, const absl::Status& status, double duration) {
  families_->requests.Add({{"method", method}, {"code", absl::StatusCodeToString(status.code())}}).Increment();
  families_->duration.Add({{"method", method}}, Buckets()).Observe(duration);
  if (const std::string reason = ErrorReason(status); !reason.empty()) {
    families_->rejected.Add({{"reason", reason}}).Increment();
  }
}

void Metrics::Generated(const v1::GenerateResponse& response) {
  const std::string strategy = Label(v1::Remasking_Name(response.options().remasking()), "REMASKING_");
  families_->steps.Add({{"strategy", strategy}}).Increment(response.usage().steps());
  families_->tokens.Increment(response.usage().completion_tokens());
  families_->replays.Increment(response.replays());
}

std::string Metrics::Render(const v1::GetFleetResponse& fleet) const {
  std::vector<MetricFamily> families = families_->registry.Collect();
  for (MetricFamily& family : FleetFamilies(fleet)) families.push_back(std::move(family));
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace unmask
