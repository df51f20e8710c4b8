// A generation for an HTTP request: the thread that serves the connection waits for it, and ends it when the client
// leaves.
#ifndef UNMASK_COORDINATOR_HTTP_HTTP_GENERATION_H_
#define UNMASK_COORDINATOR_HTTP_HTTP_GENERATION_H_

#include <optional>

#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "coordinator/generation.h"
#include "coordinator/http/connection.h"
#include "coordinator/openai/completion.h"
#include "coordinator/request_names.h"

namespace unmask {

// Used by the connection's thread; Write and Finish come from others.
class HttpGeneration final : private CallWriter {
 public:
  // method: as of coordinator/generation.h.
  HttpGeneration(const ServiceContext& context, const char* method, const RequestNames& names);
  ~HttpGeneration() override;  // Ends it, if it runs.

  // Hands the request over. An error has ended it.
  absl::Status Submit(const openai::Completion& asked, bool events);
  // For a request that cannot be submitted.
  void Refuse(const absl::Status& why);

  // The next event, the result (once, last), or an error: CANCELLED when the client has left or the server ends, which
  // ends the generation. The event before it counts as sent.
  struct Next {
    std::optional<v1::GenerateStreamResponse> event;
    std::optional<absl::StatusOr<v1::GenerateResponse>> result;
  };
  Next Wait(const Connection& connection);

 private:
  void Write(const v1::GenerateStreamResponse& event) override;
  void Finish(const absl::StatusOr<v1::GenerateResponse>& result) override;
  void Wake() const;

  Generation generation_;
  const int event_fd_;
  bool sending_ = false;  // An event is handed out that the stream does not know as written.
  Mutex mutex_;
  Next mail_ ABSL_GUARDED_BY(mutex_);
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_HTTP_HTTP_GENERATION_H_
