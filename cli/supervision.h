// What commands that keep other processes running (serve, replica) have in common.
#ifndef UNMASK_CLI_SUPERVISION_H_
#define UNMASK_CLI_SUPERVISION_H_

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "cluster/event_loop.h"
#include "cluster/runtime_directory.h"

namespace unmask {

// Runs `body` with a place for the children's files and a loop for their supervisors; the exit code is its own, or says
// why neither could be made. Call before any thread starts.
int RunSupervised(const std::function<int(EventLoop*, const RuntimeDirectory*)>& body);

// --log-format, of the command and of all that it starts.
void AddLogFormat(CLI::App* command, std::string* format);

}  // namespace unmask

#endif  // UNMASK_CLI_SUPERVISION_H_
