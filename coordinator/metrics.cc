#include "coordinator/metrics.h"

#include <array>
#include <utility>
#include <vector>

#include "coordinator/errors.h"
#include "coordinator/gauges.h"
#include "coordinator/labels.h"
#include "prometheus/counter.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"
#include "prometheus/text_serializer.h"

namespace unmask {
namespace {

using Buckets = prometheus::Histogram::BucketBoundaries;
using prometheus::Counter;
using prometheus::Family;
using prometheus::Histogram;
using prometheus::MetricFamily;

// Outcomes of a batch job's line.
constexpr char kSucceeded[] = "succeeded";
constexpr char kFailed[] = "failed";

// From `first` in doublings, this many bounds.
Buckets Doublings(double first, int count) {
  Buckets buckets;
  for (double bound = first; count > 0; bound *= 2, --count) buckets.push_back(bound);
  return buckets;
}

// 10 ms to 82 s, as OpenTelemetry's conventions for generative models have it.
Buckets RequestSeconds() { return Doublings(0.01, 14); }
Buckets StepSeconds() { return Doublings(0.001, 15); }
Buckets Counts() { return Doublings(1, 10); }

Family<Counter>& AddCounter(const char* name, const char* help, prometheus::Registry* registry) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(*registry);
}

Family<Histogram>& AddHistogram(const char* name, const char* help, prometheus::Registry* registry) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(*registry);
}

}  // namespace

struct Metrics::Families {
  prometheus::Registry registry;

  Family<Counter>& requests = AddCounter("unmask_requests_total", "Requests by how they ended.", &registry);
  Family<Counter>& rejected =
      AddCounter("unmask_rejected_total", "Requests that ended in an error of the service's table.", &registry);
  Family<Histogram>& duration =
      AddHistogram("unmask_request_duration_seconds", "From a request's arrival to its end.", &registry);
  Family<Histogram>& queue =
      AddHistogram("unmask_request_queue_seconds", "From a request's arrival to its first step.", &registry);
  Family<Histogram>& first_block = AddHistogram("unmask_time_to_first_block_seconds",
                                                "From a request's arrival to the end of its first block.", &registry);

  Family<Counter>& http_responses =
      AddCounter("unmask_http_responses_total", "Replies of the HTTP port by path and code.", &registry);
  prometheus::Gauge& http_connections = prometheus::BuildGauge()
                                            .Name("unmask_http_connections")
                                            .Help("Connections to the HTTP port that are open.")
                                            .Register(registry)
                                            .Add({});

  Family<Counter>& batch_items = AddCounter(
      "unmask_batch_items_total", "Lines of batch jobs whose results are stored, by what came of them.", &registry);

  Histogram& step_duration = AddHistogram("unmask_step_duration_seconds",
                                          "From a step's dispatch to its result's arrival, all replicas.", &registry)
                                 .Add({}, StepSeconds());
  Histogram& step_windows =
      AddHistogram("unmask_step_windows", "Sequences that share a step.", &registry).Add({}, Counts());
  Counter& tokens =
      AddCounter("unmask_committed_tokens_total", "Tokens that denoising steps committed.", &registry).Add({});
  Family<Counter>& steps = AddCounter("unmask_denoising_steps_total",
                                      "Denoising steps of sequences; a step of a replica may hold many.", &registry);
  Family<Histogram>& tokens_per_step =
      AddHistogram("unmask_tokens_per_step", "Tokens that a denoising step of a sequence commits.", &registry);
  // Made once, since each window of each step counts.
  struct OfStrategy {
    Counter* steps = nullptr;
    Histogram* tokens = nullptr;
  };
  std::array<OfStrategy, v1::Remasking_ARRAYSIZE> strategies = {};

  Family<Counter>& replays = AddCounter("unmask_sequence_replays_total",
                                        "Times that a sequence lost its replica and was replayed.", &registry);
  Family<Counter>& restarts =
      AddCounter("unmask_replica_restarts_total", "Ends of replicas' connections that nobody asked for.", &registry);

  Families() {
    for (int value = v1::REMASKING_UNSPECIFIED + 1; value < v1::Remasking_ARRAYSIZE; ++value) {
      const std::string name = v1::Remasking_Name(static_cast<v1::Remasking>(value));
      if (name.empty()) continue;
      const prometheus::Labels labels = {{"strategy", EnumLabel(name, "REMASKING_")}};
      strategies[value] = {&steps.Add(labels), &tokens_per_step.Add(labels, Counts())};
    }
    // From the start, or a rate would miss the first of each.
    for (const char* reason : {kReplicaEnded, kReplicaSilent, kReplicaStuck, kReplicaBrokeProtocol}) {
      replays.Add({{"reason", reason}});
      restarts.Add({{"reason", reason}});
    }
    for (const char* reason : {kOverloaded, kPoisonRequest}) rejected.Add({{"reason", reason}});
    for (const char* outcome : {kSucceeded, kFailed}) batch_items.Add({{"outcome", outcome}});
  }
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
  families_->queue.Add({{"method", method}}, RequestSeconds()).Observe(queued);
}

void Metrics::FirstBlockEnded(const char* method, double seconds) {
  families_->first_block.Add({{"method", method}}, RequestSeconds()).Observe(seconds);
}

void Metrics::RequestFinished(const char* method, const absl::Status& status, double duration) {
  families_->requests.Add({{"method", method}, {"code", absl::StatusCodeToString(status.code())}}).Increment();
  families_->duration.Add({{"method", method}}, RequestSeconds()).Observe(duration);
  if (const std::string reason = ErrorReason(status); !reason.empty()) {
    families_->rejected.Add({{"reason", reason}}).Increment();
  }
}

void Metrics::HttpResponded(const std::string& path, int code) {
  families_->http_responses.Add({{"path", path}, {"code", std::to_string(code)}}).Increment();
}

void Metrics::SetHttpConnections(int open) { families_->http_connections.Set(open); }

void Metrics::BatchItemsEnded(int64_t succeeded, int64_t failed) {
  families_->batch_items.Add({{"outcome", kSucceeded}}).Increment(succeeded);
  families_->batch_items.Add({{"outcome", kFailed}}).Increment(failed);
}

void Metrics::OnStep(double seconds, int windows) {
  families_->step_duration.Observe(seconds);
  families_->step_windows.Observe(windows);
}

void Metrics::OnDenoised(v1::Remasking strategy, int tokens) {
  families_->tokens.Increment(tokens);
  const Families::OfStrategy& of = families_->strategies.at(strategy);
  if (of.steps == nullptr) return;
  of.steps->Increment();
  of.tokens->Observe(tokens);
}

void Metrics::OnReplicaLost(const char* reason, int sequences) {
  families_->restarts.Add({{"reason", reason}}).Increment();
  families_->replays.Add({{"reason", reason}}).Increment(sequences);
}

std::string Metrics::Render(const v1::GetFleetResponse& fleet, const BatchCensus* batch) const {
  std::vector<MetricFamily> families = families_->registry.Collect();
  for (MetricFamily& family : FleetGauges(fleet)) families.push_back(std::move(family));
  if (batch != nullptr) {
    for (MetricFamily& family : BatchGauges(*batch)) families.push_back(std::move(family));
  }
  for (MetricFamily& family : ProcessMetrics()) families.push_back(std::move(family));
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace unmask
