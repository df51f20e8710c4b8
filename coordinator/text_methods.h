// Text to ids and back on request: what Tokenize and Detokenize answer.
#ifndef UNMASK_COORDINATOR_TEXT_METHODS_H_
#define UNMASK_COORDINATOR_TEXT_METHODS_H_

#include "absl/status/statusor.h"
#include "coordinator/served_model.h"
#include "unmask/v1/inference.pb.h"

namespace unmask {

// Errors: as for a request's own input (coordinator/request.h).
absl::StatusOr<v1::TokenizeResponse> Tokenize(const v1::TokenizeRequest& request, const ServedModel& model);

// FAILED_PRECONDITION without a tokenizer; INVALID_ARGUMENT for an id that it lacks.
absl::StatusOr<v1::DetokenizeResponse> Detokenize(const v1::DetokenizeRequest& request, const ServedModel& model);

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_TEXT_METHODS_H_
