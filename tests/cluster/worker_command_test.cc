#include "cluster/worker_command.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/str_join.h"
#include "base/cores.h"
#include "tests/cluster/supervisor_harness.h"

namespace unmask {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

const Incarnation kLife{.restarts = 3, .directory = "/private/r.3", .shared_memory = "/shared/r.3"};

TEST(WorkerCommandTest, OneRankHereNeedsNoMpirun) {
  const Command command = WorkerCommand(Ranks("/bin/unmask-worker", 1), kLife);
  EXPECT_EQ(command.argv[0], "/bin/unmask-worker");
  EXPECT_THAT(command.argv, Not(Contains("mpirun")));
}

TEST(WorkerCommandTest, RanksKeepTheirFilesWhereTheyAreSwept) {
  const Command command = WorkerCommand(Ranks("worker", 4), kLife);
  EXPECT_EQ(command.argv[0], "mpirun");
  EXPECT_THAT(command.argv, AllOf(Contains("/private/r.3"), Contains("/shared/r.3"), Contains("localhost:4")));
}

TEST(WorkerCommandTest, HostsGoToMpirun) {
  const Command command = WorkerCommand(Ranks("worker", 4, "a:2,b:2"), kLife);
  EXPECT_THAT(command.argv, AllOf(Contains("a:2,b:2"), Not(Contains("isolated")), Not(Contains("lo"))));
}

TEST(WorkerCommandTest, TheLaunchAgentStartsEveryHostFromHere) {
  WorkerOptions options = Ranks("worker", 4, "a:2,b:2");
  EXPECT_THAT(WorkerCommand(options, kLife).argv,
              AllOf(Contains("plm_rsh_no_tree_spawn"), Not(Contains("plm_rsh_agent"))));
  options.launch_agent = "/opt/agent --quiet";
  options.network = "10.1.0.0/16";
  const std::vector<std::string> argv = WorkerCommand(options, kLife).argv;
  EXPECT_THAT(argv, AllOf(Contains("plm_rsh_agent"), Contains("/opt/agent --quiet"), Contains("10.1.0.0/16")));
}

TEST(WorkerCommandTest, WaitingRanksDoNotSpin) {
  EXPECT_THAT(WorkerCommand(Ranks("worker", 1), kLife).environment,
              Contains(std::pair<std::string, std::string>("OMP_WAIT_POLICY", "passive")));
}

TEST(WorkerCommandTest, CredentialsAreThoseOfTheFlagsNotOfTheParent) {
  WorkerOptions options = Ranks("worker", 1);
  options.tls = {"ca.pem", "own.pem", ""};
  const Command command = WorkerCommand(options, kLife);
  EXPECT_THAT(command.argv,
              AllOf(Contains("--tls-ca"), Contains("ca.pem"), Contains("own.pem"), Not(Contains("--tls-key"))));
  EXPECT_THAT(command.environment, Contains(std::pair<std::string, std::string>("UNMASK_TLS_KEY", "")));
}

TEST(WorkerCommandTest, ReplicasThatShareAHostKnowOfEachOther) {
  WorkerOptions options = Ranks("worker", 1);
  EXPECT_THAT(WorkerCommand(options, kLife).argv, Not(Contains("--host-replicas")));
  options.host_replica = 2;
  options.host_replicas = 3;
  const std::string line = absl::StrJoin(WorkerCommand(options, kLife).argv, " ");
  EXPECT_THAT(line, HasSubstr("--host-replica 2 --host-replicas 3"));
}

TEST(RanksOfOneHostTest, IsTheLargestShare) {
  EXPECT_EQ(RanksOfOneHost("", 3).value(), 3);
  EXPECT_EQ(RanksOfOneHost("a:2,b:4", 6).value(), 4);
  EXPECT_EQ(RanksOfOneHost("a:8,b:8", 6).value(), 6);
  EXPECT_EQ(RanksOfOneHost("a,b", 2).value(), 1);
}

TEST(RanksOfOneHostTest, MalformedOrTooSmallListsAreNamed) {
  for (const char* hosts : {"a:", ":2", "a:x", "a:0", "a:1,,b:1", "a:-3"}) {
    EXPECT_THAT(std::string(RanksOfOneHost(hosts, 1).status().message()), HasSubstr("is not HOST")) << hosts;
  }
  EXPECT_EQ(RanksOfOneHost("a:1,b:2", 4).status().message(), "hosts: room for 3 ranks, but tensor_parallel is 4");
}

TEST(AllowedCoresTest, FollowsTheAffinityMask) {
  cpu_set_t before, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  int first = 0;
  while (!CPU_ISSET(first, &before)) ++first;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  EXPECT_EQ(AllowedCores(), 1);
  ASSERT_EQ(sched_setaffinity(0, sizeof(before), &before), 0);
  EXPECT_GE(AllowedCores(), 1);
}

TEST(StartProcessTest, AChildLearnsItsOwnPidAndGetsAGroupOfItsOwn) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const auto pid = StartProcess({{"sh", "-c", "echo $0 $$ $EXTRA", kOwnPid}, {{"EXTRA", "more"}}}, ends[1]);
  ASSERT_TRUE(pid.ok()) << pid.status();
  EXPECT_EQ(getpgid(*pid), *pid);
  close(ends[1]);
  char buffer[64] = {};
  ASSERT_GT(read(ends[0], buffer, sizeof(buffer) - 1), 0);
  EXPECT_EQ(std::string(buffer), std::to_string(*pid) + " " + std::to_string(*pid) + " more\n");
  close(ends[0]);
  waitpid(*pid, nullptr, 0);
}

TEST(StartProcessTest, AFileThatIsNoProgramIsAnError) {
  EXPECT_FALSE(StartProcess({{"/etc/passwd"}, {}}, STDERR_FILENO).ok());
  EXPECT_EQ(StartProcess({{"no-such-program-anywhere"}, {}}, STDERR_FILENO).status().message(),
            "no-such-program-anywhere: not found in PATH");
}

}  // namespace
}  // namespace unmask
