// The subcommands of `unmask`. Each function adds one to `app`; when the user chose it, it runs in CLI11's callback and
// leaves the process's exit code in *exit_code (docs: the table of exit codes in base/exit_codes.h).
#ifndef UNMASK_CLI_COMMANDS_H_
#define UNMASK_CLI_COMMANDS_H_

#include <CLI/CLI.hpp>

namespace unmask {

// Run the service.
void AddServe(CLI::App* app, int* exit_code);
void AddReplica(CLI::App* app, int* exit_code);

// Use it.
void AddGenerate(CLI::App* app, int* exit_code);
void AddChat(CLI::App* app, int* exit_code);
void AddInfill(CLI::App* app, int* exit_code);
void AddScore(CLI::App* app, int* exit_code);
void AddBatch(CLI::App* app, int* exit_code);
void AddTokenize(CLI::App* app, int* exit_code);
void AddDetokenize(CLI::App* app, int* exit_code);
void AddStatus(CLI::App* app, int* exit_code);
void AddModel(CLI::App* app, int* exit_code);

// Span hosts without ssh.
void AddNode(CLI::App* app, int* exit_code);
void AddLaunch(CLI::App* app, int* exit_code);

// Gives every option of `app`'s subcommands, and of theirs, its environment variable: --gen-length is
// UNMASK_GEN_LENGTH.
void BindEnvironment(CLI::App* app);

}  // namespace unmask

#endif  // UNMASK_CLI_COMMANDS_H_
