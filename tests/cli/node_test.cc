// `unmask node` and `unmask launch`, as processes on the loopback: what a launch agent must do.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace unmask {
namespace {

using std::chrono::steady_clock;

bool Eventually(const std::function<bool()>& condition) {
  const auto limit = steady_clock::now() + std::chrono::seconds(60);
  while (!condition()) {
    if (steady_clock::now() > limit) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return true;
}

// A child process whose standard output and error are read together.
class Process {
 public:
  explicit Process(std::vector<std::string> words) {
    words.insert(words.begin(), std::string(getenv("UNMASK_BIN_DIR")) + "/unmask");
    int pipe[2];
    if (pipe2(pipe, O_CLOEXEC) != 0) abort();
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    pid_ = fork();
    if (pid_ == 0) {
      dup2(pipe[1], STDOUT_FILENO);
      dup2(pipe[1], STDERR_FILENO);
      execv(argv[0], argv.data());
      _exit(127);
    }
    close(pipe[1]);
    output_ = pipe[0];
  }
  ~Process() {
    if (pid_ > 0) Signal(SIGKILL), Wait();
    close(output_);
  }

  void Signal(int number) { kill(pid_, number); }

  // What it says until `text` comes; fails the test where it does not.
  std::string ReadUntil(const std::string& text) {
    EXPECT_TRUE(Eventually([&] { return !Read() || said_.find(text) != std::string::npos; }));
    EXPECT_NE(said_.find(text), std::string::npos) << said_;
    return said_;
  }

  // Its exit code, or 128 + the signal that ended it; what it said is in said().
  int Wait() {
    int status = 0;
    EXPECT_TRUE(Eventually([&] { return Read(), waitpid(pid_, &status, WNOHANG) == pid_; })) << said_;
    while (Read()) {
    }
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  bool running() const { return kill(pid_, 0) == 0; }
  const std::string& said() const { return said_; }

 private:
  // False when there is nothing to read and never will be.
  bool Read() {
    pollfd ready = {.fd = output_, .events = POLLIN, .revents = 0};
    if (poll(&ready, 1, 20) <= 0) return true;
    char buffer[4096];
    const ssize_t bytes = read(output_, buffer, sizeof(buffer));
    if (bytes > 0) said_.append(buffer, bytes);
    return bytes > 0;
  }

  pid_t pid_ = -1;
  int output_ = -1;
  std::string said_;
};

class NodeTest : public testing::Test {
 protected:
  NodeTest() {
    folder_ = "/tmp/unmask-node-XXXXXX";
    if (mkdtemp(folder_.data()) == nullptr) abort();
    std::ofstream(Path("key")) << "a-key-of-enough-bytes\n";
    std::ofstream(Path("other-key")) << "another-key-that-is-wrong\n";
    node_ = std::make_unique<Process>(
        std::vector<std::string>{"node", "--listen", "127.0.0.1:0", "--key-file", Path("key")});
    const std::string said = node_->ReadUntil("on port ");
    node_->ReadUntil("\n");
    port_ = std::to_string(std::atoi(node_->said().c_str() + node_->said().find("on port ") + 8));
  }
  ~NodeTest() override {
    node_.reset();
    std::filesystem::remove_all(folder_);
  }

  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  std::vector<std::string> Launch(const std::string& key, const std::string& command) const {
    return {"launch", "--key-file", Path(key), "--port", port_, "--wait", "30", "127.0.0.1", command};
  }
  // The number that a command wrote, once it has.
  pid_t PidIn(const std::string& name) const {
    int pid = 0;
    EXPECT_TRUE(Eventually([&] { return (std::ifstream(Path(name)) >> pid) && pid > 0; }));
    return pid;
  }
  static bool Gone(pid_t pid) {
    return Eventually([&] {
      std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
      std::string line;
      std::getline(stat, line);
      return line.empty() || line.find(") Z ") != std::string::npos;
    });
  }

  std::string folder_;
  std::string port_;
  std::unique_ptr<Process> node_;
};

TEST_F(NodeTest, RunsACommandAndTellsItsOutputAndItsEnd) {
  Process launch({"launch", "--key-file", Path("key"), "--port", port_, "someone@127.0.0.1", "echo", "-n",
                  "two  words;", "echo", "wrong", ">&2;", "exit", "7"});
  EXPECT_EQ(launch.Wait(), 7);
  EXPECT_EQ(launch.said(), "two wordswrong\n");  // A shell put the words together, as with ssh.
  Process killed(Launch("key", "kill -9 $$"));
  EXPECT_EQ(killed.Wait(), 128 + SIGKILL);
}

TEST_F(NodeTest, RefusesWhoDoesNotKnowTheKey) {
  Process launch(Launch("other-key", "touch " + Path("touched")));
  EXPECT_EQ(launch.Wait(), 78);
  EXPECT_NE(launch.said().find("the key is not this node's"), std::string::npos) << launch.said();
  EXPECT_FALSE(std::filesystem::exists(Path("touched")));
}

TEST_F(NodeTest, KillsWhatRunsWhenItsCallerIsGone) {
  // One in a session of its own, as ranks of Open MPI have a process group of theirs.
  Process launch(Launch("key", "setsid sh -c 'echo $$ >" + Path("rank") + "; exec sleep 300' & echo $$ >" +
                                   Path("daemon") + "; exec sleep 300"));
  const pid_t rank = PidIn("rank"), daemon = PidIn("daemon");
  ASSERT_EQ(kill(rank, 0), 0);
  launch.Signal(SIGKILL);
  EXPECT_TRUE(Gone(rank));
  EXPECT_TRUE(Gone(daemon));
}

TEST_F(NodeTest, ANewCommandEndsTheOldOne) {
  Process old(Launch("key", "echo $$ >" + Path("old") + "; exec sleep 300"));
  const pid_t pid = PidIn("old");
  Process young(Launch("key", "echo here"));
  EXPECT_EQ(young.Wait(), 0);
  EXPECT_EQ(young.said(), "here\n");
  EXPECT_TRUE(Gone(pid));
  EXPECT_EQ(old.Wait(), 128 + SIGKILL);
}

TEST_F(NodeTest, EndsWhenWhatRunsHasEnded) {
  Process launch(
      Launch("key", "echo $$ >" + Path("running") + "; until [ -e " + Path("go") + " ]; do sleep 0.05; done"));
  PidIn("running");
  node_->Signal(SIGTERM);
  node_->ReadUntil("ending when nothing runs");
  Process late(Launch("key", "echo late"));
  EXPECT_EQ(late.Wait(), 69) << late.said();
  EXPECT_TRUE(node_->running());
  std::ofstream(Path("go")) << "go";
  EXPECT_EQ(launch.Wait(), 0) << launch.said();
  EXPECT_EQ(node_->Wait(), 0) << node_->said();
}

TEST(NodeUsageTest, SaysWhatIsWrong) {
  Process no_key({"node", "--listen", "127.0.0.1:0", "--key-file", "/no/such/file"});
  EXPECT_EQ(no_key.Wait(), 78);
  EXPECT_NE(no_key.said().find("key-file"), std::string::npos) << no_key.said();
  Process no_port({"node", "--listen", "here", "--key-file", "/no/such/file"});
  EXPECT_EQ(no_port.Wait(), 64);
  Process no_command({"launch", "--key-file", "/no/such/file", "host"});
  EXPECT_EQ(no_command.Wait(), 64);
}

}  // namespace
}  // namespace unmask
