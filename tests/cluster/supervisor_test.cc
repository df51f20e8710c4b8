#include "cluster/supervisor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <regex>
#include <string>
#include <vector>

#include "tests/cluster/supervisor_harness.h"

namespace unmask {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::Ge;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Le;
using testing::Not;
using testing::SizeIs;

class SupervisorTest : public TemporaryFolderTest {};

TEST(BackoffTest, DoublesToItsMaximumAndForgetsAfterAHealthyRun) {
  Backoff backoff({.initial = absl::Seconds(1), .maximum = absl::Seconds(5), .healthy = absl::Seconds(60)});
  const auto crash = [&] { return backoff.Next(absl::ZeroDuration(), /*random=*/0); };
  EXPECT_EQ(crash(), absl::Seconds(1));
  EXPECT_EQ(crash(), absl::Seconds(2));
  EXPECT_EQ(crash(), absl::Seconds(4));
  EXPECT_EQ(crash(), absl::Seconds(5));
  EXPECT_EQ(crash(), absl::Seconds(5));
  EXPECT_EQ(backoff.Next(absl::Seconds(60), 0), absl::Seconds(1));
}

TEST(BackoffTest, JitterOnlyShortens) {
  const BackoffOptions options{.initial = absl::Seconds(10), .jitter = 0.2};
  EXPECT_EQ(Backoff(options).Next(absl::ZeroDuration(), 0.5), absl::Seconds(9));
}

TEST_F(SupervisorTest, WhatEndsIsStartedAgainAndToldHowOften) {
  SupervisedScript script("echo life $LIFE; test $LIFE -lt 3 || exit 78; test $LIFE -lt 2 || kill -9 $$; exit $LIFE");
  script.supervisor.Start();
  ASSERT_TRUE(script.RunToEnd());
  EXPECT_THAT(script.lines, ElementsAre("life 0", "life 1", "life 2", "life 3"));
  EXPECT_EQ(script.lives.back().restarts, 3);
}

TEST_F(SupervisorTest, UsageBadDataAndConfigurationEndItWithTheLastErrorLogged) {
  for (const int code : {64, 65, 78}) {
    SupervisedScript script("echo '20:01:02.123 E worker/1: model: no such tensor: x'; echo noise; exit " +
                            std::to_string(code));
    script.supervisor.Start();
    ASSERT_TRUE(script.RunToEnd());
    EXPECT_EQ(script.ending->exit_code, code);
    EXPECT_EQ(script.ending->message, "model: no such tensor: x");
    EXPECT_THAT(script.lives, SizeIs(1));
  }
}

TEST_F(SupervisorTest, AProgramThatIsNotThereIsAConfigurationError) {
  const auto runtime = RuntimeDirectory::Create().value();
  const auto loop = EventLoop::Create().value();
  Ending ending;
  Supervisor supervisor(loop.get(), runtime.get(),
                        {.name = "absent",
                         .command =
                             [](const Incarnation&) {
                               return Command{{"/nowhere/unmask-worker"}, {}};
                             },
                         .on_line = {},
                         .on_ended = [&](const Ending& end) { ending = end; },
                         .backoff = {}});
  supervisor.Start();
  EXPECT_TRUE(supervisor.ended());
  EXPECT_EQ(ending.exit_code, 78);
  EXPECT_THAT(ending.message, HasSubstr("/nowhere/unmask-worker: No such file"));
}

TEST_F(SupervisorTest, WhatCannotBeStartedAgainForAWhileIsStartedLater) {
  const auto runtime = RuntimeDirectory::Create().value();
  const auto loop = EventLoop::Create().value();
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const auto restore = [&] { setrlimit(RLIMIT_NOFILE, &before); };
  int attempts = 0;
  Ending ending;
  Supervisor supervisor(loop.get(), runtime.get(),
                        {.name = "script",
                         .command =
                             [&](const Incarnation& life) {
                               if (++attempts == 2) {  // This process has no file descriptors left, for a moment.
                                 const rlimit none = {.rlim_cur = 3, .rlim_max = before.rlim_max};
                                 setrlimit(RLIMIT_NOFILE, &none);
                                 loop->After(absl::Milliseconds(20), restore);
                               }
                               return Command{{"/bin/sh", "-c", life.restarts == 0 ? "exit 1" : "exit 78"}, {}};
                             },
                         .on_line = {},
                         .on_ended =
                             [&](const Ending& end) {
                               ending = end;
                               loop->Quit();
                             },
                         .backoff = {.initial = absl::Milliseconds(50)}});
  supervisor.Start();
  loop->Run();
  restore();
  EXPECT_EQ(attempts, 3);
  EXPECT_EQ(ending.exit_code, 78) << ending.message;
  EXPECT_EQ(ending.message, "exit code 78");
}

TEST_F(SupervisorTest, LinesArriveWholeAndTheLastNeedsNoNewline) {
  SupervisedScript script("printf 'one\\ntw'; sleep 0.05; printf 'o\\n\\nthree' >&2; exit 78");
  script.supervisor.Start();
  ASSERT_TRUE(script.RunToEnd());
  EXPECT_THAT(script.lines, ElementsAre("one", "two", "three"));
  EXPECT_EQ(script.ending->message, "three");
}

TEST_F(SupervisorTest, AProcessInASessionOfItsOwnDoesNotOutliveItsProgram) {
  SupervisedScript script("test $LIFE -lt 1 || exit 78; setsid sleep 1000 & echo started; sleep 1; exit 1");
  pid_t straggler = 0;
  script.When([&] { return script.lines.size() == 1; },
              [&] {
                ASSERT_TRUE(Eventually([&] { return FindMarked(script.lives[0].directory).size() == 3; }));
                for (const pid_t pid : FindMarked(script.lives[0].directory)) {
                  if (getsid(pid) == pid) straggler = pid;
                }
              });
  script.supervisor.Start();
  ASSERT_TRUE(script.RunToEnd());
  ASSERT_GT(straggler, 0);
  EXPECT_NE(kill(straggler, 0), 0);
  EXPECT_THAT(FindMarked(script.lives[0].directory), IsEmpty());
}

TEST_F(SupervisorTest, FilesOfALifeGoWithIt) {
  SupervisedScript script("exit 78");
  script.supervisor.Start();
  ASSERT_EQ(script.lives.size(), 1);
  EXPECT_TRUE(std::filesystem::exists(script.lives[0].directory));
  EXPECT_TRUE(std::filesystem::exists(script.lives[0].shared_memory));
  std::ofstream(script.lives[0].shared_memory + "/segment") << "x";
  ASSERT_TRUE(script.RunToEnd());
  EXPECT_FALSE(std::filesystem::exists(script.lives[0].directory));
  EXPECT_FALSE(std::filesystem::exists(script.lives[0].shared_memory));
}

TEST_F(SupervisorTest, StopSendsSigtermAndReportsHowTheProgramEnded) {
  SupervisedScript script("trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.02; done");
  script.When([&] { return !script.lines.empty(); }, [&] { script.supervisor.Stop(absl::InfiniteDuration()); });
  script.supervisor.Start();
  ASSERT_TRUE(script.RunToEnd());
  EXPECT_EQ(script.ending->exit_code, 7);
  EXPECT_THAT(script.lines, ElementsAre("up", "bye"));
}

TEST_F(SupervisorTest, WhatIgnoresSigtermIsKilledAfterItsGrace) {
  SupervisedScript script("trap '' TERM; echo up; while :; do sleep 0.02; done");
  script.When([&] { return !script.lines.empty(); }, [&] { script.supervisor.Stop(absl::Milliseconds(100)); });
  script.supervisor.Start();
  ASSERT_TRUE(script.RunToEnd());
  EXPECT_EQ(script.ending->exit_code, 128 + SIGKILL);
}

TEST_F(SupervisorTest, StopBetweenTwoLivesEndsAtOnce) {
  SupervisedScript script("exit 1");
  script.When([&] { return script.supervisor.age() == absl::ZeroDuration(); },
              [&] { script.supervisor.Stop(absl::InfiniteDuration()); });
  script.supervisor.Start();
  ASSERT_TRUE(script.RunToEnd());
  EXPECT_EQ(script.ending->exit_code, 0);
}

TEST_F(SupervisorTest, AStoppedProcessIsReplacedByRestart) {
  SupervisedScript script("test $LIFE = 0 || exit 78; echo up; kill -STOP $$");
  script.When([&] { return !script.lines.empty(); }, [&] { script.supervisor.Restart("test"); });
  script.supervisor.Start();
  ASSERT_TRUE(script.RunToEnd());
  EXPECT_THAT(script.lives, SizeIs(2));
}

// Beats until it is to stop; the third life is the last.
constexpr char kBeating[] =
    "test $LIFE -lt 2 || exit 78; beat=0; while [ $beat -lt 8 ]; do beat=$((beat + 1)); echo $beat 0 > $LIFE_FILE; "
    "sleep 0.5; done; echo beaten; ";

TEST_F(SupervisorTest, AProgramThatFallsSilentIsReplaced) {
  SupervisedScript script(std::string(kBeating) + "kill -STOP $$",
                          LifeSigns{.first = absl::Seconds(60), .silence = absl::Seconds(2)});
  script.supervisor.Start();
  ASSERT_TRUE(script.RunToEnd(absl::Seconds(60)));
  EXPECT_THAT(script.lives, SizeIs(3));
  // Not before: it was silent for no longer than half a second until then.
  EXPECT_THAT(script.lines, ElementsAre("beaten", "beaten"));
}

TEST_F(SupervisorTest, AProgramThatNeverShowsALifeIsReplacedLater) {
  SupervisedScript script("test $LIFE = 0 || exit 78; sleep 1000",
                          LifeSigns{.first = absl::Seconds(2), .silence = absl::Seconds(1)});
  script.supervisor.Start();
  ASSERT_TRUE(script.RunToEnd());
  EXPECT_THAT(script.lives, SizeIs(2));
}

// What a drained replica's processes do after their last step costs nobody anything: a hang there is no failure.
TEST_F(SupervisorTest, WhatIsOverHasEndedWellThoughItHasToBeKilled) {
  const auto stop = [](const std::string& last_stage) {
    SupervisedScript script("trap 'echo 2 1 " + last_stage +
                                " > $LIFE_FILE' TERM; echo 1 1 serving > $LIFE_FILE; echo up; " +
                                "while :; do sleep 0.05; done",
                            LifeSigns{.silence = absl::Seconds(3), .leaving = absl::Seconds(1)});
    script.When([&] { return !script.lines.empty(); }, [&] { script.supervisor.Stop(absl::Seconds(60)); });
    script.supervisor.Start();
    EXPECT_TRUE(script.RunToEnd());
    return script.ending->exit_code;
  };
  EXPECT_EQ(stop("over"), 0);
  EXPECT_EQ(stop("draining"), 128 + SIGKILL) << "nor is a hang before that anything else";
}

TEST_F(SupervisorTest, WhoDoesNotHearThatItIsToEndIsAskedAgain) {
  const auto asked = [](const std::string& when_asked) {
    SupervisedScript script(
        "asked=0; trap 'asked=$((asked + 1)); " + when_asked + "' TERM; echo 1 1 serving > $LIFE_FILE; " +
            "echo up; n=0; while [ $n -lt 70 ]; do n=$((n + 1)); sleep 0.05; done; echo $asked; exit 0",
        LifeSigns{.silence = absl::Seconds(60)});
    script.When([&] { return !script.lines.empty(); }, [&] { script.supervisor.Stop(absl::Seconds(60)); });
    script.supervisor.Start();
    EXPECT_TRUE(script.RunToEnd());
    return std::stoi(script.lines.back());
  };
  EXPECT_GE(asked(""), 2);
  EXPECT_EQ(asked("echo 2 1 draining > $LIFE_FILE"), 1);
}

TEST_F(SupervisorTest, AFruitfulLifeIsFollowedByTheNextAtOnceHoweverManyWentBefore) {
  const auto waits_between_lives = [](const std::string& steps) {
    SupervisedScript script("test $LIFE -lt 4 || exit 78; echo 1 " + steps + " > $LIFE_FILE; exit 1", LifeSigns());
    testing::internal::CaptureStderr();
    script.supervisor.Start();
    EXPECT_TRUE(script.RunToEnd());
    const std::string log = testing::internal::GetCapturedStderr();
    const std::regex wait("follows in ([0-9]+)ms");
    std::vector<int> waits;
    for (std::sregex_iterator it(log.begin(), log.end(), wait), end; it != end; ++it) {
      waits.push_back(std::stoi((*it)[1]));
    }
    return waits;
  };
  EXPECT_THAT(waits_between_lives("0"), ElementsAre(Le(20), Ge(32), Ge(32), Ge(32)));  // 20 and 40 ms, less the jitter.
  EXPECT_THAT(waits_between_lives("1"), ElementsAre(Le(20), Le(20), Le(20), Le(20)));
}

// mpirun answers SIGTERM by killing its ranks: a drain must reach rank 0 itself.
TEST_F(SupervisorTest, StopReachesRankZeroUnderMpirun) {
  const std::string worker = Path("worker.sh");
  std::ofstream(worker) << "#!/bin/sh\n"
                        << "if [ $OMPI_COMM_WORLD_RANK = 0 ]; then trap 'echo drained; touch " << Path("done")
                        << "; exit 0' TERM; fi\n"
                        << "echo rank $OMPI_COMM_WORLD_RANK up\n"
                        << "while [ ! -e " << Path("done") << " ]; do sleep 0.02; done\n";
  std::filesystem::permissions(worker, std::filesystem::perms::owner_all);
  SupervisedScript script("");
  std::vector<std::string> session_files;
  Supervisor replica(script.loop.get(), script.runtime.get(),
                     {.name = "replica-0",
                      .command =
                          [&](const Incarnation& life) {
                            script.lives.push_back(life);
                            return WorkerCommand(Ranks(worker, 2), life);
                          },
                      .on_line = [&](absl::string_view line) { script.lines.emplace_back(line); },
                      .on_ended =
                          [&](const Ending& end) {
                            script.ending = end;
                            script.loop->Quit();
                          },
                      .backoff = {}});
  script.When([&] { return script.lines.size() == 2; },
              [&] {
                for (const auto& entry : std::filesystem::directory_iterator(script.lives[0].directory)) {
                  session_files.push_back(entry.path());
                }
                EXPECT_THAT(FindMarked(script.lives[0].directory), SizeIs(testing::Ge(3)));
                EXPECT_GT(FindRankZero(script.lives[0].directory), 0);
                replica.Stop(absl::Seconds(10));
              });
  replica.Start();
  ASSERT_TRUE(script.RunToEnd());
  EXPECT_EQ(script.ending->exit_code, 0) << script.ending->message;
  EXPECT_THAT(script.lines, Contains("drained"));
  // Its session directory was where it is swept.
  EXPECT_THAT(session_files, Not(IsEmpty()));
  EXPECT_FALSE(std::filesystem::exists(script.lives[0].directory));
}

TEST_F(SupervisorTest, KillingMpirunEndsItsRanks) {
  SupervisedScript script("");
  bool killed = false;
  Supervisor replica(script.loop.get(), script.runtime.get(),
                     {.name = "replica-0",
                      .command =
                          [&](const Incarnation& life) {
                            script.lives.push_back(life);
                            // Stands in for a worker; its arguments are the shell's.
                            Command command = WorkerCommand(Ranks("WORKER", 2), life);
                            const auto worker = std::find(command.argv.begin(), command.argv.end(), "WORKER");
                            command.argv.erase(worker, command.argv.end());
                            command.argv.insert(command.argv.end(), {"/bin/sh", "-c", "echo up; sleep 1000"});
                            return command;
                          },
                      .on_line = [&](absl::string_view line) { script.lines.emplace_back(line); },
                      .on_ended = {},
                      .backoff = {}});
  std::vector<pid_t> processes;
  script.When([&] { return script.lines.size() == 2; },
              [&] {
                processes = FindMarked(script.lives[0].directory);
                for (const pid_t pid : processes) {
                  if (FileContent("/proc/" + std::to_string(pid) + "/comm") == "mpirun\n")
                    killed = kill(pid, SIGKILL) == 0;
                }
              });
  script.When([&] { return script.lives.size() == 2; }, [&] { script.loop->Quit(); });
  replica.Start();
  script.RunToEnd();
  ASSERT_TRUE(killed);
  EXPECT_GE(processes.size(), 3u);
  EXPECT_EQ(script.lives.size(), 2u);
  EXPECT_THAT(FindMarked(script.lives[0].directory), IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(script.lives[0].directory));
  EXPECT_FALSE(std::filesystem::exists(script.lives[0].shared_memory));
}

}  // namespace
}  // namespace unmask
