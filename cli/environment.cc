#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_replace.h"
#include "cli/commands.h"

namespace unmask {
namespace {

void BindOptions(CLI::App* command) {
  for (CLI::Option* option : command->get_options()) {
    if (option->get_lnames().empty()) continue;  // Positional arguments have no name to go by.
    const std::string& name = option->get_lnames().front();
    if (name == "help" || name == "version") continue;
    option->envname("UNMASK_" + absl::AsciiStrToUpper(absl::StrReplaceAll(name, {{"-", "_"}})));
  }
}

}  // namespace

void BindEnvironment(CLI::App* app) {
  for (CLI::App* command : app->get_subcommands([](CLI::App*) { return true; })) {
    // Only once the command is chosen: CLI11 reads and checks the environment of all, so that a variable meant for one
    // command (UNMASK_STEPS=many) would make every other one fail.
    command->preparse_callback([command](size_t) { BindOptions(command); });
    BindEnvironment(command);
  }
}

}  // namespace unmask
