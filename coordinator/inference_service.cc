#include "base/status.h"
#include "coordinator/generation_call.h"
#include "coordinator/raw_call.h"
#include "coordinator/score_call.h"
#include "coordinator/services.h"
#include "coordinator/text_methods.h"
#include "unmask/v1/inference.grpc.pb.h"

namespace unmask {
namespace {

template <template <typename> typename... Methods>
struct Raw;
template <>
struct Raw<> {
  using Service = v1::InferenceService::Service;
};
template <template <typename> typename Method, template <typename> typename... Methods>
struct Raw<Method, Methods...> {
  using Service = Method<typename Raw<Methods...>::Service>;
};

// Every method takes raw bytes; see coordinator/raw_call.h.
using RawService = Raw<v1::InferenceService::WithRawCallbackMethod_Generate,        //
                       v1::InferenceService::WithRawCallbackMethod_GenerateStream,  //
                       v1::InferenceService::WithRawCallbackMethod_Infill,          //
                       v1::InferenceService::WithRawCallbackMethod_InfillStream,    //
                       v1::InferenceService::WithRawCallbackMethod_Score,           //
                       v1::InferenceService::WithRawCallbackMethod_Tokenize,        //
                       v1::InferenceService::WithRawCallbackMethod_Detokenize>::Service;

class InferenceService final : public RawService {
 public:
  explicit InferenceService(const ServiceContext& context) : context_(context) {}

  grpc::ServerUnaryReactor* Generate(grpc::CallbackServerContext* call, const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override {
    return unmask::Generate(context_, call, request, response);
  }
  grpc::ServerWriteReactor<grpc::ByteBuffer>* GenerateStream(grpc::CallbackServerContext* call,
                                                             const grpc::ByteBuffer* request) override {
    return unmask::GenerateStream(context_, call, request);
  }
  grpc::ServerUnaryReactor* Infill(grpc::CallbackServerContext* call, const grpc::ByteBuffer* request,
                                   grpc::ByteBuffer* response) override {
    return unmask::Infill(context_, call, request, response);
  }
  grpc::ServerWriteReactor<grpc::ByteBuffer>* InfillStream(grpc::CallbackServerContext* call,
                                                           const grpc::ByteBuffer* request) override {
    return unmask::InfillStream(context_, call, request);
  }
  grpc::ServerUnaryReactor* Score(grpc::CallbackServerContext* call, const grpc::ByteBuffer* request,
                                  grpc::ByteBuffer* response) override {
    return unmask::Score(context_, call, request, response);
  }

  grpc::ServerUnaryReactor* Tokenize(grpc::CallbackServerContext* call, const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override {
    return AnswerUnary<v1::TokenizeRequest>(
        {call, request, response}, "Tokenize", context_,
        [this](const v1::TokenizeRequest& asked) -> absl::StatusOr<v1::TokenizeResponse> {
          UNMASK_ASSIGN_OR_RETURN(const auto model, context_.door->Enter());
          return unmask::Tokenize(asked, *model);
        });
  }
  grpc::ServerUnaryReactor* Detokenize(grpc::CallbackServerContext* call, const grpc::ByteBuffer* request,
                                       grpc::ByteBuffer* response) override {
    return AnswerUnary<v1::DetokenizeRequest>(
        {call, request, response}, "Detokenize", context_,
        [this](const v1::DetokenizeRequest& asked) -> absl::StatusOr<v1::DetokenizeResponse> {
          UNMASK_ASSIGN_OR_RETURN(const auto model, context_.door->Enter());
          return unmask::Detokenize(asked, *model);
        });
  }

 private:
  const ServiceContext context_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeInferenceService(const ServiceContext& context) {
  return std::make_unique<InferenceService>(context);
}

}  // namespace unmask
