// `unmask serve` and `unmask replica` as processes, with a fake coordinator and fake workers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/cli/serve/harness.h"

namespace unmask {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

TEST_F(ServeTest, TheReadyFileSaysWhereOnceARequestWouldBeServed) {
  Write("worker_exit", "1");
  const pid_t serve = Serve();
  ASSERT_TRUE(EventuallyTells("worker 0 starts"));
  absl::SleepFor(absl::Milliseconds(600));  // More than one look at the fleet.
  EXPECT_FALSE(std::filesystem::exists(Path("ready.json")));
  Remove("worker_exit");
  ASSERT_TRUE(IsReady());
  const nlohmann::json ready = nlohmann::json::parse(FileContent(Path("ready.json")));
  EXPECT_EQ(ready["pid"].get<pid_t>(), serve);
  for (const char* port : {"grpc", "fleet", "admin"}) {
    EXPECT_THAT(ready[port].get<std::string>(), HasSubstr("127.0.0.1:")) << port;
    EXPECT_THAT(ready[port].get<std::string>(), Not(testing::EndsWith(":0"))) << port;
  }
  EXPECT_THAT(Errors(), HasSubstr(ready["grpc"].get<std::string>()));
  kill(serve, SIGTERM);
  EXPECT_EQ(ExitCode(serve), 0);
  EXPECT_FALSE(std::filesystem::exists(Path("ready.json")));
  EXPECT_TRUE(NothingIsLeft());
}

TEST_F(ServeTest, WorkersAreToldTheFleetPortAndTheirName) {
  const pid_t serve = Serve({"--model-name", "toy", "--dtype", "fp32", "--threads", "3"});
  ASSERT_TRUE(IsReady());
  const nlohmann::json ready = nlohmann::json::parse(FileContent(Path("ready.json")));
  EXPECT_THAT(Story(), HasSubstr("--coordinator " + ready["fleet"].get<std::string>()));
  EXPECT_THAT(Story(), HasSubstr("--name replica-0"));
  EXPECT_THAT(Story(), HasSubstr("--model-name toy --dtype fp32"));
  EXPECT_THAT(Story(), HasSubstr("--threads 3 --restarts 0"));
  kill(serve, SIGTERM);
  EXPECT_EQ(ExitCode(serve), 0);
}

TEST_F(ServeTest, SigtermLetsTheCoordinatorFinishAndOnlyThenEndsReplicas) {
  Write("slow", "");
  const pid_t serve = Serve({"--tensor-parallel", "2"});
  ASSERT_TRUE(IsReady());
  kill(serve, SIGTERM);
  ASSERT_TRUE(EventuallyTells("coordinator drains"));
  EXPECT_EQ(ExitCode(serve, absl::Milliseconds(500)), -1);
  EXPECT_FALSE(Tells("worker 0 ends")) << "a request that still runs lost its replica";
  Remove("slow");
  EXPECT_EQ(ExitCode(serve), 0);
  EXPECT_LT(Story().find("coordinator ends"), Story().find("worker 0 ends"));
}

TEST_F(ServeTest, AReplicaThatDiesWhileDrainingComesBackForWhatStillRuns) {
  Write("slow", "");
  const pid_t serve = Serve();
  ASSERT_TRUE(IsReady());
  kill(serve, SIGTERM);
  ASSERT_TRUE(EventuallyTells("coordinator drains"));
  kill(ProcessWith("fake_worker.sh"), SIGKILL);
  EXPECT_TRUE(EventuallyTells("--restarts 1"));
  Remove("slow");
  EXPECT_EQ(ExitCode(serve), 0);
}

TEST_F(ServeTest, ASecondSigintStopsAtOnce) {
  Write("slow", "");
  const pid_t serve = Serve({"--tensor-parallel", "2"});
  ASSERT_TRUE(IsReady());
  kill(serve, SIGINT);
  ASSERT_TRUE(EventuallyTells("coordinator drains"));
  kill(serve, SIGINT);
  EXPECT_EQ(ExitCode(serve, absl::Seconds(10)), 70);  // It drains for as long as "slow" is there.
  EXPECT_FALSE(Tells("coordinator ends"));
  EXPECT_FALSE(std::filesystem::exists(Path("ready.json")));
}

TEST_F(ServeTest, DrainingEndsAtItsTimeLimit) {
  Write("slow", "");
  const pid_t serve = Serve({"--drain-timeout", "1"});
  ASSERT_TRUE(IsReady());
  kill(serve, SIGTERM);
  EXPECT_EQ(ExitCode(serve, absl::Seconds(15)), 70);
  EXPECT_THAT(Errors(), HasSubstr("requests may have been cut off"));
}

TEST_F(ServeTest, AWorkersBadDataOrConfigurationEndsServeWithItsCodeAndMessage) {
  for (const std::string ranks : {"1", "2"}) {
    for (const int code : {64, 65, 78}) {
      Write("story", "");
      Write("worker_exit", std::to_string(code));
      EXPECT_EQ(ExitCode(Serve({"--tensor-parallel", ranks})), code);
      EXPECT_THAT(Errors(), HasSubstr("E serve: replica-0: the checkpoint is torn"));
      EXPECT_FALSE(Tells("--restarts 1"));
      EXPECT_FALSE(std::filesystem::exists(Path("ready.json")));
    }
  }
}

TEST_F(ServeTest, ACoordinatorsConfigurationErrorEndsServe) {
  Write("coordinator_exit", "78");
  EXPECT_EQ(ExitCode(Serve()), 78);
  EXPECT_THAT(Errors(), HasSubstr("E serve: coordinator: it is asked to fail"));
  EXPECT_FALSE(Tells("worker"));
}

TEST_F(ServeTest, ACoordinatorThatDiesComesBackOnTheSamePorts) {
  const pid_t serve = Serve();
  ASSERT_TRUE(IsReady());
  const nlohmann::json ready = nlohmann::json::parse(FileContent(Path("ready.json")));
  kill(ProcessWith("fake_coordinator"), SIGKILL);
  EXPECT_TRUE(EventuallyTells("coordinator starts " + ready["grpc"].get<std::string>() + " " +
                              ready["fleet"].get<std::string>() + " " + ready["admin"].get<std::string>()));
  EXPECT_FALSE(Tells("worker 0 ends")) << "replicas only dial again";
  kill(serve, SIGTERM);
  EXPECT_EQ(ExitCode(serve), 0);
}

TEST_F(ServeTest, AReplicaThatDiesIsStartedAgainWithItsRestartCount) {
  const pid_t serve = Serve({"--tensor-parallel", "2"});
  ASSERT_TRUE(IsReady());
  ASSERT_GT(ProcessWith("mpirun"), 0);
  kill(FindRankZero(RuntimeFolders().at(0)), SIGKILL);
  EXPECT_TRUE(EventuallyTells("--restarts 1"));
  kill(serve, SIGTERM);
  EXPECT_EQ(ExitCode(serve), 0);
}

TEST_F(ServeTest, AReplicaThatShowsNoLifeAnyMoreIsReplaced) {
  const pid_t serve = Serve();
  ASSERT_TRUE(IsReady());
  kill(ProcessWith("fake_worker.sh"), SIGSTOP);
  EXPECT_TRUE(Eventually([&] { return Tells("--restarts 1"); }, absl::Seconds(40)));
  kill(serve, SIGTERM);
  EXPECT_EQ(ExitCode(serve), 0);
}

TEST_F(ServeTest, NothingOutlivesAServeThatIsKilled) {
  const pid_t serve = Serve({"--tensor-parallel", "2", "--replicas", "2"});
  ASSERT_TRUE(IsReady());
  // The coordinator, two mpirun, four ranks.
  ASSERT_TRUE(Eventually([&] { return std::ssize(Processes()) >= 7; }));
  const std::vector<pid_t> before = Processes();
  kill(serve, SIGKILL);
  EXPECT_EQ(ExitCode(serve), 128 + SIGKILL);
  EXPECT_TRUE(NothingIsLeft());
  EXPECT_TRUE(
      Eventually([&] { return std::all_of(before.begin(), before.end(), [](pid_t pid) { return kill(pid, 0) != 0; }); },
                 absl::Seconds(5)));
}

TEST_F(ServeTest, TwoServicesRunSideBySide) {
  const pid_t first = Serve({}, "first.json");
  const pid_t second = Serve({}, "second.json");
  ASSERT_TRUE(IsReady("first.json"));
  ASSERT_TRUE(IsReady("second.json"));
  kill(first, SIGKILL);
  EXPECT_EQ(ExitCode(first), 128 + SIGKILL);
  EXPECT_TRUE(Eventually([&] { return Processes().size() == 2 || Processes().size() == 3; }));
  EXPECT_TRUE(std::filesystem::exists(Path("second.json")));
  kill(second, SIGTERM);
  EXPECT_EQ(ExitCode(second), 0);
}

TEST_F(ServeTest, AReplicaOfItsOwnDrainsOnSigterm) {
  const pid_t replica = Unmask({"replica", "--coordinator", "127.0.0.1:1", "--model", Path("model"), "--name", "mine",
                                "--tensor-parallel", "2"});
  ASSERT_TRUE(EventuallyTells("--coordinator 127.0.0.1:1 --name mine"));
  ASSERT_TRUE(Eventually([&] { return std::filesystem::exists(Path("ready")); }));
  kill(replica, SIGTERM);
  EXPECT_EQ(ExitCode(replica), 0);
  EXPECT_TRUE(Tells("worker 0 ends"));
}

TEST_F(ServeTest, AReplicaOfItsOwnPassesOnWhyItCannotRun) {
  Write("worker_exit", "65");
  EXPECT_EQ(ExitCode(Unmask({"replica", "--coordinator", "127.0.0.1:1", "--model", Path("model")})), 65);
  EXPECT_THAT(Errors(), HasSubstr("E replica: the checkpoint is torn"));
}

}  // namespace
}  // namespace unmask
