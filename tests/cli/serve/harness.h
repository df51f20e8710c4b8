// Runs build/bin/unmask with a fake coordinator and fake workers, in a folder of the test's own.
#ifndef UNMASK_TESTS_CLI_SERVE_HARNESS_H_
#define UNMASK_TESTS_CLI_SERVE_HARNESS_H_

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cluster/process.h"
#include "tests/cluster/supervisor_harness.h"

namespace unmask {

class ServeTest : public TemporaryFolderTest {
 protected:
  ServeTest() {
    setenv("FAKE_DIR", folder_.c_str(), 1);
    setenv("UNMASK_COORDINATOR_BINARY", FAKE_COORDINATOR, 1);
    setenv("UNMASK_WORKER_BINARY",
           (std::string(getenv("UNMASK_SOURCE_DIR")) + "/tests/cli/serve/fake_worker.sh").c_str(), 1);
    Write("story", "");
    std::filesystem::create_directory(Path("model"));
    Write("model/config.json", R"({"n_heads": 4})");
    Write("model/model.safetensors", "");
  }

  ~ServeTest() override {
    for (const pid_t pid : started_) {
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
    }
    EXPECT_TRUE(NothingIsLeft()) << "processes or files are left behind";
  }

  void Write(const std::string& name, const std::string& content) const { std::ofstream(Path(name)) << content; }
  void Remove(const std::string& name) const { std::filesystem::remove(Path(name)); }
  std::string Story() const { return FileContent(Path("story")); }
  std::string Errors() const { return FileContent(Path("stderr")); }
  bool Tells(const std::string& what) const { return Story().find(what) != std::string::npos; }
  bool EventuallyTells(const std::string& what) const {
    return Eventually([&] { return Tells(what); });
  }

  // Starts `unmask` with `arguments`; its output goes to the file "stderr".
  pid_t Unmask(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), std::string(getenv("UNMASK_BIN_DIR")) + "/unmask");
    const int output = open(Path("stderr").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const pid_t pid = StartProcess({arguments, {}}, output).value();
    close(output);
    started_.push_back(pid);
    return pid;
  }

  // `unmask serve` on free ports with a ready file; `more` are further flags.
  pid_t Serve(std::vector<std::string> more = {}, const std::string& ready_file = "ready.json") {
    std::vector<std::string> arguments = {"serve", "--model", Path("model"), "--ready-file", Path(ready_file)};
    for (const char* port : {"--listen", "--fleet-listen", "--admin-listen"}) {
      arguments.insert(arguments.end(), {port, "127.0.0.1:0"});
    }
    arguments.insert(arguments.end(), more.begin(), more.end());
    return Unmask(std::move(arguments));
  }

  bool IsReady(const std::string& ready_file = "ready.json") const {
    return Eventually([&] { return std::filesystem::exists(Path(ready_file)); });
  }

  // The exit code, or -1 if `pid` still runs after `limit`.
  int ExitCode(pid_t pid, absl::Duration limit = absl::Seconds(15)) {
    int wait_status = 0;
    if (!Eventually([&] { return waitpid(pid, &wait_status, WNOHANG) == pid; }, limit)) return -1;
    started_.erase(std::find(started_.begin(), started_.end(), pid));
    return ExitCodeFromWait(wait_status);
  }

  // Every process that a service started by this test runs under.
  std::vector<pid_t> Processes() const { return FindMarked(UserFolder()); }

  // The one among them whose command line holds `text`; 0 if there is none.
  pid_t ProcessWith(const std::string& text) const {
    for (const pid_t pid : Processes()) {
      if (FileContent("/proc/" + std::to_string(pid) + "/cmdline").find(text) != std::string::npos) return pid;
    }
    return 0;
  }

  bool NothingIsLeft() const {
    return Eventually([&] { return Processes().empty() && RuntimeFolders().empty(); }, absl::Seconds(5));
  }

  std::vector<std::string> RuntimeFolders() const {
    std::vector<std::string> folders;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(UserFolder(), ignored))
      folders.push_back(entry.path());
    return folders;
  }

 private:
  std::string UserFolder() const { return Path("unmask-" + std::to_string(geteuid())); }

  std::vector<pid_t> started_;
};

}  // namespace unmask

#endif  // UNMASK_TESTS_CLI_SERVE_HARNESS_H_
