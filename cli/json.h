// Proto3 JSON as the command prints it: the proto's own field names, all scalars, one line.
#ifndef UNMASK_CLI_JSON_H_
#define UNMASK_CLI_JSON_H_

#include <google/protobuf/message.h>

#include <string>

namespace unmask {

std::string ToJson(const google::protobuf::Message& message);

}  // namespace unmask

#endif  // UNMASK_CLI_JSON_H_
