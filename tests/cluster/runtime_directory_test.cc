#include "cluster/runtime_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/cluster/supervisor_harness.h"

namespace unmask {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

// A supervisor as a process of its own, with a script that leaves a straggler in another session and files.
class RuntimeDirectoryTest : public TemporaryFolderTest {
 protected:
  void StartSupervisor() {
    supervisor_ = fork();
    if (supervisor_ == 0) {
      SupervisedScript script("setsid sleep 1000 & echo up; sleep 1000");
      std::ofstream(Path("where")) << script.runtime->path() << ' ' << script.runtime->shared_memory() << std::endl;
      std::ofstream(script.runtime->shared_memory() + "/segment") << "x";
      script.supervisor.Start();
      script.RunToEnd(absl::Seconds(60));
      _exit(0);
    }
    ASSERT_TRUE(Eventually([this] { return FileContent(Path("where")).find('\n') != std::string::npos; }));
    std::ifstream(Path("where")) >> runtime_ >> shared_memory_;
    ASSERT_TRUE(Eventually([this] { return FindMarked(runtime_).size() == 3; }));
    ASSERT_TRUE(Eventually([this] { return std::filesystem::exists(shared_memory_ + "/segment"); }));
  }

  void KillSupervisor() {
    kill(supervisor_, SIGKILL);
    waitpid(supervisor_, nullptr, 0);
  }

  bool NothingIsLeft() const {
    return FindMarked(runtime_).empty() && !std::filesystem::exists(runtime_) &&
           !std::filesystem::exists(shared_memory_);
  }

  // The janitor: a child of the supervisor by that name.
  pid_t Janitor() const {
    const std::string children =
        FileContent("/proc/" + std::to_string(supervisor_) + "/task/" + std::to_string(supervisor_) + "/children");
    std::istringstream list(children);
    for (pid_t pid; list >> pid;) {
      if (FileContent("/proc/" + std::to_string(pid) + "/comm") == "unmask-janitor\n") return pid;
    }
    return 0;
  }

  pid_t supervisor_ = 0;
  std::string runtime_;
  std::string shared_memory_;
};

TEST_F(RuntimeDirectoryTest, NothingOutlivesASupervisorThatIsKilled) {
  StartSupervisor();
  KillSupervisor();
  EXPECT_TRUE(Eventually([this] { return NothingIsLeft(); }, absl::Seconds(5)));
}

TEST_F(RuntimeDirectoryTest, WhatIsLeftWhenTheJanitorDiesTooGoesAtTheNextStart) {
  StartSupervisor();
  ASSERT_GT(Janitor(), 0);
  kill(Janitor(), SIGKILL);
  KillSupervisor();
  absl::SleepFor(absl::Milliseconds(300));
  ASSERT_THAT(FindMarked(runtime_), Not(IsEmpty())) << "stragglers should show that nobody cleared up yet";
  ASSERT_TRUE(std::filesystem::exists(shared_memory_));
  const auto next = RuntimeDirectory::Create().value();
  EXPECT_TRUE(NothingIsLeft());
}

TEST_F(RuntimeDirectoryTest, ALivingNeighbourIsLeftAlone) {
  StartSupervisor();
  { const auto next = RuntimeDirectory::Create().value(); }
  EXPECT_THAT(FindMarked(runtime_), SizeIs(3));
  EXPECT_TRUE(std::filesystem::exists(shared_memory_ + "/segment"));
  KillSupervisor();
  EXPECT_TRUE(Eventually([this] { return NothingIsLeft(); }, absl::Seconds(5)));
}

TEST_F(RuntimeDirectoryTest, EndsWithItsProcessesFilesAndJanitor) {
  std::string path, shared_memory;
  {
    const auto runtime = RuntimeDirectory::Create().value();
    path = runtime->path();
    shared_memory = runtime->shared_memory();
    EXPECT_TRUE(std::filesystem::exists(path));
    EXPECT_TRUE(std::filesystem::exists(shared_memory));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_FALSE(std::filesystem::exists(shared_memory));
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "a child is left";
}

// Elsewhere somebody could have planted links for us to remove or write through.
TEST_F(RuntimeDirectoryTest, AFolderThatOthersMayWriteIsRefused) {
  const std::string planted = Path("unmask-" + std::to_string(geteuid()));
  ASSERT_EQ(mkdir(planted.c_str(), 0700), 0);
  ASSERT_EQ(chmod(planted.c_str(), 0777), 0);
  const auto runtime = RuntimeDirectory::Create();
  ASSERT_FALSE(runtime.ok());
  EXPECT_THAT(std::string(runtime.status().message()), HasSubstr("not a directory of this user alone"));
}

TEST(MarkedProcessesTest, AMarkCoversWhatLiesBelowItAndNothingElse) {
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const char* argv[] = {"sleep", "1000", nullptr};
    const char* environment[] = {"UNMASK_SUPERVISOR=/marks/one/life.1", nullptr};
    execve("/bin/sleep", const_cast<char**>(argv), const_cast<char**>(environment));
    _exit(1);
  }
  EXPECT_TRUE(Eventually([&] { return !FindMarked("/marks/one").empty(); }));
  EXPECT_THAT(FindMarked("/marks/one"), ElementsAre(child));
  EXPECT_THAT(FindMarked("/marks/one/life.1"), ElementsAre(child));
  EXPECT_THAT(FindMarked("/marks/one/life"), IsEmpty());
  EXPECT_THAT(FindMarked("/marks/on"), IsEmpty());
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}

}  // namespace
}  // namespace unmask
