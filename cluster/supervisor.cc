#include "cluster/supervisor.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/exit_codes.h"
#include "base/log.h"
#include "base/status.h"
#include "cluster/marked_processes.h"

namespace unmask {
namespace {

constexpr absl::Duration kKillLimit = absl::Seconds(2);
constexpr size_t kLongestLine = 16384;  // What is longer comes in pieces.
constexpr absl::Duration kLifeCheck = absl::Seconds(1);

bool NeverAgain(int exit_code) { return exit_code == kExitUsage || exit_code == kExitData || exit_code == kExitConfig; }

}  // namespace

Supervisor::Supervisor(EventLoop* loop, const RuntimeDirectory* runtime, SupervisorOptions options)
    : loop_(loop),
      runtime_(runtime),
      options_(std::move(options)),
      backoff_(options_.backoff),
      random_(std::random_device()()) {}

Supervisor::~Supervisor() {
  for (const auto& timer : {timer_, life_timer_}) {
    if (timer.has_value()) loop_->Cancel(*timer);
  }
  if (state_ != State::kRunning) return;
  loop_->OnExit(pid_, [](int) {});
  Sweep();
}

absl::Duration Supervisor::age() const {
  if (state_ != State::kRunning) return absl::ZeroDuration();
  return absl::FromChrono(std::chrono::steady_clock::now() - started_);
}

void Supervisor::Start() { Launch(); }

void Supervisor::Launch() {
  timer_.reset();
  const std::string life = absl::StrCat("/", options_.name, ".", incarnation_.restarts);
  incarnation_.directory = runtime_->path() + life;
  incarnation_.shared_memory = runtime_->shared_memory() + life;
  incarnation_.life_file = incarnation_.shared_memory + "/life";  // A busy disk is no death.
  for (const std::string& folder : {incarnation_.directory, incarnation_.shared_memory}) {
    if (mkdir(folder.c_str(), 0700) == 0 || errno == EEXIST) continue;
    return CannotLaunch(absl::ErrnoToStatus(errno, folder));
  }
  absl::StatusOr<Command> command = options_.command(incarnation_);
  if (!command.ok()) return End(kExitConfig, std::string(command.status().message()));
  command->environment.emplace_back(kMarkVariable, incarnation_.directory);

  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return CannotLaunch(absl::ErrnoToStatus(errno, "a pipe"));
  fcntl(ends[1], F_SETFL, 0);  // The child's end blocks: a slow reader must not cost it lines.
  const absl::StatusOr<pid_t> pid = StartProcess(*command, ends[1]);
  close(ends[1]);
  if (!pid.ok()) {
    close(ends[0]);
    return CannotLaunch(Annotate(pid.status(), absl::StrCat("cannot start ", options_.name)));
  }
  pid_ = *pid;
  output_ = ends[0];
  state_ = State::kRunning;
  fruitful_ = false;
  started_ = std::chrono::steady_clock::now();
  last_line_.clear();
  last_error_.clear();
  loop_->WatchFd(output_, [this] { ReadOutput(); });
  loop_->OnExit(pid_, [this](int wait_status) { Exited(wait_status); });
  if (!options_.life_signs.has_value()) return;
  life_sign_.clear();
  life_stage_.clear();
  silent_checks_ = 0;
  life_timer_ = loop_->After(kLifeCheck, [this] { CheckLife(); });
}

// Where it could be started before, this machine lacks something for a while: processes, memory, a place on its disk.
void Supervisor::CannotLaunch(const absl::Status& why) {
  const bool lasting = absl::IsNotFound(why) || absl::IsPermissionDenied(why);
  if (incarnation_.restarts == 0 || lasting) return End(kExitConfig, std::string(why.message()));
  LaunchLater(std::string(why.message()), absl::ZeroDuration());
}

void Supervisor::LaunchLater(const std::string& why, absl::Duration healthy_for) {
  const absl::Duration wait = backoff_.Next(healthy_for, std::uniform_real_distribution<>(0, 1)(random_));
  LogWarning(why, "; start ", incarnation_.restarts + 1, " follows in ",
             absl::FormatDuration(absl::Trunc(wait, absl::Milliseconds(1))));
  state_ = State::kWaiting;
  timer_ = loop_->After(wait, [this] { Launch(); });
}

// False where it is as before.
bool Supervisor::ReadLifeSign() {
  std::ifstream file(incarnation_.life_file);
  std::string sign;
  if (!std::getline(file, sign) || sign == life_sign_) return false;
  life_sign_ = sign;
  std::istringstream words(sign);
  uint64_t beats = 0;
  uint64_t steps = 0;
  if (words >> beats >> steps && steps > 0) fruitful_ = true;
  words >> life_stage_;
  return true;
}

// Counts checks, not time: where we, or the whole machine, were stopped for a while, it was not the program that was
// silent.
void Supervisor::CheckLife() {
  life_timer_.reset();
  silent_checks_ = ReadLifeSign() && !over() ? 0 : silent_checks_ + 1;
  const LifeSigns& signs = *options_.life_signs;
  const absl::Duration limit = over() ? signs.leaving : life_sign_.empty() ? signs.first : signs.silence;
  if (silent_checks_ * kLifeCheck > limit) {
    const absl::string_view reason =
        over() ? "it is over, and has not ended after " : "it has shown no sign of life for ";
    return Restart(absl::StrCat(reason, absl::FormatDuration(limit)));
  }
  if (stopping_ && !life_sign_.empty() && life_stage_ == "serving") SendSigterm();
  life_timer_ = loop_->After(kLifeCheck, [this] { CheckLife(); });
}

// False when there is nothing to read now.
bool Supervisor::ReadOutput() {
  char buffer[4096];
  const ssize_t got = read(output_, buffer, sizeof(buffer));
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (got <= 0) {  // All of them closed it; how they ended, Exited() will hear.
    CloseOutput();
    return false;
  }
  absl::string_view rest(buffer, static_cast<size_t>(got));
  for (size_t end; (end = rest.find('\n')) != absl::string_view::npos; rest.remove_prefix(end + 1)) {
    absl::StrAppend(&partial_line_, rest.substr(0, end));
    TakeLine(partial_line_);
    partial_line_.clear();
  }
  absl::StrAppend(&partial_line_, rest);
  if (partial_line_.size() >= kLongestLine) TakeLine(std::exchange(partial_line_, ""));
  return true;
}

void Supervisor::CloseOutput() {
  if (output_ < 0) return;
  loop_->UnwatchFd(output_);
  close(output_);
  output_ = -1;
}

void Supervisor::TakeLine(absl::string_view line) {
  if (line.empty()) return;
  last_line_ = std::string(line);
  if (std::string message = ErrorMessageOfLogLine(line); !message.empty()) last_error_ = std::move(message);
  if (options_.on_line) options_.on_line(line);
}

void Supervisor::Sweep() {
  // Itself first: a mark can only be read once the program is executed.
  if (pid_ > 0) kill(pid_, SIGKILL);
  if (!KillMarked(incarnation_.directory, kKillLimit)) {
    LogWarning(options_.name, ": some of its processes do not die");
  }
  while (output_ >= 0 && ReadOutput()) {  // What it still said.
  }
  CloseOutput();
  TakeLine(std::exchange(partial_line_, ""));
  std::error_code ignored;
  std::filesystem::remove_all(incarnation_.directory, ignored);
  std::filesystem::remove_all(incarnation_.shared_memory, ignored);
  pid_ = 0;
}

void Supervisor::Exited(int wait_status) {
  const absl::Duration ran = age();
  pid_ = 0;
  ReadLifeSign();  // Its last words.
  Sweep();
  state_ = State::kIdle;
  for (auto* timer : {&timer_, &life_timer_}) {
    if (timer->has_value()) loop_->Cancel(**timer);
    timer->reset();
  }

  const int exit_code = stopping_ && over() ? kExitOk : ExitCodeFromWait(wait_status);
  const std::string how = DescribeWait(wait_status);
  if (stopping_ || NeverAgain(exit_code)) {
    return End(exit_code, !last_error_.empty() ? last_error_ : !last_line_.empty() ? last_line_ : how);
  }
  ++incarnation_.restarts;
  LaunchLater(absl::StrCat(options_.name, " ended with ", how), fruitful_ ? absl::InfiniteDuration() : ran);
}

void Supervisor::SendSigterm() {
  const pid_t rank_zero = FindRankZero(incarnation_.directory);
  kill(rank_zero > 0 ? rank_zero : pid_, SIGTERM);
}

void Supervisor::Stop(absl::Duration grace) {
  stopping_ = true;
  if (state_ == State::kEnded) return;
  if (timer_.has_value()) loop_->Cancel(*timer_);
  timer_.reset();
  if (state_ != State::kRunning) return End(kExitOk, "stopped while it was down");
  SendSigterm();
  if (grace == absl::InfiniteDuration()) return;
  timer_ = loop_->After(grace, [this] {
    timer_.reset();
    kill(pid_, SIGKILL);  // Exited() sweeps up the rest.
    KillMarked(incarnation_.directory, kKillLimit);
  });
}

void Supervisor::Restart(absl::string_view reason) {
  if (state_ != State::kRunning) return;
  LogWarning(options_.name, " is killed: ", reason);
  kill(pid_, SIGKILL);
  KillMarked(incarnation_.directory, kKillLimit);
}

void Supervisor::End(int exit_code, const std::string& message) {
  state_ = State::kEnded;
  if (options_.on_ended) options_.on_ended({exit_code, message, /*unasked=*/!stopping_});
}

}  // namespace unmask
