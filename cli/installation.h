// What lies beside this program: its sister programs and the embedded model.
#ifndef UNMASK_CLI_INSTALLATION_H_
#define UNMASK_CLI_INSTALLATION_H_

#include <string>

#include "absl/status/statusor.h"

namespace unmask {

// This program's own file.
std::string OwnProgram();

// The path of `name` ("unmask-worker", "unmask" itself): what the environment variable UNMASK_WORKER_BINARY (in
// general, `name` in capitals
// + _BINARY) says, else the one in our own folder. NOT_FOUND where nothing executable is there.
absl::StatusOr<std::string> SisterProgram(const std::string& name);

// The checkpoint folder used without --model: models/demo above this program (a build), or ../share/unmask/models/demo
// (an installation). NOT_FOUND, naming --model, where neither exists.
absl::StatusOr<std::string> EmbeddedModel();

}  // namespace unmask

#endif  // UNMASK_CLI_INSTALLATION_H_
