#include "coordinator/generation_call.h"

#include <cassert>
#include <utility>

#include "coordinator/generation.h"
#include "coordinator/raw_call.h"
#include "coordinator/request_names.h"

namespace unmask {
namespace {

// The part that unary and streaming calls share. Reactor: grpc::ServerUnaryReactor or grpc::ServerWriteReactor.
template <typename Reactor>
class GenerationCall : public Reactor, protected CallWriter {
 public:
  GenerationCall(const ServiceContext& context, grpc::CallbackServerContext* call, const char* method)
      : access_(*context.access),
        method_(method),
        call_(*call),
        generation_(context, method, static_cast<CallWriter*>(this)) {}

  // To the end of the handler: reads the request and hands it over.
  template <typename Request>
  void Begin(const grpc::ByteBuffer& bytes, bool events) {
    Request request;
    absl::Status status = ReadRequest(access_, method_, call_, bytes, &request);
    const RequestNames names = NameCall(call_, request.request_id());
    generation_.Identify(names);
    if (status.ok()) status = generation_.Submit(std::move(request), events, TimeLeft(call_));
    SayNames(names, status.ok(), &call_);
    if (!status.ok()) generation_.End(status);
    stream().Open();
  }

  // Never before the handler has returned.
  void OnCancel() override { generation_.End(WhyCancelled(call_)); }

  void OnDone() override { delete this; }

 protected:
  TokenStream& stream() { return generation_.stream(); }

 private:
  const Access& access_;
  const char* const method_;
  grpc::CallbackServerContext& call_;
  Generation generation_;
};

class UnaryGeneration : public GenerationCall<grpc::ServerUnaryReactor> {
 public:
  UnaryGeneration(const ServiceContext& context, grpc::CallbackServerContext* call, const char* method,
                  grpc::ByteBuffer* response)
      : GenerationCall(context, call, method), response_(response) {}

 private:
  void Write(const v1::GenerateStreamResponse&) override { assert(false && "a unary call asks for no events"); }
  void Finish(const absl::StatusOr<v1::GenerateResponse>& result) override {
    if (result.ok()) *response_ = ToBytes(*result);
    grpc::ServerUnaryReactor::Finish(ToGrpc(result.status()));
  }

  grpc::ByteBuffer* const response_;
};

class StreamedGeneration : public GenerationCall<grpc::ServerWriteReactor<grpc::ByteBuffer>> {
 public:
  using GenerationCall::GenerationCall;

  void OnWriteDone(bool /*ok*/) override { stream().OnWritten(); }  // Not ok: OnCancel tells why.

 private:
  void Write(const v1::GenerateStreamResponse& event) override {
    outgoing_ = ToBytes(event);
    StartWrite(&outgoing_);
  }
  void Finish(const absl::StatusOr<v1::GenerateResponse>& result) override {
    if (!result.ok()) {
      grpc::ServerWriteReactor<grpc::ByteBuffer>::Finish(ToGrpc(result.status()));
      return;
    }
    v1::GenerateStreamResponse event;
    *event.mutable_completed() = *result;
    outgoing_ = ToBytes(event);
    StartWriteAndFinish(&outgoing_, grpc::WriteOptions(), grpc::Status::OK);
  }

  grpc::ByteBuffer outgoing_;  // Of the one write that may be under way.
};

}  // namespace

grpc::ServerUnaryReactor* Generate(const ServiceContext& context, grpc::CallbackServerContext* call,
                                   const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  auto* reactor = new UnaryGeneration(context, call, "Generate", response);
  reactor->Begin<v1::GenerateRequest>(*request, /*events=*/false);
  return reactor;
}

grpc::ServerUnaryReactor* Infill(const ServiceContext& context, grpc::CallbackServerContext* call,
                                 const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  auto* reactor = new UnaryGeneration(context, call, "Infill", response);
  reactor->Begin<v1::InfillRequest>(*request, /*events=*/false);
  return reactor;
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* GenerateStream(const ServiceContext& context,
                                                           grpc::CallbackServerContext* call,
                                                           const grpc::ByteBuffer* request) {
  auto* reactor = new StreamedGeneration(context, call, "GenerateStream");
  reactor->Begin<v1::GenerateRequest>(*request, /*events=*/true);
  return reactor;
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* InfillStream(const ServiceContext& context,
                                                         grpc::CallbackServerContext* call,
                                                         const grpc::ByteBuffer* request) {
  auto* reactor = new StreamedGeneration(context, call, "InfillStream");
  reactor->Begin<v1::InfillRequest>(*request, /*events=*/true);
  return reactor;
}

}  // namespace unmask
