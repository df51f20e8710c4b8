#include "tests/reliability/faults.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "cluster/marked_processes.h"
#include "tests/support/golden.h"

namespace unmask::testing {
namespace {

namespace fs = std::filesystem;

constexpr auto kPoll = std::chrono::milliseconds(10);

std::string UserFolder(const std::string& temporary) { return temporary + "/unmask-" + std::to_string(geteuid()); }

}  // namespace

std::optional<Victim> ChooseVictim(Service& service, bool busy, std::minstd_rand* random) {
  const v1::GetFleetResponse fleet = service.GetFleet();
  std::vector<Victim> victims;
  for (const v1::ReplicaStatus& replica : fleet.replicas()) {
    if (replica.state() != v1::REPLICA_STATE_READY || (busy && replica.running() == 0)) continue;
    for (const v1::Rank& rank : replica.ranks()) {
      victims.push_back({replica.name(), "rank " + std::to_string(rank.rank()), rank.pid(), replica.epoch()});
    }
    victims.push_back({replica.name(), "launcher", replica.launcher_pid(), replica.epoch()});
  }
  if (victims.empty()) return std::nullopt;
  return victims[(*random)() % victims.size()];
}

bool WaitForNextLife(Service& service, const std::string& replica, uint64_t epoch, std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (std::chrono::steady_clock::now() < deadline) {
    const v1::GetFleetResponse fleet = service.GetFleet();
    for (const v1::ReplicaStatus& status : fleet.replicas()) {
      if (status.name() == replica && status.epoch() > epoch && status.state() == v1::REPLICA_STATE_READY) return true;
    }
    std::this_thread::sleep_for(kPoll);
  }
  return false;
}

pid_t CoordinatorOf(const Service& service) {
  for (const auto& entry : fs::directory_iterator("/proc")) {
    std::ifstream file(entry.path() / "stat");
    std::string pid, name, state;
    pid_t parent = 0;
    if (file >> pid >> name >> state >> parent && parent == service.pid() && name == "(unmask-coordina)") {
      return std::atoi(pid.c_str());
    }
  }
  return 0;
}

std::vector<std::string> ReplicaCommand(const Service& service, const std::string& name, int ranks,
                                        const std::vector<std::string>& flags) {
  std::vector<std::string> command = {BinaryPath("unmask"),
                                      "replica",
                                      "--coordinator",
                                      service.fleet_address(),
                                      "--name",
                                      name,
                                      "--model",
                                      SourcePath("tests/goldens/models/tiny-tp"),
                                      "--tensor-parallel",
                                      std::to_string(ranks),
                                      "--threads",
                                      "1",
                                      "--dtype",
                                      "fp32"};
  command.insert(command.end(), flags.begin(), flags.end());
  return command;
}

v1::ReplicaStatus StatusOf(Service& service, const std::string& replica) {
  const v1::GetFleetResponse fleet = service.GetFleet();
  for (const v1::ReplicaStatus& status : fleet.replicas()) {
    if (status.name() == replica) return status;
  }
  return {};
}

Sandbox::Sandbox() {
  const char* before = std::getenv("TMPDIR");
  if (before != nullptr) before_ = before;
  directory_ = "/tmp/umr-XXXXXX";
  if (mkdtemp(directory_.data()) == nullptr) ADD_FAILURE() << "mkdtemp";
  setenv("TMPDIR", directory_.c_str(), 1);
}

Sandbox::~Sandbox() {
  if (before_.empty()) {
    unsetenv("TMPDIR");
  } else {
    setenv("TMPDIR", before_.c_str(), 1);
  }
  fs::remove_all(directory_);
}

void Sandbox::Note() {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(UserFolder(directory_), ignored)) {
    shared_memory_.insert("/dev/shm/unmask-" + std::to_string(geteuid()) + "-" + entry.path().filename().string());
  }
}

std::vector<pid_t> Sandbox::Processes() const { return FindMarked(directory_); }

std::vector<std::string> Sandbox::Files() const {
  std::vector<std::string> files;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(directory_, ignored)) {
    const std::string path = entry.path().string();
    const bool of_the_test = entry.path().filename().string().rfind("unmask-e2e-", 0) == 0;
    if (path != UserFolder(directory_) && !of_the_test) files.push_back(path);
  }
  for (const auto& entry : fs::directory_iterator(UserFolder(directory_), ignored)) files.push_back(entry.path());
  for (const std::string& path : shared_memory_) {
    if (fs::exists(path)) files.push_back(path);
  }
  return files;
}

Process::Process(const std::vector<std::string>& command) {
  std::vector<std::string> words = command;
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_ = fork();
  if (pid_ != 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  execvp(argv[0], argv.data());
  _exit(127);
}

Process::~Process() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void Process::Kill(int signal) { kill(pid_, signal); }

int Process::Wait(std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  int status = 0;
  while (waitpid(pid_, &status, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > deadline) return -1;
    std::this_thread::sleep_for(kPoll);
  }
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace unmask::testing
