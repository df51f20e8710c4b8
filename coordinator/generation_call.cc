#include "coordinator/generation_call.h"

#include <cassert>
#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/status.h"
#include "coordinator/errors.h"
#include "coordinator/raw_call.h"
#include "coordinator/request.h"
#include "coordinator/token_stream.h"

namespace unmask {
namespace {

constexpr size_t kMaxRequestIdBytes = 128;

// A client gives up at its own deadline, which its cancellation brings here a moment before ours.
constexpr std::chrono::milliseconds kDeadlineSlack(100);

// From the system's entropy: seeds and ids that nobody can guess or repeat by accident.
uint64_t RandomWord() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

// It stands in logs and comes back in headers of tools: no control characters, no length to drown in.
absl::Status CheckRequestId(const std::string& id) {
  if (id.size() > kMaxRequestIdBytes) {
    return InvalidField(kOptionInvalid, "request_id",
                        absl::StrCat("request_id has ", id.size(), " bytes, more than ", kMaxRequestIdBytes));
  }
  for (size_t i = 0; i < id.size(); ++i) {
    if (id[i] >= ' ' && id[i] <= '~') continue;
    return InvalidField(kOptionInvalid, "request_id",
                        absl::StrCat("request_id has a byte at ", i, " that is not printable ASCII"));
  }
  return absl::OkStatus();
}

v1::GenerateStreamResponse AcceptedEvent(const SequenceSpec& spec) {
  const int32_t length = spec.canvas.size();
  const int32_t block_length = spec.options.block_length();
  v1::GenerateStreamResponse event;
  v1::Accepted* accepted = event.mutable_accepted();
  *accepted->mutable_options() = spec.options;
  accepted->set_canvas_length(length);
  accepted->set_blocks((length - spec.prompt_length + block_length - 1) / block_length);
  accepted->set_prompt_length(spec.prompt_length);
  if (spec.output.canvas()) accepted->mutable_canvas()->Add(spec.canvas.begin(), spec.canvas.end());
  accepted->set_request_id(spec.request_id);
  return event;
}

// What a call asks for, whichever method it came by.
template <typename Request>
using Parser = absl::StatusOr<SequenceSpec> (*)(const Request&, const std::shared_ptr<const ServedModel>&, uint64_t);

// The part that unary and streaming calls share. Reactor: grpc::ServerUnaryReactor or grpc::ServerWriteReactor.
template <typename Reactor>
class GenerationCall : public Reactor, protected CallWriter {
 public:
  GenerationCall(const ServiceContext& context, grpc::CallbackServerContext* call, const char* method)
      : fleet_(*context.fleet),
        door_(*context.door),
        access_(*context.access),
        method_(method),
        call_(*call),
        visit_(context.door),
        stream_(std::make_shared<TokenStream>(static_cast<CallWriter*>(this), RequestRecord(context.metrics, method))) {
  }

  // To the end of the handler: reads the request and hands its sequence to the fleet.
  template <typename Request>
  void Begin(const grpc::ByteBuffer& bytes, Parser<Request> parse, bool events) {
    const absl::Status status = Submit(bytes, parse, events);
    if (!status.ok()) stream_->Abort(status);
    stream_->Open();
  }

  // The client has left, or its deadline has passed. Never before the handler has returned.
  void OnCancel() override {
    const bool late = std::chrono::system_clock::now() + kDeadlineSlack >= call_.deadline();
    stream_->Abort(late ? ServiceError(absl::StatusCode::kDeadlineExceeded, kDeadline, "the deadline has passed")
                        : ServiceError(absl::StatusCode::kCancelled, kCancelled, "the client cancelled the call"));
    fleet_.Cancel(sequence_id_);
  }

  void OnDone() override { delete this; }

 protected:
  TokenStream& stream() { return *stream_; }

 private:
  template <typename Request>
  absl::Status Submit(const grpc::ByteBuffer& bytes, Parser<Request> parse, bool events) {
    Request request;
    UNMASK_RETURN_IF_ERROR(ReadRequest(access_, method_, call_, bytes, &request));
    UNMASK_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
    if (request.request_id().empty()) request.set_request_id(absl::StrCat(absl::Hex(RandomWord(), absl::kZeroPad16)));
    stream_->set_request_id(request.request_id());
    UNMASK_ASSIGN_OR_RETURN(const std::shared_ptr<const ServedModel> model, door_.Enter());
    UNMASK_ASSIGN_OR_RETURN(SequenceSpec spec, parse(request, model, RandomWord()));
    spec.events = events;
    if (events) stream_->OnEvents({AcceptedEvent(spec)});
    sequence_id_ = fleet_.NextSequenceId();
    auto sequence = std::make_unique<Sequence>(sequence_id_, std::move(spec));
    sequence->sink = stream_;
    return fleet_.Submit(std::move(sequence), TimeLeft());
  }

  absl::Duration TimeLeft() const {
    const auto deadline = call_.deadline();
    if (deadline == std::chrono::system_clock::time_point::max()) return absl::InfiniteDuration();
    return absl::FromChrono(deadline - std::chrono::system_clock::now());
  }

  Fleet& fleet_;
  const FrontDoor& door_;
  const Access& access_;
  const char* const method_;
  const grpc::CallbackServerContext& call_;
  const FrontDoor::Visit visit_;
  const std::shared_ptr<TokenStream> stream_;
  uint64_t sequence_id_ = 0;  // 0: none yet.
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
  reactor->Begin<v1::GenerateRequest>(*request, ParseGenerate, /*events=*/false);
  return reactor;
}

grpc::ServerUnaryReactor* Infill(const ServiceContext& context, grpc::CallbackServerContext* call,
                                 const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  auto* reactor = new UnaryGeneration(context, call, "Infill", response);
  reactor->Begin<v1::InfillRequest>(*request, ParseInfill, /*events=*/false);
  return reactor;
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* GenerateStream(const ServiceContext& context,
                                                           grpc::CallbackServerContext* call,
                                                           const grpc::ByteBuffer* request) {
  auto* reactor = new StreamedGeneration(context, call, "GenerateStream");
  reactor->Begin<v1::GenerateRequest>(*request, ParseGenerate, /*events=*/true);
  return reactor;
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* InfillStream(const ServiceContext& context,
                                                         grpc::CallbackServerContext* call,
                                                         const grpc::ByteBuffer* request) {
  auto* reactor = new StreamedGeneration(context, call, "InfillStream");
  reactor->Begin<v1::InfillRequest>(*request, ParseInfill, /*events=*/true);
  return reactor;
}

}  // namespace unmask
