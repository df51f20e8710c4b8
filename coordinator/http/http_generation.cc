#include "coordinator/http/http_generation.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cassert>
#include <utility>

#include "absl/time/time.h"
#include "base/status.h"
#include "coordinator/errors.h"

namespace unmask {

HttpGeneration::HttpGeneration(const ServiceContext& context, const char* method, const RequestNames& names)
    : generation_(context, method, static_cast<CallWriter*>(this)), event_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  generation_.Identify(names);
}

HttpGeneration::~HttpGeneration() {
  generation_.End(ServiceError(absl::StatusCode::kCancelled, kCancelled, "the client cancelled the call"));
  // Whatever was under way, or never opened, is over: the stream finishes within this call and forgets its writer.
  generation_.stream().OnWritten();
  if (event_fd_ >= 0) close(event_fd_);
}

absl::Status HttpGeneration::Submit(const openai::Completion& asked, bool events) {
  absl::Status status;
  if (event_fd_ < 0) {  // Nothing would wake the thread that waits for the answer.
    status = ServiceError(absl::StatusCode::kResourceExhausted, kOverloaded, "the service has no file descriptors left",
                          {}, absl::Seconds(1));
  } else {
    status =
        std::visit([&](const auto& request) { return generation_.Submit(request, events, absl::InfiniteDuration()); },
                   asked.request);
  }
  if (!status.ok()) {
    Refuse(status);
    return status;
  }
  generation_.stream().Open();
  return status;
}

void HttpGeneration::Refuse(const absl::Status& why) {
  generation_.End(why);
  generation_.stream().Open();
}

HttpGeneration::Next HttpGeneration::Wait(const Connection& connection) {
  if (std::exchange(sending_, false)) generation_.stream().OnWritten();
  const Connection::Wake wake = connection.WaitFor(event_fd_);
  if (wake != Connection::Wake::kEvent) {
    const absl::Status gone =
        wake == Connection::Wake::kClientGone
            ? ServiceError(absl::StatusCode::kCancelled, kCancelled, "the client cancelled the call")
            : ServiceError(absl::StatusCode::kUnavailable, kDraining, "the service is shutting down");
    generation_.End(gone);
    return {.event = std::nullopt, .result = gone};
  }
  eventfd_t ignored;
  eventfd_read(event_fd_, &ignored);
  MutexLock lock(&mutex_);
  sending_ = mail_.event.has_value();
  return std::exchange(mail_, {});
}

void HttpGeneration::Write(const v1::GenerateStreamResponse& event) {
  MutexLock lock(&mutex_);
  mail_.event = event;
  Wake();
}

void HttpGeneration::Finish(const absl::StatusOr<v1::GenerateResponse>& result) {
  MutexLock lock(&mutex_);
  assert(!finished_);
  finished_ = true;
  mail_.result = result;
  Wake();
}

void HttpGeneration::Wake() const { eventfd_write(event_fd_, 1); }

}  // namespace unmask
