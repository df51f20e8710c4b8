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

// One frame after the other: redrawn in place on a terminal, else printed below each other.
class Frames {
 public:
  explicit Frames(bool json)
      : depth_(ColorDepthFromEnvironment()),
        redraw_(!json && isatty(STDOUT_FILENO) == 1 && depth_ != ColorDepth::kPlain),
        screen_(STDOUT_FILENO, depth_) {}

  absl::Status Show(const std::string& text) {
    if (!redraw_) return PrintOut(absl::StrCat(text, "\n"));
    const ScreenSize size = screen_.size();
    std::vector<Line> lines;
    for (const absl::string_view line : absl::StrSplit(text, '\n')) {
      if (static_cast<int>(lines.size()) + 1 >= size.height) break;
      lines.push_back(CutLine(TextCells(line, Style{}), size.width));
    }
    screen_.Draw(lines);
    return absl::OkStatus();
  }

 private:
  const ColorDepth depth_;
  const bool redraw_;
  Screen screen_;
};

// Every second until Ctrl-C, also while the service is away for a moment.
absl::Status Watch(const StatusFlags& flags, Session* session) {
  using Clock = std::chrono::steady_clock;
  Frames frames(flags.json);
  FleetBefore before;
  Clock::time_point asked;
  while (true) {
    const absl::StatusOr<v1::GetFleetResponse> fleet = session->client().GetFleet();
    if (session->interrupt().fired()) return absl::CancelledError("interrupted");
    if (fleet.ok()) {
      const auto now = Clock::now();
      before.seconds = std::chrono::duration<double>(now - asked).count();
      UNMASK_RETURN_IF_ERROR(frames.Show(flags.json ? ToJson(*fleet) : FormatFleet(*fleet, flags.shards, &before)));
      before.fleet = *fleet;
      asked = now;
    } else if (asked != Clock::time_point() && absl::IsUnavailable(fleet.status())) {
      if (!flags.json) UNMASK_RETURN_IF_ERROR(frames.Show(absl::StrCat(fleet.status().message(), "\n")));
    } else {
      return fleet.status();
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
  command->add_flag("--watch", flags->watch, "Every second, with steps and tokens a second, until Ctrl-C");
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
