// unmask-coordinator as a process: its exit codes, its address file, its signals.
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "tests/coordinator/test_service.h"

namespace unmask {
namespace {

using testing::Eventually;
using ::testing::HasSubstr;

std::string ReadFile(const std::string& path) {
  std::ostringstream content;
  content << std::ifstream(path).rdbuf();
  return content.str();
}

using Flags = std::map<std::string, std::string>;

// A coordinator over an empty checkpoint folder, with what it writes to standard error.
class CoordinatorProcess {
 public:
  // flags: beside or instead of free ports. tokenizer: of its tokenizer.json; "": none.
  explicit CoordinatorProcess(Flags flags, const std::string& tokenizer = "") {
    std::string pattern = ::testing::TempDir() + "/unmask-coordinator-XXXXXX";
    folder_ = mkdtemp(pattern.data());
    std::filesystem::create_directory(folder_ + "/tiny");
    if (!tokenizer.empty()) std::ofstream(folder_ + "/tiny/tokenizer.json") << tokenizer;
    flags.insert({{"--listen", "127.0.0.1:0"}, {"--fleet-listen", "127.0.0.1:0"}, {"--admin-listen", "127.0.0.1:0"}});
    flags.insert({{"--model", folder_ + "/tiny"}, {"--address-file", folder_ + "/addresses.json"}});
    std::vector<std::string> argv = {std::string(std::getenv("UNMASK_BIN_DIR")) + "/unmask-coordinator"};
    for (const auto& [flag, value] : flags) argv.push_back(absl::StrCat(flag, "=", value));
    std::vector<char*> arguments;
    for (std::string& argument : argv) arguments.push_back(argument.data());
    arguments.push_back(nullptr);
    const std::string log = folder_ + "/log";
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      dup2(open(log.c_str(), O_CREAT | O_WRONLY, 0600), STDERR_FILENO);
      execv(arguments[0], arguments.data());
      _exit(127);
    }
  }
  ~CoordinatorProcess() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    std::filesystem::remove_all(folder_);
  }

  // "grpc", "fleet" or "admin"; "" if it never comes.
  std::string Address(const std::string& port) {
    const std::string path = folder_ + "/addresses.json";
    if (!Eventually([&] { return std::filesystem::exists(path); })) return "";
    return nlohmann::json::parse(ReadFile(path)).at(port);  // Throws if it were not whole.
  }
  void Signal(int signal) const { kill(pid_, signal); }
  // Exit code, or -1 when it does not end.
  int Wait() {
    int status = 0;
    if (!Eventually([&] { return waitpid(pid_, &status, WNOHANG) == pid_; })) return -1;
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
  }
  bool alive() const {
    siginfo_t ended = {};
    return waitid(P_PID, pid_, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid == 0;
  }
  // It has taken the first signal.
  bool Draining() const {
    return Eventually([this] { return log().find("draining") != std::string::npos; });
  }
  std::string log() const { return ReadFile(folder_ + "/log"); }

 private:
  std::string folder_;
  pid_t pid_ = 0;
};

// A client and a replica of a coordinator in another process.
struct Running {
  explicit Running(CoordinatorProcess* process)
      : replica(testing::ScriptedReplica::Start(process->Address("fleet"))),
        stub(v1::InferenceService::NewStub(
            grpc::CreateChannel(process->Address("grpc"), grpc::InsecureChannelCredentials()))) {
    EXPECT_TRUE(Eventually([&] { return Generate().ok(); })) << "not ready";
  }
  grpc::Status Generate() const {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    v1::GenerateResponse response;
    return stub->Generate(&context, testing::TinyRequest(8, 8), &response);
  }

  std::unique_ptr<testing::ScriptedReplica> replica;
  std::unique_ptr<v1::InferenceService::Stub> stub;
};

TEST(AdminProcessTest, SigtermFinishesWhatRunsAndEndsWithZero) {
  CoordinatorProcess process(Flags{});
  Running running(&process);
  running.replica->Hold();
  const size_t before = running.replica->steps().size();
  grpc::Status status;
  std::thread client([&] { status = running.Generate(); });
  EXPECT_TRUE(Eventually([&] { return running.replica->steps().size() > before; }));
  process.Signal(SIGTERM);
  EXPECT_TRUE(process.Draining());
  EXPECT_EQ(running.Generate().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(process.alive());
  running.replica->Go();
  client.join();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(process.Wait(), 0);
}

TEST(AdminProcessTest, AnIdleOneEndsAtOnce) {
  CoordinatorProcess process(Flags{});
  process.Address("grpc");
  process.Signal(SIGINT);
  EXPECT_EQ(process.Wait(), 0);
}

TEST(AdminProcessTest, TheDrainTimeoutCutsOffWhatStillRuns) {
  CoordinatorProcess process(Flags{{"--drain-timeout", "1"}});
  Running running(&process);
  running.replica->Hold();
  grpc::Status status;
  std::thread client([&] { status = running.Generate(); });
  EXPECT_TRUE(Eventually([&] { return running.replica->steps().size() > 8; }));
  process.Signal(SIGTERM);
  EXPECT_EQ(process.Wait(), 70);
  client.join();
  EXPECT_FALSE(status.ok());
}

TEST(AdminProcessTest, ASecondSignalEndsAtOnce) {
  CoordinatorProcess process(Flags{});
  Running running(&process);
  running.replica->Hold();
  std::thread client([&] { running.Generate(); });
  EXPECT_TRUE(Eventually([&] { return running.replica->steps().size() > 8; }));
  process.Signal(SIGINT);
  EXPECT_TRUE(process.Draining());
  process.Signal(SIGINT);
  EXPECT_EQ(process.Wait(), 128 + SIGINT);
  client.join();
}

TEST(AdminProcessTest, ATakenPortIsAConfigurationErrorThatNamesIt) {
  CoordinatorProcess first(Flags{});
  const Flags ports = {{"--listen", "grpc"}, {"--fleet-listen", "fleet"}, {"--admin-listen", "admin"}};
  for (const auto& [flag, port] : ports) {
    const std::string taken = first.Address(port);
    CoordinatorProcess second(Flags{{flag, taken}});
    EXPECT_EQ(second.Wait(), 78) << flag;
    EXPECT_THAT(second.log(), HasSubstr(taken));
  }
}

TEST(AdminProcessTest, BadFlagsAreUsageErrors) {
  const Flags bad = {{"--listen", "nowhere"}, {"--lease", "-1"}, {"--model", "/no/such/folder"}, {"--divine", "1"}};
  for (const auto& [flag, value] : bad) EXPECT_EQ(CoordinatorProcess(Flags{{flag, value}}).Wait(), 64) << flag;
}

TEST(AdminProcessTest, FilesOfTlsAndTokensThatCannotWorkAreConfigurationErrorsThatNameThem) {
  const Flags bad = {
      {"--tls-cert", "/no/cert.pem"}, {"--fleet-tls-key", "/no/key.pem"}, {"--auth-tokens", "/no/tokens"}};
  for (const auto& [flag, value] : bad) {
    CoordinatorProcess process(Flags{{flag, value}});
    EXPECT_EQ(process.Wait(), 78) << flag;
    EXPECT_THAT(process.log(), HasSubstr(flag.substr(2)));
    EXPECT_THAT(process.log(), HasSubstr(value));
  }
}

TEST(AdminProcessTest, AFlagIsAlsoAnEnvironmentVariable) {
  setenv("UNMASK_LEASE", "soon", 1);
  EXPECT_EQ(CoordinatorProcess(Flags{}).Wait(), 64);
  unsetenv("UNMASK_LEASE");
}

TEST(AdminProcessTest, ABrokenTokenizerIsBadData) {
  CoordinatorProcess process(Flags{}, "{ this is no tokenizer");
  EXPECT_EQ(process.Wait(), 65);
  EXPECT_THAT(process.log(), HasSubstr("tokenizer.json"));
}

}  // namespace
}  // namespace unmask
