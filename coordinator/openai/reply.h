// What comes back for a Completion, as OpenAI's objects. Beside OpenAI's own fields each has "diffusion": the
// service's reply or event in proto3 JSON, without what the object says elsewhere.
#ifndef UNMASK_COORDINATOR_OPENAI_REPLY_H_
#define UNMASK_COORDINATOR_OPENAI_REPLY_H_

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "coordinator/openai/completion.h"
#include "unmask/v1/inference.pb.h"
#include "unmask/v1/model.pb.h"

namespace unmask::openai {

// What every object of one reply repeats.
struct ReplyNames {
  std::string id;       // Of the request; "cmpl-" or "chatcmpl-" comes before it.
  int64_t created = 0;  // Unix time, seconds.
  std::string model;
};

// The whole reply. It depends on its arguments alone: a caller that needs the same bytes again clears response.timing.
nlohmann::ordered_json CompletionJson(const Completion& asked, const ReplyNames& names,
                                      const v1::GenerateResponse& response);

// The chunks that an event becomes, in order; none for most events where blocks suffice. Text of the chunks adds up to
// the whole reply's.
std::vector<nlohmann::ordered_json> ChunkJson(const Completion& asked, const ReplyNames& names,
                                              const v1::GenerateStreamResponse& event);

// Entry of /v1/models.
nlohmann::ordered_json ModelJson(const v1::Model& model, int64_t created);

}  // namespace unmask::openai

#endif  // UNMASK_COORDINATOR_OPENAI_REPLY_H_
