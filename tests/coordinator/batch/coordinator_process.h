// unmask-coordinator with a store, as a process that can be killed.
#ifndef UNMASK_TESTS_COORDINATOR_BATCH_COORDINATOR_PROCESS_H_
#define UNMASK_TESTS_COORDINATOR_BATCH_COORDINATOR_PROCESS_H_

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/coordinator/batch/scratch.h"
#include "tests/coordinator/test_service.h"

namespace unmask::testing {

class CoordinatorProcess {
 public:
  // In a folder of the caller's, which holds its files, and store/ unless `store` says otherwise.
  explicit CoordinatorProcess(const Scratch& folder, std::string store = "") {
    std::filesystem::create_directories(folder / "tiny");
    if (store.empty()) store = folder / "store";
    addresses_ = folder / "addresses.json";
    std::filesystem::remove(addresses_);
    std::vector<std::string> argv = {std::string(std::getenv("UNMASK_BIN_DIR")) + "/unmask-coordinator",
                                     "--listen=127.0.0.1:0",
                                     "--fleet-listen=127.0.0.1:0",
                                     "--admin-listen=127.0.0.1:0",
                                     "--model=" + (folder / "tiny"),
                                     "--store=" + store,
                                     "--address-file=" + addresses_};
    std::vector<char*> arguments;
    for (std::string& argument : argv) arguments.push_back(argument.data());
    arguments.push_back(nullptr);
    log_ = folder / "log";
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      dup2(open(log_.c_str(), O_CREAT | O_WRONLY | O_APPEND, 0600), STDERR_FILENO);
      execv(arguments[0], arguments.data());
      _exit(127);
    }
    EXPECT_TRUE(Eventually([&] { return std::filesystem::exists(addresses_); })) << ReadFile(log_);
  }
  ~CoordinatorProcess() { Kill(); }

  std::string Address(const std::string& port) const { return nlohmann::json::parse(ReadFile(addresses_)).at(port); }
  std::string log() const { return ReadFile(log_); }
  pid_t pid() const { return pid_; }
  // Returns once it is dead.
  void Kill() {
    if (pid_ == 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

 private:
  std::string addresses_;
  std::string log_;
  pid_t pid_ = 0;
};

}  // namespace unmask::testing

#endif  // UNMASK_TESTS_COORDINATOR_BATCH_COORDINATOR_PROCESS_H_
