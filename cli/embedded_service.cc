#include "cli/embedded_service.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <fstream>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/exit_codes.h"
#include "base/status.h"
#include "cli/fleet_watch.h"
#include "cli/installation.h"
#include "cli/progress_bar.h"
#include "cli/service_addresses.h"
#include "cluster/process.h"
#include "cluster/runtime_directory.h"

namespace unmask {
namespace {

constexpr char kExitCodePayload[] = "unmask/exit-code";
constexpr absl::Duration kPoll = absl::Milliseconds(25);
constexpr absl::Duration kProbeTime = absl::Milliseconds(500);
constexpr absl::Duration kGrace = absl::Seconds(5);

absl::StatusCode CodeOf(int exit_code) {
  switch (exit_code) {
    case kExitUsage:
      return absl::StatusCode::kInvalidArgument;
    case kExitData:
      return absl::StatusCode::kDataLoss;
    case kExitUnavailable:
      return absl::StatusCode::kUnavailable;
    case kExitConfig:
      return absl::StatusCode::kFailedPrecondition;
    default:
      return absl::StatusCode::kInternal;
  }
}

// The last error that serve logged, without its time and component.
std::string LastError(const std::string& log) {
  constexpr char kMarker[] = " E serve: ";
  std::ifstream file(log);
  std::string message = "the embedded service did not start";
  for (std::string line; std::getline(file, line);) {
    if (const size_t at = line.find(kMarker); at != std::string::npos) message = line.substr(at + sizeof(kMarker) - 1);
  }
  return message;
}

class ServeProcess : public EmbeddedService {
 public:
  ServeProcess(std::unique_ptr<RuntimeDirectory> directory, pid_t pid) : directory_(std::move(directory)), pid_(pid) {}

  ~ServeProcess() override {
    if (exit_code_.has_value()) return;
    kill(pid_, SIGTERM);
    const auto deadline = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(kGrace);
    while (!Ended()) {
      if (std::chrono::steady_clock::now() > deadline) kill(pid_, SIGKILL);  // Its own janitor clears up after it.
      absl::SleepFor(kPoll);
    }
  }

  const std::string& address() const override { return address_; }

  absl::Status AwaitReady(bool show_progress) {
    ProgressBar bar(/*plain_lines=*/false);
    std::unique_ptr<FleetProbe> probe;
    while (!Ended()) {
      if (const auto ready = ReadAddresses(ReadyFile()); ready.ok()) {
        address_ = ready->grpc;
        return absl::OkStatus();
      }
      if (probe == nullptr && show_progress) {
        const auto bound = ReadAddresses(AddressFile());
        if (bound.ok()) probe = std::make_unique<FleetProbe>(bound->grpc);
      }
      v1::GetFleetResponse fleet;
      if (probe != nullptr && probe->Ask(kProbeTime, &fleet)) {
        const v1::LoadingProgress loading = TotalLoading(fleet);
        if (loading.bytes_total() > 0) bar.Show("Loading", loading.bytes_done(), loading.bytes_total());
      }
      absl::SleepFor(kPoll);
    }
    bar.Clear();
    return WithExitCode(absl::Status(CodeOf(*exit_code_), LastError(LogFile())), *exit_code_);
  }

  static std::string LogFileIn(const RuntimeDirectory& directory) { return directory.path() + "/serve.log"; }
  static std::string ReadyFileIn(const RuntimeDirectory& directory) { return directory.path() + "/ready.json"; }
  static std::string AddressFileIn(const RuntimeDirectory& directory) { return directory.path() + "/addresses.json"; }

 private:
  std::string LogFile() const { return LogFileIn(*directory_); }
  std::string ReadyFile() const { return ReadyFileIn(*directory_); }
  std::string AddressFile() const { return AddressFileIn(*directory_); }

  bool Ended() {
    int wait_status;
    if (!exit_code_.has_value() && waitpid(pid_, &wait_status, WNOHANG) == pid_) {
      exit_code_ = ExitCodeFromWait(wait_status);
    }
    return exit_code_.has_value();
  }

  const std::unique_ptr<RuntimeDirectory> directory_;  // Holds the files by which serve speaks to us.
  const pid_t pid_;
  std::optional<int> exit_code_;
  std::string address_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<EmbeddedService>> EmbeddedService::Start(const EmbeddedServiceOptions& options) {
  UNMASK_ASSIGN_OR_RETURN(std::unique_ptr<RuntimeDirectory> directory, RuntimeDirectory::Create());
  UNMASK_ASSIGN_OR_RETURN(const std::string program, SisterProgram("unmask"));
  constexpr char kAnyPort[] = "127.0.0.1:0";
  Command serve;
  serve.argv = {program,
                "serve",
                "--listen",
                kAnyPort,
                "--fleet-listen",
                kAnyPort,
                "--admin-listen",
                kAnyPort,
                "--ready-file",
                ServeProcess::ReadyFileIn(*directory),
                "--address-file",
                ServeProcess::AddressFileIn(*directory),
                "--replicas",
                "1",
                "--tensor-parallel",
                absl::StrCat(options.tensor_parallel),
                "--dtype",
                options.dtype,
                "--threads",
                absl::StrCat(options.threads)};
  // The command's own, or another service's: here they would ask for TLS and tokens on the loopback, for a port that
  // all can reach, for a log that we do not read.
  for (const char* variable :
       {"TLS_CA", "TLS_CERT", "TLS_KEY", "TLS_CLIENT_CA", "FLEET_TLS_CA", "FLEET_TLS_CERT", "FLEET_TLS_KEY",
        "FLEET_TLS_CLIENT_CA", "AUTH_TOKENS", "TOKEN_FILE", "LOG_FORMAT", "STORE", "HTTP_LISTEN", "CHECK_CONFIG"}) {
    serve.environment.emplace_back(absl::StrCat("UNMASK_", variable), "");
  }
  if (options.model.empty()) {  // The embedded one, whatever is served elsewhere.
    for (const char* variable : {"MODEL", "MODEL_NAME", "WEIGHTS_DIGEST"}) {
      serve.environment.emplace_back(absl::StrCat("UNMASK_", variable), "");
    }
  }
  if (!options.store.empty()) serve.argv.insert(serve.argv.end(), {"--store", options.store});
  if (!options.model.empty()) serve.argv.insert(serve.argv.end(), {"--model", options.model});
  // To a file, not a pipe: nobody need read it, and serve never waits for us.
  const std::string log_file = ServeProcess::LogFileIn(*directory);
  const int log = open(log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (log < 0) return absl::ErrnoToStatus(errno, log_file);
  const absl::StatusOr<pid_t> pid = StartProcess(serve, log);
  close(log);
  if (!pid.ok()) return pid.status();
  auto service = std::make_unique<ServeProcess>(std::move(directory), *pid);
  UNMASK_RETURN_IF_ERROR(service->AwaitReady(options.show_progress));
  return service;
}

absl::Status WithExitCode(absl::Status status, int exit_code) {
  status.SetPayload(kExitCodePayload, absl::Cord(absl::StrCat(exit_code)));
  return status;
}

int ExitCodeOf(const absl::Status& status) {
  if (const absl::optional<absl::Cord> payload = status.GetPayload(kExitCodePayload); payload.has_value()) {
    int exit_code;
    if (absl::SimpleAtoi(std::string(*payload), &exit_code)) return exit_code;
  }
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kExitOk;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
      return kExitUsage;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kDeadlineExceeded:
      return kExitUnavailable;
    default:
      return kExitSoftware;
  }
}

}  // namespace unmask
