#include "coordinator/request_record.h"

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "coordinator/errors.h"

namespace unmask {
namespace {

void SetDuration(std::chrono::nanoseconds duration, google::protobuf::Duration* out) {
  constexpr int64_t kNanos = 1'000'000'000;
  out->set_seconds(duration.count() / kNanos);
  out->set_nanos(static_cast<int32_t>(duration.count() % kNanos));
}

double Seconds(std::chrono::steady_clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

RequestRecord::RequestRecord(Metrics* metrics, const char* method)
    : metrics_(metrics), method_(method), received_(Clock::now()) {}

void RequestRecord::Started() {
  if (started_) return;
  started_ = Clock::now();
  metrics_->RequestStarted(method_, Seconds(*started_ - received_));
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

void RequestRecord::Finished(const absl::StatusOr<v1::GenerateResponse>& result) {
  const Clock::duration total = Clock::now() - received_;
  metrics_->RequestFinished(method_, result.status(), Seconds(total));
  const std::string head = absl::StrCat(method_, " ", request_id_.empty() ? "-" : request_id_, " ",
                                        absl::StatusCodeToString(result.status().code()));
  const int64_t ms = std::chrono::duration_cast<std::chrono::milliseconds>(total).count();
  if (!result.ok()) {
    LogInfo(head, " ", ErrorReason(result.status()), " ms ", ms);
    return;
  }
  metrics_->Generated(*result);
  const v1::Usage& usage = result->usage();
  LogInfo(head, " tokens ", usage.completion_tokens(), " steps ", usage.steps(), " passes ", usage.forward_passes(),
          " ms ", ms, " replays ", result->replays());
}

}  // namespace unmask
