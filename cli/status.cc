// unmask status and model: what is served, and by whom.
#include "base/status.h"

#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/exit_codes.h"
#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/fleet_table.h"
#include "cli/json.h"
#include "cli/output.h"
#include "cli/screen.h"
#include "cli/session.h"

namespace unmask {
namespace {

struct StatusFlags {
  bool json = false;
  bool shards = false;
  bool watch = false;
  ConnectionFlags connection;
};

struct ModelFlags {
  bool json = false;
  ConnectionFlags connection;
};

// Redraws in place on a terminal, else prints one table after the other; until Ctrl-C.
absl::Status Watch(const StatusFlags& flags, Session* session) {
  const ColorDepth depth = ColorDepthFromEnvironment();
  const bool redraw = !flags.json && isatty(STDOUT_FILENO) && depth != ColorDepth::kPlain;
  Screen screen(STDOUT_FILENO, depth);
  while (true) {
    UNMASK_ASSIGN_OR_RETURN(const v1::GetFleetResponse fleet, session->client().GetFleet());
    if (redraw) {
      const ScreenSize size = screen.size();
      std::vector<Line> lines;
      for (const absl::string_view line : absl::StrSplit(FormatFleet(fleet, flags.shards), '\n')) {
        if (static_cast<int>(lines.size()) + 1 < size.height)
          lines.push_back(CutLine(TextCells(line, Style{}), size.width));
      }
      screen.Draw(lines);
    } else {
      UNMASK_RETURN_IF_ERROR(PrintOut(flags.json ? absl::StrCat(ToJson(fleet), "\n")
                                                 : absl::StrCat(FormatFleet(fleet, flags.shards), "\n")));
    }
    for (int i = 0; i < 20; ++i) {
      if (session->interrupt().fired()) return absl::CancelledError("interrupted");
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  }
}

absl::Status Status(const StatusFlags& flags, Session* session) {
  if (flags.watch) return Watch(flags, session);
  UNMASK_ASSIGN_OR_RETURN(const v1::GetFleetResponse fleet, session->client().GetFleet());
  return PrintOut(flags.json ? absl::StrCat(ToJson(fleet), "\n") : FormatFleet(fleet, flags.shards));
}

absl::Status Model(const ModelFlags& flags, Session* session) {
  UNMASK_ASSIGN_OR_RETURN(const v1::Model model, session->Model());
  return PrintOut(flags.json ? absl::StrCat(ToJson(model), "\n") : FormatModel(model));
}

template <typename Flags>
int Run(const Flags& flags, absl::Status (*command)(const Flags&, Session*)) {
  const auto session = Session::Open(flags.connection);
  if (!session.ok()) return ReportError(session.status());
  const absl::Status status = command(flags, session->get());
  return status.ok() ? kExitOk : (*session)->Fail(status);
}

}  // namespace

void AddStatus(CLI::App* app, int* exit_code) {
  const auto flags = std::make_shared<StatusFlags>();
  CLI::App* command = app->add_subcommand("status", "Show the replicas behind a service");
  command->add_flag("--json", flags->json, "Print the reply as JSON");
  command->add_flag("--shards", flags->shards, "Also what each rank holds of the model");
  command->add_flag("--watch", flags->watch, "Every second, until Ctrl-C");
  flags->connection.Register(command);
  command->callback([flags, exit_code] { *exit_code = Run(*flags, Status); });
}

void AddModel(CLI::App* app, int* exit_code) {
  const auto flags = std::make_shared<ModelFlags>();
  CLI::App* command = app->add_subcommand("model", "Describe the model that is served");
  command->add_flag("--json", flags->json, "Print it as JSON");
  flags->connection.Register(command);
  command->callback([flags, exit_code] { *exit_code = Run(*flags, Model); });
}

}  // namespace unmask
