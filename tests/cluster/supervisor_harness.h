// Supervising small shell scripts, in a temporary folder of the test's own.
#ifndef UNMASK_TESTS_CLUSTER_SUPERVISOR_HARNESS_H_
#define UNMASK_TESTS_CLUSTER_SUPERVISOR_HARNESS_H_

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cluster/event_loop.h"
#include "cluster/marked_processes.h"
#include "cluster/runtime_directory.h"
#include "cluster/supervisor.h"
#include "cluster/worker_command.h"
#include "tests/support/patience.h"

namespace unmask {

// True as soon as `condition` is; false when it still is not after `limit`.
inline bool Eventually(const std::function<bool()>& condition, absl::Duration limit = absl::Seconds(10)) {
  const absl::Time deadline = absl::Now() + limit * Patience();
  while (!condition()) {
    if (absl::Now() > deadline) return false;
    absl::SleepFor(absl::Milliseconds(5));
  }
  return true;
}

inline std::string FileContent(const std::string& path) {
  std::ifstream file(path);
  std::stringstream content;
  content << file.rdbuf();
  return content.str();
}

inline WorkerOptions Ranks(const std::string& program, int ranks, const std::string& hosts = "") {
  WorkerOptions options;
  options.program = program;
  options.tensor_parallel = ranks;
  options.hosts = hosts;
  return options;
}

// A folder that TMPDIR names while the test runs: what other services of this user left or use is not touched.
class TemporaryFolderTest : public testing::Test {
 protected:
  TemporaryFolderTest() {
    const char* before = getenv("TMPDIR");
    if (before != nullptr) before_ = before;
    folder_ = "/tmp/umt-XXXXXX";
    if (mkdtemp(folder_.data()) == nullptr) abort();
    setenv("TMPDIR", folder_.c_str(), 1);
  }
  ~TemporaryFolderTest() override {
    if (before_.has_value()) {
      setenv("TMPDIR", before_->c_str(), 1);
    } else {
      unsetenv("TMPDIR");
    }
    std::filesystem::remove_all(folder_);
  }
  std::string Path(const std::string& name) const { return folder_ + "/" + name; }

  std::string folder_;

 private:
  std::optional<std::string> before_;
};

// One script under supervision; short waits between its lives.
struct SupervisedScript {
  explicit SupervisedScript(const std::string& script, std::optional<LifeSigns> life_signs = std::nullopt)
      : runtime(RuntimeDirectory::Create().value()),
        loop(EventLoop::Create().value()),
        supervisor(loop.get(), runtime.get(),
                   {.name = "script",
                    .command =
                        [this, script](const Incarnation& life) {
                          lives.push_back(life);
                          return Command{{"/bin/sh", "-c", script},
                                         {{"LIFE", std::to_string(life.restarts)}, {"LIFE_FILE", life.life_file}}};
                        },
                    .on_line = [this](absl::string_view line) { lines.emplace_back(line); },
                    .on_ended =
                        [this](const Ending& end) {
                          ending = end;
                          loop->Quit();
                        },
                    .backoff = {.initial = absl::Milliseconds(20), .maximum = absl::Milliseconds(40)},
                    .life_signs = life_signs}) {}

  // Until supervision ends; false if that takes longer than `limit`.
  bool RunToEnd(absl::Duration limit = absl::Seconds(20)) {
    loop->After(limit * Patience(), [this] { loop->Quit(); });
    loop->Run();
    return ending.has_value();
  }

  // Calls `action` in the loop's thread once `condition` holds.
  void When(std::function<bool()> condition, std::function<void()> action) {
    loop->After(absl::Milliseconds(10),
                [this, condition, action] { condition() ? action() : When(condition, action); });
  }

  std::unique_ptr<RuntimeDirectory> runtime;
  std::unique_ptr<EventLoop> loop;
  std::vector<Incarnation> lives;
  std::vector<std::string> lines;
  std::optional<Ending> ending;
  Supervisor supervisor;
};

}  // namespace unmask

#endif  // UNMASK_TESTS_CLUSTER_SUPERVISOR_HARNESS_H_
