#include <utility>

#include "base/status.h"
#include "coordinator/options.h"
#include "coordinator/raw_call.h"
#include "coordinator/request.h"
#include "coordinator/services.h"
#include "unmask/v1/model.grpc.pb.h"

namespace unmask {
namespace {

// What the shape says.
void DescribeShape(const ServedModel& served, v1::Model* model) {
  const internal::v1::ModelShape& shape = served.shape;
  model->set_architecture(shape.architecture());
  model->set_parameters(shape.parameters());
  model->set_layers(shape.layers());
  model->set_hidden_size(shape.hidden_size());
  model->set_heads(shape.heads());
  model->set_kv_heads(shape.kv_heads());
  model->set_vocab_size(shape.vocab_size());
  model->set_embedding_size(shape.embedding_size());
  model->set_max_sequence_length(shape.max_sequence_length());
  v1::SpecialTokens* special = model->mutable_special_tokens();
  special->set_mask(served.mask());
  special->set_eos(served.eos());
  if (served.eot) special->set_eot(*served.eot);
}

// The options of a request that sets none, but for the seed, which is drawn; nothing where the model is too small for
// them.
void DescribeDefaults(const ServedModel& served, v1::Model* model) {
  absl::StatusOr<v1::GenerationOptions> options = ResolveOptions({}, served, /*prompt_length=*/0, /*drawn_seed=*/0);
  if (!options.ok()) return;
  options->clear_seed();
  *model->mutable_default_options() = *std::move(options);
}

using RawService = v1::ModelService::WithRawCallbackMethod_GetModel<
    v1::ModelService::WithRawCallbackMethod_ListModels<v1::ModelService::Service>>;

class ModelService final : public RawService {
 public:
  ModelService(const ServiceContext& context, FleetOptions options) : context_(context), options_(std::move(options)) {}

  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* call, const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override {
    return AnswerUnary<v1::GetModelRequest>(
        {call, request, response}, "GetModel", context_,
        [this](const v1::GetModelRequest& asked) -> absl::StatusOr<v1::GetModelResponse> {
          UNMASK_RETURN_IF_ERROR(CheckModelName(asked.model(), ServedModel{.name = options_.model_name}));
          v1::GetModelResponse answer;
          *answer.mutable_model() = DescribeModel(context_, options_);
          return answer;
        });
  }
  grpc::ServerUnaryReactor* ListModels(grpc::CallbackServerContext* call, const grpc::ByteBuffer* request,
                                       grpc::ByteBuffer* response) override {
    return AnswerUnary<v1::ListModelsRequest>(
        {call, request, response}, "ListModels", context_,
        [this](const v1::ListModelsRequest&) -> absl::StatusOr<v1::ListModelsResponse> {
          v1::ListModelsResponse answer;
          *answer.add_models() = DescribeModel(context_, options_);
          return answer;
        });
  }

 private:
  const ServiceContext context_;
  const FleetOptions options_;
};

}  // namespace

v1::Model DescribeModel(const ServiceContext& context, const FleetOptions& options) {
  v1::Model model;
  model.set_name(options.model_name);
  model.set_has_tokenizer(options.tokenizer != nullptr);
  model.set_has_chat_template(options.tokenizer && options.tokenizer->has_chat_template());
  model.set_ready(context.door->Readiness().ok());
  if (const auto served = context.fleet->model()) {
    DescribeShape(*served, &model);
    DescribeDefaults(*served, &model);
  }
  if (const auto replica = context.fleet->ReadyReplica()) {
    model.set_dtype(replica->description().dtype());
    model.set_tensor_parallel(replica->description().ranks_size());
    model.set_numerics(replica->numerics());
  }
  return model;
}

std::unique_ptr<grpc::Service> MakeModelService(const ServiceContext& context, FleetOptions options) {
  return std::make_unique<ModelService>(context, std::move(options));
}

}  // namespace unmask
