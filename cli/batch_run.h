// unmask batch run: a file of requests to a file of results, once, however often it is stopped on the way.
#ifndef UNMASK_CLI_BATCH_RUN_H_
#define UNMASK_CLI_BATCH_RUN_H_

#include <string>

#include "cli/generation_flags.h"
#include "cli/session.h"

namespace unmask {

struct BatchRunFlags {
  std::string in;
  std::string out;
  std::string name;  // Of the job; empty: a function of the command and the host.
  bool skip_existing = false;
  ConnectionFlags connection;
  GenerationFlags generation;
};

// The exit code.
int RunBatch(BatchRunFlags flags);

}  // namespace unmask

#endif  // UNMASK_CLI_BATCH_RUN_H_
