#include "coordinator/request_record.h"

#include "base/log.h"
#include "coordinator/errors.h"
#include "coordinator/labels.h"

namespace unmask {
namespace {

void SetDuration(std::chrono::nanoseconds duration, google::protobuf::Duration* out) {
  constexpr int64_t kNanos = 1'000'000'000;
  out->set_seconds(duration.count() / kNanos);
  out->set_nanos(static_cast<int32_t>(duration.count() % kNanos));
}

double Seconds(std::chrono::steady_clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

int64_t Millis(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

}  // namespace

RequestRecord::RequestRecord(Metrics* metrics, const char* method)
    : metrics_(metrics), method_(method), received_(Clock::now()) {}

void RequestRecord::Placed(absl::string_view replica, uint64_t epoch) {
  replica_ = std::string(replica);
  epoch_ = epoch;
}

void RequestRecord::Started() {
  if (started_) return;
  started_ = Clock::now();
  metrics_->RequestStarted(method_, Seconds(*started_ - received_));
}

void RequestRecord::FirstBlockEnded() {
  first_block_ = Clock::now();
  metrics_->FirstBlockEnded(method_, Seconds(*first_block_ - received_));
}

v1::Timing RequestRecord::Timing() const {
  const Clock::time_point now = Clock::now();
  const Clock::time_point started = started_.value_or(now);
  v1::Timing timing;
  SetDuration(started - received_, timing.mutable_queue());
  SetDuration(now - started, timing.mutable_compute());
  SetDuration(now - received_, timing.mutable_total());
  return timing;
}

void RequestRecord::End(const absl::Status& status, std::vector<LogField> details) {
  const Clock::time_point now = Clock::now();
  metrics_->RequestFinished(method_, status, Seconds(now - received_));
  std::vector<LogField> fields = {{"method", method_},
                                  {"code", absl::StatusCodeToString(status.code())},
                                  {"reason", ErrorReason(status)},
                                  {"request_id", names_.request_id},
                                  {"trace_id", names_.trace_id},
                                  {"span_id", names_.span_id},
                                  {"parent_span_id", names_.parent_span_id},
                                  {"replica", replica_},
                                  {"epoch", epoch_}};
  fields.insert(fields.end(), details.begin(), details.end());
  fields.emplace_back("queue_ms", Millis(started_.value_or(now) - received_));
  if (first_block_) fields.emplace_back("first_block_ms", Millis(*first_block_ - received_));
  fields.emplace_back("total_ms", Millis(now - received_));
  Log(Severity::kInfo, "request", fields);
}

void RequestRecord::Finished(const absl::StatusOr<v1::ScoreResponse>& result) {
  if (!result.ok()) return End(result.status(), {});
  End(result.status(), {{"replays", result->replays()},
                        {"prompt_tokens", result->prompt_tokens()},
                        {"targets", result->scores_size()},
                        {"samples", result->samples()},
                        {"forward_passes", result->forward_passes()}});
}

void RequestRecord::Finished(const absl::StatusOr<v1::GenerateResponse>& result) {
  if (!result.ok()) return End(result.status(), {});
  if (!first_block_) first_block_ = Clock::now();  // It was the only one.
  const v1::Usage& usage = result->usage();
  const v1::GenerationOptions& options = result->options();
  End(result.status(), {{"finish_reason", EnumLabel(v1::FinishReason_Name(result->finish_reason()), "FINISH_REASON_")},
                        {"replays", result->replays()},
                        {"strategy", EnumLabel(v1::Remasking_Name(options.remasking()), "REMASKING_")},
                        {"cache", EnumLabel(v1::Cache_Name(options.cache()), "CACHE_")},
                        {"prompt_tokens", usage.prompt_tokens()},
                        {"tokens", usage.completion_tokens()},
                        {"steps", usage.steps()},
                        {"forward_passes", usage.forward_passes()}});
}

}  // namespace unmask
