#include "coordinator/text_methods.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "coordinator/errors.h"
#include "coordinator/request.h"

namespace unmask {
namespace {

absl::Status CheckTokenizer(const ServedModel& model) {
  if (model.tokenizer) return absl::OkStatus();
  return ServiceError(absl::StatusCode::kFailedPrecondition, kTokenizerMissing, "the checkpoint has no tokenizer",
                      {{"model", model.name}});
}

absl::StatusOr<std::vector<int32_t>> Ids(const v1::TokenizeRequest& request, const ServedModel& model) {
  switch (request.input_case()) {
    case v1::TokenizeRequest::kText:
      return EncodeText(request.text(), "text", model);
    case v1::TokenizeRequest::kChat:
      return EncodeChat(request.chat(), model);
    case v1::TokenizeRequest::INPUT_NOT_SET:
      break;
  }
  return InvalidField(kInputMissing, "input", "one of text and chat must be set");
}

}  // namespace

absl::StatusOr<v1::TokenizeResponse> Tokenize(const v1::TokenizeRequest& request, const ServedModel& model) {
  UNMASK_RETURN_IF_ERROR(CheckModelName(request.model(), model));
  UNMASK_RETURN_IF_ERROR(CheckTokenizer(model));
  UNMASK_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, Ids(request, model));
  v1::TokenizeResponse response;
  response.set_count(ids.size());
  response.mutable_token_ids()->Add(ids.begin(), ids.end());
  for (const int32_t id : ids) {
    UNMASK_ASSIGN_OR_RETURN(*response.add_pieces(), model.tokenizer->Decode({id}, /*skip_special=*/false));
  }
  return response;
}

absl::StatusOr<v1::DetokenizeResponse> Detokenize(const v1::DetokenizeRequest& request, const ServedModel& model) {
  UNMASK_RETURN_IF_ERROR(CheckModelName(request.model(), model));
  UNMASK_RETURN_IF_ERROR(CheckTokenizer(model));
  const int32_t bound = model.tokenizer->size();
  for (int i = 0; i < request.token_ids_size(); ++i) {
    const int32_t id = request.token_ids(i);
    if (id >= 0 && id < bound) continue;
    const std::string field = absl::StrCat("token_ids[", i, "]");
    return InvalidField(kTokenOutOfRange, field, absl::StrCat(field, " ", id, " is not in [0, ", bound, ")"));
  }
  v1::DetokenizeResponse response;
  UNMASK_ASSIGN_OR_RETURN(*response.mutable_text(),
                          model.tokenizer->Decode(request.token_ids(), request.skip_special_tokens()));
  return response;
}

}  // namespace unmask
