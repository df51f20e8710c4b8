// A generation on behalf of a client, whatever protocol it speaks: its request's way to the fleet, and its cancelling.
#ifndef UNMASK_COORDINATOR_GENERATION_H_
#define UNMASK_COORDINATOR_GENERATION_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "coordinator/request_names.h"
#include "coordinator/service_context.h"
#include "coordinator/token_stream.h"
#include "unmask/v1/inference.pb.h"

namespace unmask {

// One thread at a time submits; then any may cancel. Draining waits for the object.
class Generation {
 public:
  // method: as in the proto, for the log and the metrics. `writer` must live until its Finish.
  Generation(const ServiceContext& context, const char* method, CallWriter* writer);

  // How the request is found again, if more is known of it than its own field. Before Submit.
  void Identify(const RequestNames& names);

  // Checks the request and hands its sequence to the fleet. events: the stream gets each step, after an Accepted. Once;
  // an error ends nothing yet: pass it to End. time_left: until the client gives up.
  absl::Status Submit(v1::GenerateRequest request, bool events, absl::Duration time_left);
  absl::Status Submit(v1::InfillRequest request, bool events, absl::Duration time_left);

  // Ends the stream with an error, unless it is over, and takes the sequence from whoever computes it.
  void End(const absl::Status& why);

  // Closed until its Open, which the owner calls once Submit or End has returned.
  TokenStream& stream() { return *stream_; }

 private:
  template <typename Request, typename Parse>
  absl::Status SubmitParsed(Request request, Parse parse, bool events, absl::Duration time_left);

  Fleet& fleet_;
  const FrontDoor& door_;
  const FrontDoor::Visit visit_;
  const std::shared_ptr<TokenStream> stream_;
  RequestNames names_;
  uint64_t sequence_id_ = 0;  // 0: none yet.
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_GENERATION_H_
