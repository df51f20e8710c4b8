// JSON that people write, to messages. Strict: what a message lacks is an error, not ignored, and each error says
// where.
//
// Names are the proto's own (gen_length). null stands for a field that is not there. 64-bit numbers may be strings, as
// proto3's JSON prints them; an enum is its value's name, with or without the enum's, in any case, with - or _
// (low-confidence).
#ifndef UNMASK_COORDINATOR_JSON_MESSAGE_H_
#define UNMASK_COORDINATOR_JSON_MESSAGE_H_

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"

namespace unmask {

// INVALID_ARGUMENT with reason MALFORMED_REQUEST, and line and column in its message: not JSON, a number that is too
// large, a key twice in an object, nested deeper than 32 levels. Messages hold nothing of the text.
absl::StatusOr<nlohmann::json> ParseJson(absl::string_view text);

// Sets the fields that `object` has. path: where it stands in the document, "" for all of it; errors blame the field
// "PATH.NAME". INVALID_ARGUMENT: no object, an unknown name, a wrong type, a number out of range, two of a oneof.
absl::Status ReadMessage(const nlohmann::json& object, absl::string_view path, google::protobuf::Message* message);

// One field, from its value. path: its own. OK and nothing set for null.
absl::Status ReadField(const nlohmann::json& value, absl::string_view path,
                       const google::protobuf::FieldDescriptor* field, google::protobuf::Message* message);

// For other readers: "PATH.NAME", with a name from the document made short and printable, and the two errors that they
// share.
std::string JsonPath(absl::string_view path, absl::string_view name);
absl::Status WrongType(absl::string_view path, absl::string_view wanted, const nlohmann::json& value);
absl::Status UnknownField(absl::string_view path);

// proto3 JSON with the proto's own names and all scalars printed.
nlohmann::ordered_json MessageJson(const google::protobuf::Message& message);

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_JSON_MESSAGE_H_
