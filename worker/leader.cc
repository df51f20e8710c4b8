#include "worker/leader.h"

#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/exit_codes.h"
#include "base/log.h"

namespace unmask {
namespace {

using internal::v1::CoordinatorMessage;
using internal::v1::ReplicaMessage;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kFirstPause{100};  // Between connections; doubles up to
constexpr milliseconds kLongestPause{2000};
constexpr milliseconds kLastChance{1000};  // Of a step that the coordinator does not wait for any more.
constexpr milliseconds kTick{200};         // Of loading progress.
constexpr int kTicksPerHeartbeat = 5;
constexpr int kLargestMessage = 64 << 20;  // Bytes.

// At least TLS 1.2; the coordinator's certificate must lead to the CA and name the host that was dialled.
std::shared_ptr<grpc::ChannelCredentials> ChannelCredentials(const TlsFiles& files) {
  if (files.empty()) return grpc::InsecureChannelCredentials();
  grpc::experimental::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
      files.key, files.cert, files.ca, /*refresh_interval_sec=*/1));
  options.watch_root_certs();
  if (!files.cert.empty()) options.watch_identity_key_cert_pairs();
  return grpc::experimental::TlsCredentials(options);
}

std::shared_ptr<grpc::Channel> Dial(const std::string& address, const TlsFiles& tls) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kLargestMessage);
  // A coordinator whose machine is gone says nothing: pings find out. Its port allows one every 10 s.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 15'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, static_cast<int>(kFirstPause.count()));
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, static_cast<int>(kLongestPause.count()));  // For one attempt.
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, static_cast<int>(kLongestPause.count()));
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);  // The fleet's network is never reached through a proxy.
  return grpc::CreateCustomChannel(address, ChannelCredentials(tls), arguments);
}

}  // namespace

Leader::Leader(const LeaderOptions& options, internal::v1::ReplicaDescription description)
    : options_(options),
      description_(std::move(description)),
      stub_(internal::v1::FleetLinkService::NewStub(Dial(options.coordinator, options.tls))),
      state_file_(options.state_file) {
  link_ = std::thread([this] { Link(); });
  pulse_ = std::thread([this] { Pulse(); });
}

Leader::~Leader() {
  {
    MutexLock lock(&state_mutex_);
    ended_ = true;
    if (context_ != nullptr) context_->TryCancel();
    changed_.SignalAll();
  }
  link_.join();
  pulse_.join();
}

void Leader::SetLoading(int64_t bytes_done, int64_t bytes_total) {
  MutexLock lock(&write_mutex_);
  loading_.set_bytes_done(bytes_done);
  loading_.set_bytes_total(bytes_total);
  loading_changed_ = true;
}

void Leader::SetReady(const internal::v1::ReplicaReady& ready) {
  MutexLock lock(&write_mutex_);
  ready_ = ready;
  ReplicaMessage message;
  *message.mutable_ready() = ready;
  Write(message);
}

void Leader::Send(const internal::v1::StepResult& result) {
  MutexLock lock(&write_mutex_);
  if (result.epoch() != epoch_) return;
  ReplicaMessage message;
  *message.mutable_result() = result;
  Write(message);
}

std::optional<CoordinatorMessage> Leader::Next() {
  MutexLock lock(&state_mutex_);
  computing_ = false;
  changed_.SignalAll();
  while (heard_.empty() && !ended_) changed_.Wait(&state_mutex_);
  if (ended_) return std::nullopt;
  computing_ = true;
  CoordinatorMessage message = std::move(heard_.front());
  heard_.pop_front();
  return message;
}

void Leader::Drain() {
  {
    MutexLock lock(&state_mutex_);
    if (drain_until_.has_value()) return;
    drain_until_ = steady_clock::now() + options_.drain_timeout;
    if (!attached_) {  // Nobody has anything here.
      ended_ = true;
      if (context_ != nullptr) context_->TryCancel();
    }
    changed_.SignalAll();
  }
  MutexLock lock(&write_mutex_);
  ReplicaMessage message;
  message.mutable_draining();
  Write(message);
}

bool Leader::draining() const {
  MutexLock lock(&state_mutex_);
  return drain_until_.has_value();
}

bool Leader::cut_off() const {
  MutexLock lock(&state_mutex_);
  return cut_off_;
}

// A failed write needs no care: the stream's reader sees its end.
void Leader::Write(const ReplicaMessage& message) {
  if (stream_ != nullptr) stream_->Write(message);
}

void Leader::Link() {
  milliseconds pause = kFirstPause;
  do {
    const auto begin = steady_clock::now();
    Connect();
    pause = steady_clock::now() - begin > kLongestPause ? kFirstPause : std::min(2 * pause, kLongestPause);
  } while (Rest(pause));
}

// The coordinator has given up on a step. If it does not come back now either, a rank hangs, and nothing but a new
// start of all ranks helps: connected again, this one would only get more work that it cannot do.
void Leader::EndIfStuck() {
  MutexLock lock(&state_mutex_);
  const auto limit = steady_clock::now() + kLastChance;
  while (computing_ && !ended_ && steady_clock::now() < limit) changed_.WaitUntil(&state_mutex_, limit);
  if (!computing_ || ended_) return;
  LogError("a step is stuck: ending");
  std::_Exit(kExitSoftware);
}

// Between two connections; false where there is to be no other.
bool Leader::Rest(milliseconds pause) {
  MutexLock lock(&state_mutex_);
  if (drain_until_.has_value()) ended_ = true;
  const auto next = steady_clock::now() + pause;
  while (!ended_ && steady_clock::now() < next) changed_.WaitUntil(&state_mutex_, next);
  if (ended_) changed_.SignalAll();
  return !ended_;
}

void Leader::Connect() {
  grpc::ClientContext context;
  context.set_wait_for_ready(true);  // The coordinator may come up after its replicas.
  {
    MutexLock lock(&state_mutex_);
    if (ended_) return;
    context_ = &context;
  }
  const auto stream = stub_->Attach(&context);
  if (Greet(stream.get())) {
    CoordinatorMessage message;
    while (stream->Read(&message)) {
      MutexLock lock(&state_mutex_);
      heard_.push_back(std::move(message));
      changed_.SignalAll();
    }
  }
  {
    MutexLock lock(&write_mutex_);
    stream_ = nullptr;
  }
  const grpc::Status status = stream->Finish();
  {
    MutexLock lock(&state_mutex_);
    context_ = nullptr;
    attached_ = false;
    heard_.clear();  // Steps of a connection that is gone.
    if (drain_until_.has_value() && status.ok()) {
      LogInfo("drained");
    } else if (!ended_) {
      LogWarning("the coordinator at ", options_.coordinator, " is gone: ", status.error_message());
    }
  }
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) EndIfStuck();
}

// The first words on both sides. False where the stream ended instead.
bool Leader::Greet(Stream* stream) {
  ReplicaMessage hello;
  *hello.mutable_description() = description_;
  CoordinatorMessage welcome;
  if (!stream->Write(hello) || !stream->Read(&welcome)) return false;
  if (!welcome.has_attached()) {  // No coordinator of ours; it may keep the stream open for ever.
    MutexLock lock(&state_mutex_);
    context_->TryCancel();
    return false;
  }
  LogInfo("attached to the coordinator at ", options_.coordinator, ", epoch ", welcome.attached().epoch());

  MutexLock write_lock(&write_mutex_);
  {
    MutexLock lock(&state_mutex_);
    attached_ = true;
    heard_.push_back(welcome);
    changed_.SignalAll();
  }
  stream_ = stream;
  epoch_ = welcome.attached().epoch();
  ReplicaMessage message;
  if (ready_.has_value()) {
    *message.mutable_ready() = *ready_;
  } else {
    *message.mutable_loading() = loading_;
  }
  Write(message);
  return true;
}

std::string Leader::State() {
  if (draining()) return "draining";
  if (stream_ == nullptr) return absl::StrCat("waiting for the coordinator at ", options_.coordinator);
  if (ready_.has_value()) return "ready";
  return absl::StrCat("loading: ", loading_.bytes_done() >> 20, " of ", loading_.bytes_total() >> 20, " MiB");
}

void Leader::Pulse() {
  for (int tick = 0;; ++tick) {
    {
      MutexLock lock(&state_mutex_);
      const auto next = steady_clock::now() + kTick;
      while (!ended_ && steady_clock::now() < next) changed_.WaitUntil(&state_mutex_, next);
      if (ended_) return;
      if (drain_until_.has_value() && steady_clock::now() >= *drain_until_ && context_ != nullptr) {
        LogWarning("draining took longer than ", options_.drain_timeout.count(), " s");
        cut_off_ = true;
        context_->TryCancel();
      }
    }
    MutexLock lock(&write_mutex_);
    ReplicaMessage message;
    if (loading_changed_ && !ready_.has_value()) {
      loading_changed_ = false;
      *message.mutable_loading() = loading_;
      Write(message);
    }
    if (tick % kTicksPerHeartbeat == 0) {
      message.mutable_heartbeat();
      Write(message);
    }
    if (state_file_.watched()) state_file_.Say(State());
  }
}

}  // namespace unmask
