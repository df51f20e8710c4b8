#include "tests/support/service.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/support/patience.h"

namespace unmask::testing {
namespace {

constexpr auto kPoll = std::chrono::milliseconds(20);
const auto kReadyWithin = std::chrono::seconds(60) * Patience();

std::string MakeScratchDirectory() {
  std::string path = (std::filesystem::temp_directory_path() / "unmask-e2e-XXXXXX").string();
  if (mkdtemp(path.data()) == nullptr) ADD_FAILURE() << "mkdtemp";
  return path;
}

template <typename Reader>
Streamed ReadAll(std::unique_ptr<Reader> reader) {
  Streamed streamed;
  v1::GenerateStreamResponse event;
  while (reader->Read(&event)) {
    if (event.has_completed()) streamed.completed = event.completed();
    streamed.events.push_back(event);
  }
  streamed.status = reader->Finish();
  return streamed;
}

}  // namespace

std::string BinaryPath(const std::string& name) {
  const char* directory = std::getenv("UNMASK_BIN_DIR");
  return std::string(directory ? directory : "build/bin") + "/" + name;
}

Service::Service(const std::vector<std::string>& flags, const std::string& fleet_host)
    : directory_(MakeScratchDirectory()) {
  const std::string ready_file = directory_ + "/ready.json";
  const std::vector<std::string> no_replica = {"--replicas", "0"};
  const bool alone = std::search(flags.begin(), flags.end(), no_replica.begin(), no_replica.end()) != flags.end();
  std::vector<std::string> command = {BinaryPath("unmask"),
                                      "serve",
                                      "--listen",
                                      "127.0.0.1:0",
                                      "--fleet-listen",
                                      fleet_host + ":0",
                                      "--admin-listen",
                                      "127.0.0.1:0",
                                      alone ? "--address-file" : "--ready-file",
                                      ready_file};
  command.insert(command.end(), flags.begin(), flags.end());
  std::vector<char*> argv;
  for (std::string& word : command) argv.push_back(word.data());
  argv.push_back(nullptr);
  const std::string log = directory_ + "/serve.log";
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int out = open(log.c_str(), O_CREAT | O_WRONLY | O_APPEND, 0600);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    execv(argv[0], argv.data());
    _exit(127);
  }
  const auto deadline = std::chrono::steady_clock::now() + kReadyWithin;
  while (!std::filesystem::exists(ready_file)) {
    const bool ended = waitpid(pid_, nullptr, WNOHANG) == pid_;
    if (ended || std::chrono::steady_clock::now() > deadline) {
      std::ifstream file(log);
      ADD_FAILURE() << "unmask serve is not ready" << (ended ? " but ended" : "") << "; its log:\n" << file.rdbuf();
      if (ended) pid_ = -1;
      return;
    }
    std::this_thread::sleep_for(kPoll);
  }
  std::ifstream file(ready_file);
  const nlohmann::json ready = nlohmann::json::parse(file);
  address_ = ready.at("grpc");
  admin_ = ready.at("admin");
  fleet_address_ = ready.at("fleet");
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);  // It may come back at once.
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  channel_ = grpc::CreateCustomChannel(address_, grpc::InsecureChannelCredentials(), arguments);
  inference_ = v1::InferenceService::NewStub(channel_);
  models_ = v1::ModelService::NewStub(channel_);
  fleet_ = v1::FleetService::NewStub(channel_);
}

int Service::End(std::chrono::seconds limit) {
  kill(pid_, SIGTERM);
  const auto deadline = std::chrono::steady_clock::now() + limit * Patience();
  int status = 0;
  while (waitpid(pid_, &status, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > deadline) {
      ADD_FAILURE() << "unmask serve did not end on SIGTERM";
      kill(pid_, SIGKILL);
      waitpid(pid_, &status, 0);
      break;
    }
    std::this_thread::sleep_for(kPoll);
  }
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

Service::~Service() {
  if (pid_ > 0) End();
  if (::testing::Test::HasFailure()) {
    fprintf(stderr, "--- serve.log of the failed test\n%s---\n", Log().c_str());
  }
  std::filesystem::remove_all(directory_);
}

std::string Service::Log() const {
  std::ifstream log(directory_ + "/serve.log");
  return {std::istreambuf_iterator<char>(log), {}};
}

v1::GetFleetResponse Service::GetFleet() {
  grpc::ClientContext context;
  v1::GetFleetResponse response;
  const grpc::Status status = fleet_->GetFleet(&context, v1::GetFleetRequest(), &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response;
}

bool Service::WaitForReady(int ready) {
  const auto deadline = std::chrono::steady_clock::now() + kReadyWithin;
  while (std::chrono::steady_clock::now() < deadline) {
    int count = 0;
    const v1::GetFleetResponse shown = GetFleet();
    for (const auto& replica : shown.replicas()) count += replica.state() == v1::REPLICA_STATE_READY;
    if (count == ready) return true;
    std::this_thread::sleep_for(kPoll);
  }
  return false;
}

Streamed GenerateStream(Service& service, const v1::GenerateRequest& request) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(120) * Patience());
  return ReadAll(service.inference().GenerateStream(&context, request));
}

Streamed InfillStream(Service& service, const v1::InfillRequest& request) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(120) * Patience());
  return ReadAll(service.inference().InfillStream(&context, request));
}

std::string Identity(v1::GenerateResponse response) {
  response.clear_timing();
  response.clear_request_id();
  response.clear_replays();
  return response.SerializeAsString();
}

}  // namespace unmask::testing
