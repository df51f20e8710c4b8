#include "coordinator/generation.h"

#include <utility>

#include "base/status.h"
#include "coordinator/request.h"

namespace unmask {
namespace {

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

}  // namespace

Generation::Generation(const ServiceContext& context, const char* method, CallWriter* writer)
    : fleet_(*context.fleet),
      door_(*context.door),
      visit_(context.door),
      stream_(std::make_shared<TokenStream>(writer, RequestRecord(context.metrics, method))) {}

void Generation::Identify(const RequestNames& names) {
  names_ = names;
  stream_->Identify(names);
}

template <typename Request, typename Parse>
absl::Status Generation::SubmitParsed(Request request, Parse parse, bool events, absl::Duration time_left) {
  if (names_.request_id.empty()) Identify(NameRequest(request.request_id(), "", ""));
  UNMASK_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  request.set_request_id(names_.request_id);
  UNMASK_ASSIGN_OR_RETURN(const std::shared_ptr<const ServedModel> model, door_.Enter());
  UNMASK_ASSIGN_OR_RETURN(SequenceSpec spec, parse(request, model, RandomWord()));
  if (spec.options.deadline_policy() == v1::DEADLINE_POLICY_FIT) {
    // Where not even one step a block is in time, the fleet refuses the request as it is.
    if (const int32_t steps = fleet_.StepsWithin(spec, time_left); steps > 0) spec.options.set_steps(steps);
  }
  spec.events = events;
  if (events) stream_->OnEvents({AcceptedEvent(spec)});
  sequence_id_ = fleet_.NextSequenceId();
  auto sequence = std::make_unique<DenoisingSequence>(sequence_id_, std::move(spec));
  sequence->sink = stream_;
  return fleet_.Submit(std::move(sequence), time_left);
}

absl::Status Generation::Submit(v1::GenerateRequest request, bool events, absl::Duration time_left) {
  return SubmitParsed(std::move(request), ParseGenerate, events, time_left);
}

absl::Status Generation::Submit(v1::InfillRequest request, bool events, absl::Duration time_left) {
  return SubmitParsed(std::move(request), ParseInfill, events, time_left);
}

void Generation::End(const absl::Status& why) {
  stream_->Abort(why);
  fleet_.Cancel(sequence_id_);
}

}  // namespace unmask
