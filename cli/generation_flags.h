// The options of a generation as flags, declared once for every command that takes them (and for /set in a chat).
#ifndef UNMASK_CLI_GENERATION_FLAGS_H_
#define UNMASK_CLI_GENERATION_FLAGS_H_

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cli/client.h"
#include "unmask/v1/inference.pb.h"

namespace unmask {

// "REMASKING_LOW_CONFIDENCE" is "low-confidence" on the command line.
std::string EnumFlagName(const google::protobuf::EnumValueDescriptor& value);

// What the user asked for, and nothing else: the service knows the defaults.
struct GenerationFlags {
  v1::GenerationOptions options;
  v1::Priority priority = v1::PRIORITY_UNSPECIFIED;
  double timeout_s = 0;  // 0: none.

  // `with_gen_length`: false where the canvas is given (infill).
  void Register(CLI::App* app, bool with_gen_length = true);
  // Without priority and timeout.
  void RegisterOptions(CLI::App* app, bool with_gen_length = true);

  // One assignment in the words of the flags: name "steps" or "gen_length", value "32"; "default" unsets it. On an
  // error nothing changes.
  absl::Status Set(absl::string_view name, absl::string_view value);

  void ApplyTimeout(Client* client) const;

  // Lines "name value" of all options, "default" where unset.
  std::vector<std::string> Describe() const;
};

}  // namespace unmask

#endif  // UNMASK_CLI_GENERATION_FLAGS_H_
