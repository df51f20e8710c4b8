// unmask-worker as a process: what it ends with, what it says, and that no rank outlives its launcher.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "base/exit_codes.h"
#include "tests/support/golden.h"
#include "tests/support/patience.h"
#include "tests/worker/made_checkpoint.h"

namespace unmask {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using ::testing::HasSubstr;
using testing::RaggedConfig;
using testing::SourcePath;
using testing::TempFolder;

std::string Worker() { return std::string(std::getenv("UNMASK_BIN_DIR")) + "/unmask-worker"; }
std::string TinyMha() { return SourcePath("tests/goldens/models/tiny-mha"); }

// A worker of `ranks` ranks (0: without mpirun), told of a coordinator that is not there.
class Process {
 public:
  Process(int ranks, std::vector<std::string> flags) {
    std::vector<std::string> argv = {Worker(), "--coordinator", "127.0.0.1:1", "--threads", "1"};
    if (ranks > 0) argv.insert(argv.begin(), {SourcePath("scripts/mpirun.sh"), std::to_string(ranks)});
    argv.insert(argv.end(), flags.begin(), flags.end());
    std::vector<char*> pointers;
    for (std::string& argument : argv) pointers.push_back(argument.data());
    pointers.push_back(nullptr);
    const std::string out = folder_.File("out");
    pid_ = fork();
    if (pid_ == 0) {
      if (freopen(out.c_str(), "w", stdout) == nullptr || dup2(1, 2) < 0) _exit(127);
      execv(pointers[0], pointers.data());
      _exit(127);
    }
  }
  ~Process() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
  }

  pid_t pid() const { return pid_; }

  // The exit code; -1 where it takes too long, -2 after a signal.
  int Wait() {
    int status = 0;
    for (const auto deadline = steady_clock::now() + seconds(30) * Patience(); waitpid(pid_, &status, WNOHANG) == 0;) {
      if (steady_clock::now() > deadline) return -1;
      std::this_thread::sleep_for(milliseconds(10));
    }
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -2;
  }

  std::string Output() const {
    std::ostringstream text;
    text << std::ifstream(folder_.File("out")).rdbuf();
    return text.str();
  }

  bool WaitForOutput(const std::string& text) const {
    const auto deadline = steady_clock::now() + seconds(20) * Patience();
    while (Output().find(text) == std::string::npos) {
      if (steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(milliseconds(20));
    }
    return true;
  }

 private:
  TempFolder folder_;
  pid_t pid_ = 0;
};

int CountOf(const std::string& text, const std::string& part) {
  int count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

// Processes whose command line holds `marker`.
std::vector<pid_t> Holding(const std::string& marker) {
  std::vector<pid_t> pids;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    std::ostringstream line;
    line << std::ifstream(entry.path() / "cmdline").rdbuf();
    if (line.str().find(marker) != std::string::npos) pids.push_back(std::stoi(name));
  }
  return pids;
}

struct Failure {
  const char* name;
  int ranks;
  std::vector<std::string> flags;
  int code;
  const char* message;
};

class FailureTest : public ::testing::TestWithParam<Failure> {};

TEST_P(FailureTest, EndsEveryRankWithItsCodeAndIsSaidOnce) {
  Process process(GetParam().ranks, GetParam().flags);
  const auto begin = steady_clock::now();
  EXPECT_EQ(process.Wait(), GetParam().code) << process.Output();
  EXPECT_LT(steady_clock::now() - begin, seconds(15) * Patience());
  EXPECT_EQ(CountOf(process.Output(), GetParam().message), 1) << process.Output();
}

INSTANTIATE_TEST_SUITE_P(
    All, FailureTest,
    ::testing::Values(
        Failure{"NoModel", 0, {"--model", "/nowhere"}, kExitConfig, "model folder /nowhere does not exist"},
        Failure{"NoModelTwice", 2, {"--model", "/nowhere"}, kExitConfig, "model folder /nowhere does not exist"},
        Failure{"UnknownDtype", 2, {"--model", TinyMha(), "--dtype", "fp8"}, kExitConfig, "dtype \"fp8\" is none of"},
        Failure{"UnknownDevice", 2, {"--model", TinyMha(), "--device", "abacus"}, kExitConfig, "device \"abacus\""},
        Failure{"TooManyRanks", 5, {"--model", TinyMha()}, kExitConfig, "5 ranks are more than the model's 4 heads"},
        Failure{
            "TooLittleKv", 2, {"--model", TinyMha(), "--kv-memory", "1KiB"}, kExitConfig, "kv-memory of 1024 bytes"},
        Failure{"TooFewRows", 0, {"--model", TinyMha(), "--max-rows", "64"}, kExitConfig, "max-rows 64 is less than"},
        Failure{"NoDigest",
                2,
                {"--model", TinyMha(), "--weights-digest", "CAFE"},
                kExitConfig,
                "weights-digest \"CAFE\" is not 32 digits"},
        Failure{"TlsWithoutKey", 2, {"--model", TinyMha(), "--tls-cert", "a.pem"}, kExitConfig, "a.pem needs tls-key"},
        Failure{
            "TlsFile", 0, {"--model", TinyMha(), "--tls-ca", "/no/ca.pem"}, kExitConfig, "tls-ca: /no/ca.pem cannot"},
        Failure{"Usage", 2, {"--model", TinyMha(), "--colour", "red"}, kExitUsage, "--colour"},
        Failure{"ThreadsAreANumber", 0, {"--model", TinyMha(), "--threads", "many"}, kExitUsage, "--threads"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(WorkerProcessTest, ANotFiniteWeightOfOneRankEndsBothAsBadData) {
  const TempFolder folder;
  auto tensors = testing::RandomTensors(RaggedConfig());
  tensors["model.transformer.blocks.1.ff_proj.weight"].values.back() = NAN;  // The last rank's column.
  testing::WriteCheckpoint(folder, RaggedConfig(), tensors);
  Process process(2, {"--model", folder.path()});
  EXPECT_EQ(process.Wait(), kExitData) << process.Output();
  EXPECT_EQ(CountOf(process.Output(), "blocks.1.ff_proj.weight holds NaN or infinity in row 210"), 1)
      << process.Output();
}

TEST(WorkerProcessTest, ATruncatedCheckpointEndsAsBadData) {
  const TempFolder folder;
  testing::WriteCheckpoint(folder, RaggedConfig(), testing::RandomTensors(RaggedConfig()));
  std::filesystem::resize_file(folder.File("model.safetensors"), 100'000);
  Process process(2, {"--model", folder.path()});
  EXPECT_EQ(process.Wait(), kExitData) << process.Output();
  EXPECT_EQ(CountOf(process.Output(), "model.safetensors: model.transformer."), 1) << process.Output();
}

TEST(WorkerProcessTest, SigtermWithoutACoordinatorEndsInOrder) {
  Process process(0, {"--model", TinyMha()});
  ASSERT_TRUE(process.WaitForOutput("ready: ")) << process.Output();
  kill(process.pid(), SIGTERM);
  EXPECT_EQ(process.Wait(), kExitOk) << process.Output();
}

TEST(WorkerProcessTest, SigtermToRankZeroEndsAllRanksInOrder) {
  const TempFolder marker;
  Process process(3, {"--model", TinyMha(), "--name", marker.path()});
  ASSERT_TRUE(process.WaitForOutput("ready: ")) << process.Output();
  for (const pid_t pid : Holding(marker.path())) {
    if (pid != process.pid()) kill(pid, SIGTERM);  // The ranks, not mpirun.
  }
  EXPECT_EQ(process.Wait(), kExitOk) << process.Output();
}

TEST(WorkerProcessTest, RanksDieWithTheirLauncher) {
  const TempFolder marker;
  Process process(2, {"--model", TinyMha(), "--name", marker.path()});
  ASSERT_TRUE(process.WaitForOutput("ready: ")) << process.Output();
  ASSERT_EQ(Holding(marker.path()).size(), 3u);  // mpirun and two ranks.
  kill(process.pid(), SIGKILL);
  const auto begin = steady_clock::now();
  while (Holding(marker.path()).size() > 1 && steady_clock::now() - begin < seconds(5) * Patience()) {
    std::this_thread::sleep_for(milliseconds(10));
  }
  EXPECT_LT(steady_clock::now() - begin, seconds(2) * Patience());
}

TEST(WorkerProcessTest, FlagsAreEnvironmentVariablesToo) {
  setenv("UNMASK_DTYPE", "fp7", 1);
  Process process(0, {"--model", TinyMha()});
  unsetenv("UNMASK_DTYPE");
  EXPECT_EQ(process.Wait(), kExitConfig);
  EXPECT_THAT(process.Output(), HasSubstr("dtype \"fp7\""));
}

TEST(WorkerProcessTest, HelpAndVersionNeedNothingElse) {
  Process help(0, {"--help"});
  EXPECT_EQ(help.Wait(), kExitOk);
  EXPECT_THAT(help.Output(), HasSubstr("--kv-memory"));
  Process version(0, {"--version"});
  EXPECT_EQ(version.Wait(), kExitOk);
  EXPECT_THAT(version.Output(), HasSubstr("unmask-worker "));
}

}  // namespace
}  // namespace unmask
