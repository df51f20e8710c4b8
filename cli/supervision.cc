#include "cli/supervision.h"

#include <memory>

#include "absl/status/statusor.h"
#include "base/exit_codes.h"
#include "base/log.h"

namespace unmask {

int RunSupervised(const std::function<int(EventLoop*, const RuntimeDirectory*)>& body) {
  // Directory first: its janitor must hold nothing of the loop.
  const absl::StatusOr<std::unique_ptr<RuntimeDirectory>> runtime = RuntimeDirectory::Create();
  if (!runtime.ok()) {
    LogError(runtime.status().message());
    return kExitConfig;
  }
  const absl::StatusOr<std::unique_ptr<EventLoop>> loop = EventLoop::Create();
  if (!loop.ok()) {
    LogError(loop.status().message());
    return kExitSoftware;
  }
  return body(loop->get(), runtime->get());
}

void AddLogFormat(CLI::App* command, std::string* format) {
  command->add_option("--log-format", *format, "lines of text, or one JSON object a line")
      ->group("Running")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
}

}  // namespace unmask
