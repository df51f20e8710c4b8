// The `unmask` command.
#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/exit_codes.h"
#include "base/version.h"
#include "cli/commands.h"

namespace {

constexpr char kFooter[] =
    "Client commands talk to --server HOST:PORT, or to a service of their own with the embedded model.\n"
    "Every --some-flag is also the environment variable UNMASK_SOME_FLAG.\n"
    "Exit codes: 0 done; 64 usage; 65 bad data; 69 unavailable; 70 other failures; 78 configuration.";

struct Entry {
  void (*add)(CLI::App* app, int* exit_code);
  const char* group;  // In the list that --help prints.
};

constexpr char kRun[] = "Run the service";
constexpr char kUse[] = "Use it";
constexpr char kAsk[] = "Ask about it";
constexpr char kSpan[] = "Span hosts without ssh";
constexpr Entry kCommands[] = {
    {unmask::AddServe, kRun},      {unmask::AddReplica, kRun}, {unmask::AddGenerate, kUse}, {unmask::AddChat, kUse},
    {unmask::AddInfill, kUse},     {unmask::AddScore, kUse},   {unmask::AddBatch, kUse},    {unmask::AddTokenize, kUse},
    {unmask::AddDetokenize, kUse}, {unmask::AddStatus, kAsk},  {unmask::AddModel, kAsk},    {unmask::AddNode, kSpan},
    {unmask::AddLaunch, kSpan},
};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Serve masked diffusion language models, and use them.", "unmask");
  int exit_code = unmask::kExitOk;
  app.set_version_flag("--version", absl::StrCat("unmask ", unmask::kCommit));
  app.footer(kFooter);
  for (const Entry& entry : kCommands) {
    entry.add(&app, &exit_code);
    app.get_subcommands({}).back()->group(entry.group);
  }
  unmask::BindEnvironment(&app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // --help and --version arrive here too; everything else is usage.
    return app.exit(error) == 0 ? unmask::kExitOk : unmask::kExitUsage;
  }
  if (app.get_subcommands().empty()) {
    fputs(app.help().c_str(), stderr);
    return unmask::kExitUsage;
  }
  return exit_code;
}
