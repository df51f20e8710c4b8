#include "coordinator/score_call.h"

#include <utility>

#include "coordinator/raw_call.h"
#include "coordinator/request_names.h"
#include "coordinator/scoring.h"

namespace unmask {
namespace {

constexpr char kMethod[] = "Score";

class ScoreCall final : public grpc::ServerUnaryReactor {
 public:
  ScoreCall(const ServiceContext& context, grpc::CallbackServerContext* call, grpc::ByteBuffer* response)
      : access_(*context.access),
        call_(*call),
        scoring_(context, kMethod, [this, response](const absl::StatusOr<v1::ScoreResponse>& result) {
          if (result.ok()) *response = ToBytes(*result);
          Finish(ToGrpc(result.status()));
        }) {}

  // To the end of the handler: reads the request and hands it over.
  void Begin(const grpc::ByteBuffer& bytes) {
    v1::ScoreRequest request;
    absl::Status status = ReadRequest(access_, kMethod, call_, bytes, &request);
    const RequestNames names = NameCall(call_, request.request_id());
    scoring_.Identify(names);
    if (status.ok()) status = scoring_.Submit(std::move(request), TimeLeft(call_));
    SayNames(names, status.ok(), &call_);
    if (!status.ok()) scoring_.End(status);
    scoring_.Open();
  }

  void OnCancel() override { scoring_.End(WhyCancelled(call_)); }
  void OnDone() override { delete this; }

 private:
  const Access& access_;
  grpc::CallbackServerContext& call_;
  Scoring scoring_;
};

}  // namespace

grpc::ServerUnaryReactor* Score(const ServiceContext& context, grpc::CallbackServerContext* call,
                                const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  auto* reactor = new ScoreCall(context, call, response);
  reactor->Begin(*request);
  return reactor;
}

}  // namespace unmask
