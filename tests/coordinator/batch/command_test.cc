// unmask batch as people call it: with a service, and with one of its own; stopped and called again.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "tests/coordinator/batch/batch_client.h"
#include "tests/coordinator/batch/coordinator_process.h"

namespace unmask {
namespace {

namespace fs = std::filesystem;
using testing::BatchClient;
using testing::CoordinatorProcess;
using testing::Eventually;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::ReadFile;
using testing::Scratch;
using testing::ScriptedReplica;
using testing::ScriptedReplicaOptions;
using testing::TinyLines;
using testing::WriteFile;

// `unmask batch …`, its output in files of a folder.
class Command {
 public:
  Command(const Scratch& folder, std::vector<std::string> arguments)
      : out_(folder / "stdout"), err_(folder / "stderr") {
    arguments.insert(arguments.begin(), {std::string(std::getenv("UNMASK_BIN_DIR")) + "/unmask", "batch"});
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    fs::remove(out_);  // An earlier command's: whoever waits for a line of this one must not see it.
    fs::remove(err_);
    pid_ = fork();
    if (pid_ == 0) {
      unsetenv("UNMASK_SERVER");
      dup2(open(out_.c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0600), STDOUT_FILENO);
      dup2(open(err_.c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0600), STDERR_FILENO);
      execv(argv[0], argv.data());
      _exit(127);
    }
  }
  ~Command() {
    if (pid_ > 0) kill(pid_, SIGKILL);
    Wait();
  }
  void Signal(int signal) const { kill(pid_, signal); }
  int Wait() {
    if (pid_ > 0) waitpid(pid_, &status_, 0);
    pid_ = 0;
    return WIFEXITED(status_) ? WEXITSTATUS(status_) : 256 + WTERMSIG(status_);
  }
  std::string out() const { return ReadFile(out_); }
  std::string err() const { return ReadFile(err_); }

 private:
  const std::string out_;
  const std::string err_;
  pid_t pid_ = 0;
  int status_ = 0;
};

struct Service {
  explicit Service(const Scratch& folder, int step_ms = 1)
      : process(folder), address(process.Address("grpc")), client(address) {
    ScriptedReplicaOptions options;
    options.step_time = std::chrono::milliseconds(step_ms);
    replica = ScriptedReplica::Start(process.Address("fleet"), options);
  }
  CoordinatorProcess process;
  std::string address;
  BatchClient client;
  std::unique_ptr<ScriptedReplica> replica;
};

TEST(BatchCommandTest, RunsAFileToAFile) {
  const Scratch folder;
  Service service(folder);
  WriteFile(folder / "in.jsonl", TinyLines(50, /*bad=*/10));
  Command run(folder, {"run", folder / "in.jsonl", folder / "out.jsonl", "--server", service.address, "--seed", "1"});
  EXPECT_EQ(run.Wait(), 0) << run.err();
  EXPECT_THAT(run.err(), HasSubstr("unmask: 50 lines: 45 succeeded, 5 failed\n"));
  service.client.Create("same", TinyLines(50, /*bad=*/10));
  service.client.Watch("same");
  EXPECT_EQ(ReadFile(folder / "out.jsonl"), service.client.Results("same")) << "--seed is the job's";
  Command list(folder, {"list", "--server", service.address});
  EXPECT_EQ(list.Wait(), 0);
  EXPECT_THAT(list.out(), HasSubstr("same  succeeded"));
  EXPECT_THAT(list.out(), Not(HasSubstr("run-"))) << "a job stays behind";
  Command again(folder, {"run", folder / "in.jsonl", folder / "out.jsonl", "--server", service.address});
  EXPECT_EQ(again.Wait(), 64);
  EXPECT_THAT(again.err(), HasSubstr("out.jsonl exists"));
  // As a container that is started once more after it had written all: not even the input is looked at.
  Command skipped(folder,
                  {"run", folder / "gone", folder / "out.jsonl", "--server", service.address, "--skip-existing"});
  EXPECT_EQ(skipped.Wait(), 0) << skipped.err();
  EXPECT_EQ(ReadFile(folder / "out.jsonl"), service.client.Results("same"));
  Command needed(folder,
                 {"run", folder / "gone", folder / "new.jsonl", "--server", service.address, "--skip-existing"});
  EXPECT_NE(needed.Wait(), 0) << "the flag hides more than an output that exists";
}

TEST(BatchCommandTest, StoppedWithCtrlCTheSameCommandGoesOn) {
  const Scratch folder;
  Service service(folder, /*step_ms=*/3);
  WriteFile(folder / "in.jsonl", TinyLines(300));
  const std::vector<std::string> command = {
      "run", folder / "in.jsonl", folder / "out.jsonl", "--server", service.address, "--seed", "1"};
  std::string name;
  const auto job = [&] {
    grpc::ClientContext context;
    v1::ListBatchJobsResponse jobs;
    EXPECT_TRUE(service.client.stub().ListBatchJobs(&context, {}, &jobs).ok());
    return jobs.jobs_size() == 1 ? jobs.jobs(0) : v1::BatchJob();
  };
  {
    Command run(folder, command);
    ASSERT_TRUE(Eventually([&] { return job().counts().succeeded() > 0; })) << run.err();
    run.Signal(SIGINT);
    EXPECT_EQ(run.Wait(), 130);
    EXPECT_THAT(run.err(), HasSubstr("the same command goes on"));
  }
  const v1::BatchJob paused = job();
  EXPECT_EQ(paused.state(), v1::BATCH_JOB_STATE_PAUSED);
  EXPECT_LT(paused.counts().succeeded(), 300) << "it was not stopped in time";
  EXPECT_FALSE(fs::exists(folder / "out.jsonl"));
  Command run(folder, command);
  EXPECT_EQ(run.Wait(), 0) << run.err();
  EXPECT_THAT(run.err(), HasSubstr("going on at "));
  service.client.Create("calm", TinyLines(300));
  service.client.Watch("calm");
  EXPECT_EQ(ReadFile(folder / "out.jsonl"), service.client.Results("calm"));
}

TEST(BatchCommandTest, JobsAreSubmittedWatchedCancelledAndDeleted) {
  const Scratch folder;
  Service service(folder);
  const auto batch = [&](std::vector<std::string> arguments, int code = 0) {
    arguments.insert(arguments.end(), {"--server", service.address});
    Command command(folder, arguments);
    EXPECT_EQ(command.Wait(), code) << arguments[0] << ": " << command.err();
    return code == 0 ? command.out() : command.err();
  };
  WriteFile(folder / "in.jsonl", TinyLines(40));
  EXPECT_EQ(batch({"submit", folder / "in.jsonl", "--name", "a", "--output", "a.jsonl"}), "a\n");
  EXPECT_EQ(batch({"watch", "a"}), "succeeded, 40 lines: 40 succeeded, 0 failed\n");
  const std::string results = batch({"results", "a"});
  EXPECT_EQ(std::count(results.begin(), results.end(), '\n'), 40);
  EXPECT_EQ(ReadFile(folder / "store/files/a.jsonl"), results);
  batch({"results", "a", folder / "a.jsonl"});
  EXPECT_EQ(ReadFile(folder / "a.jsonl"), results);
  service.replica->Hold();
  batch({"submit", folder / "in.jsonl", "--name", "b"});
  EXPECT_EQ(batch({"pause", "b"}), "paused\n");
  EXPECT_EQ(batch({"resume", "b"}), "pending\n");
  EXPECT_THAT(batch({"delete", "b"}, 70), HasSubstr("cancel it first"));
  EXPECT_EQ(batch({"cancel", "b"}), "cancelled\n");
  batch({"delete", "b"});
  EXPECT_THAT(batch({"watch", "b"}, 64), HasSubstr("no such batch job"));
  EXPECT_THAT(batch({"list", "--json"}), HasSubstr("\"name\":\"a\""));
  WriteFile(folder / "bad.jsonl", TinyLines(1) + "{\"custom_id\": \"x\", \"generate\": {\"steps\": 3}}\n");
  EXPECT_THAT(batch({"submit", folder / "bad.jsonl"}, 64), HasSubstr("line 2, column 32: "));
  EXPECT_THAT(batch({"submit", folder / "nothing"}, 64), HasSubstr("cannot be read"));
  Command lonely(folder, {"list"});
  EXPECT_EQ(lonely.Wait(), 64);
  EXPECT_THAT(lonely.err(), HasSubstr("--server is needed"));
}

// The coordinator and real ranks of the command's own, with a store beside OUT.
TEST(BatchCommandTest, RunsWithAServiceOfItsOwnAndGoesOnAfterCtrlC) {
  const Scratch folder;
  WriteFile(folder / "in.jsonl", TinyLines(200, 0, 32));
  const std::string model = std::string(std::getenv("UNMASK_SOURCE_DIR")) + "/tests/goldens/models/tiny-mha";
  const auto command = [&](const std::string& out) {
    return std::vector<std::string>{
        "run", folder / "in.jsonl", folder / out, "--model", model, "--threads", "1", "--seed", "1"};
  };
  Command calm(folder, command("calm.jsonl"));
  EXPECT_EQ(calm.Wait(), 0) << calm.err();
  const std::string expected = ReadFile(folder / "calm.jsonl");
  ASSERT_EQ(std::count(expected.begin(), expected.end(), '\n'), 200);
  EXPECT_FALSE(fs::exists(folder / "calm.jsonl.job"));
  {
    Command stopped(folder, command("out.jsonl"));
    // Its first plain line of progress that counts a result.
    ASSERT_TRUE(Eventually([&] { return stopped.err().find("running  ") != std::string::npos; })) << stopped.err();
    stopped.Signal(SIGINT);
    EXPECT_EQ(stopped.Wait(), 130) << stopped.err();
  }
  EXPECT_FALSE(fs::exists(folder / "out.jsonl"));
  EXPECT_TRUE(fs::exists(folder / "out.jsonl.job/batch.sqlite"));
  Command other(folder, {"run", folder / "in.jsonl", folder / "out.jsonl", "--model", model, "--threads", "1"});
  EXPECT_EQ(other.Wait(), 64) << "another seed, and yet it went on";
  EXPECT_THAT(other.err(), HasSubstr("other options"));
  Command resumed(folder, command("out.jsonl"));
  EXPECT_EQ(resumed.Wait(), 0) << resumed.err();
  EXPECT_THAT(resumed.err(), HasSubstr("going on at "));
  EXPECT_EQ(ReadFile(folder / "out.jsonl"), expected);
  EXPECT_FALSE(fs::exists(folder / "out.jsonl.job"));
}

}  // namespace
}  // namespace unmask
