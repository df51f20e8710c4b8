// Requests to sequences: the one place that rejects bad input. What comes out is valid by type; later code does not
// check again.
#ifndef UNMASK_COORDINATOR_REQUEST_H_
#define UNMASK_COORDINATOR_REQUEST_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/denoising_sequence.h"
#include "coordinator/served_model.h"
#include "unmask/v1/inference.pb.h"

namespace unmask {

// Errors: INVALID_ARGUMENT with the field's path, and NOT_FOUND for another model's name (coordinator/errors.h).
// drawn_seed is used where the request has none. spec.events is left false.
absl::StatusOr<SequenceSpec> ParseGenerate(const v1::GenerateRequest& request,
                                           const std::shared_ptr<const ServedModel>& model, uint64_t drawn_seed);
absl::StatusOr<SequenceSpec> ParseInfill(const v1::InfillRequest& request,
                                         const std::shared_ptr<const ServedModel>& model, uint64_t drawn_seed);

// Token ids of a chat or a text. Shared with Tokenize; field names the offender in errors.
absl::StatusOr<std::vector<int32_t>> EncodeChat(const v1::Chat& chat, const ServedModel& model);
absl::StatusOr<std::vector<int32_t>> EncodeText(const std::string& text, absl::string_view field,
                                                const ServedModel& model);

// Ids that a client sent: all exist, and outside parity none is the mask, which would be generated.
absl::Status CheckIds(const google::protobuf::RepeatedField<int32_t>& ids, absl::string_view field, bool parity,
                      const ServedModel& model);

absl::Status CheckPriority(v1::Priority priority);

// NOT_FOUND unless `name` is empty or the model's.
absl::Status CheckModelName(const std::string& name, const ServedModel& model);

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_REQUEST_H_
