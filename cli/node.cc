// `unmask node`: lends this host to a replica that starts elsewhere. See proto/unmask/internal/v1/node.proto.
#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/credential_files.h"
#include "base/exit_codes.h"
#include "base/log.h"
#include "base/mutex.h"
#include "cli/commands.h"
#include "cli/service_addresses.h"
#include "cluster/marked_processes.h"
#include "cluster/process.h"
#include "unmask/internal/v1/node.grpc.pb.h"

namespace unmask {
namespace {

constexpr char kDescription[] = "Lend this host to a replica that spans several: its first host starts ranks here";
constexpr char kFooter[] =
    "For `unmask replica --hosts ...` on the first host with OMPI_MCA_plm_rsh_agent=\"unmask launch --key-file FILE\" "
    "in its\n"
    "environment, in place of ssh. Who knows the key may run any command here. SIGTERM waits for what runs, and ends.";
constexpr int kPollMilliseconds = 100;
constexpr absl::Duration kPatience = absl::Seconds(5);  // With processes that were killed.

// No early end: a comparison tells nothing about where two keys differ.
bool SameKey(absl::string_view a, absl::string_view b) {
  unsigned char difference = a.size() == b.size() ? 0 : 1;
  for (size_t i = 0; i < b.size(); ++i) difference |= static_cast<unsigned char>(b[i] ^ (i < a.size() ? a[i] : 0));
  return difference == 0;
}

class Node final : public internal::v1::NodeService::Service {
 public:
  explicit Node(std::string key) : authorization_("Bearer " + key) {}

  grpc::Status Run(grpc::ServerContext* context, const internal::v1::RunRequest* request,
                   grpc::ServerWriter<internal::v1::RunEvent>* writer) override {
    const auto shown = context->client_metadata().find("authorization");
    if (shown == context->client_metadata().end() ||
        !SameKey({shown->second.data(), shown->second.size()}, authorization_)) {
      LogWarning("refused a command: the key of ", context->peer(), " is not ours");
      return {grpc::StatusCode::UNAUTHENTICATED, "the key is not this node's"};
    }
    if (closed_) return {grpc::StatusCode::UNAVAILABLE, "this node is ending"};
    const uint64_t run = ++last_run_;
    MutexLock lock(&one_at_a_time_);  // The last one sees that it is not the latest, and ends.
    if (!KillMarked(mark_, kPatience)) return {grpc::StatusCode::INTERNAL, "an earlier command does not die"};
    return Execute(*request, run, context, writer);
  }

  bool Busy() const { return !FindMarked(mark_).empty(); }
  void Close() { closed_ = true; }
  void KillAll() { KillMarked(mark_, kPatience); }

 private:
  grpc::Status Execute(const internal::v1::RunRequest& request, uint64_t run, grpc::ServerContext* context,
                       grpc::ServerWriter<internal::v1::RunEvent>* writer) {
    int pipe[2];
    if (pipe2(pipe, O_CLOEXEC) != 0) return {grpc::StatusCode::INTERNAL, "no pipe"};
    LogInfo("runs for ", context->peer());
    const absl::StatusOr<pid_t> child =
        StartProcess({.argv = {"/bin/sh", "-c", request.command()}, .environment = {{kMarkVariable, mark_}}}, pipe[1]);
    close(pipe[1]);
    if (!child.ok()) {
      close(pipe[0]);
      return {grpc::StatusCode::INTERNAL, std::string(child.status().message())};
    }
    bool killed = false;
    int wait_status = 0;
    for (bool open = true, ended = false; !ended;) {
      if (!killed && (context->IsCancelled() || run != last_run_)) killed = KillMarked(mark_, kPatience);
      ended = waitpid(*child, &wait_status, WNOHANG) == *child;
      if (!open && !ended) std::this_thread::sleep_for(std::chrono::milliseconds(kPollMilliseconds));
      // What the command leaves in the background may hold the pipe for ever: after its end, only what is there
      // already.
      if (open) open = PassOn(pipe[0], ended ? 0 : kPollMilliseconds, writer);
      while (ended && open && HasMore(pipe[0])) open = PassOn(pipe[0], 0, writer);
    }
    close(pipe[0]);
    internal::v1::RunEvent end;
    end.set_exit_code(ExitCodeFromWait(wait_status));
    writer->Write(end);
    LogInfo("the command ended: ", DescribeWait(wait_status));
    return grpc::Status::OK;
  }

  // Waits for output, `patience` milliseconds. False at its end.
  static bool PassOn(int from, int patience, grpc::ServerWriter<internal::v1::RunEvent>* writer) {
    pollfd ready = {.fd = from, .events = POLLIN, .revents = 0};
    if (poll(&ready, 1, patience) <= 0) return true;
    char buffer[4096];
    const ssize_t bytes = read(from, buffer, sizeof(buffer));
    if (bytes <= 0) return bytes < 0 && errno == EINTR;
    internal::v1::RunEvent event;
    event.set_output(buffer, bytes);
    writer->Write(event);
    return true;
  }

  static bool HasMore(int from) {
    pollfd ready = {.fd = from, .events = POLLIN, .revents = 0};
    return poll(&ready, 1, 0) > 0 && (ready.revents & POLLIN) != 0;
  }

  const std::string authorization_;
  const std::string mark_ = absl::StrCat("/unmask-node/", getpid());
  std::atomic<uint64_t> last_run_ = 0;
  std::atomic<bool> closed_ = false;
  Mutex one_at_a_time_;
};

struct NodeOptions {
  std::string listen = "0.0.0.0:50060";
  std::string key_file;
  int drain_timeout = 600;  // Seconds; 0: no limit.
};

// Waits for SIGTERM or SIGINT, and then for what runs.
void WaitForEnd(const sigset_t& signals, const NodeOptions& options, Node* node) {
  int signal = 0;
  sigwait(&signals, &signal);
  node->Close();
  LogInfo("ending when nothing runs here any more");
  const auto begin = std::chrono::steady_clock::now();
  const timespec pause = {.tv_sec = 0, .tv_nsec = kPollMilliseconds * 1'000'000};
  while (node->Busy()) {
    if (sigtimedwait(&signals, nullptr, &pause) > 0) break;  // A second signal.
    if (options.drain_timeout > 0 &&
        std::chrono::steady_clock::now() - begin > std::chrono::seconds(options.drain_timeout)) {
      break;
    }
  }
  node->KillAll();
}

int RunNode(const NodeOptions& options) {
  SetLogComponent("node");
  if (const absl::Status status = CheckAddress("listen", options.listen); !status.ok()) {
    LogError(status.message());
    return kExitUsage;
  }
  const absl::StatusOr<std::string> key = ReadToken(options.key_file, "key-file");
  if (!key.ok() || key->size() < 16) {
    LogError(key.ok() ? "key-file: the key has fewer than 16 bytes" : key.status().message());
    return kExitConfig;
  }
  sigset_t signals;
  sigemptyset(&signals);
  for (const int wanted : {SIGTERM, SIGINT}) sigaddset(&signals, wanted);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // In all threads: sigwait alone sees them.

  Node node(*key);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(options.listen, grpc::InsecureServerCredentials(), &port);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 15'000);  // Finds leaders whose machine is gone.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.RegisterService(&node);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port == 0) {
    LogError("cannot listen on ", options.listen);
    return kExitConfig;
  }
  LogInfo("lends this host on port ", port);
  WaitForEnd(signals, options, &node);
  server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
  return kExitOk;
}

}  // namespace

void AddNode(CLI::App* app, int* exit_code) {
  CLI::App* command = app->add_subcommand("node", kDescription);
  command->footer(kFooter);
  const auto options = std::make_shared<NodeOptions>();
  command->add_option("--listen", options->listen, "for the first host; not encrypted")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  command->add_option("--key-file", options->key_file, "the key that the first host shows, at least 16 bytes")
      ->type_name("FILE")
      ->required();
  command
      ->add_option("--drain-timeout", options->drain_timeout, "seconds that SIGTERM leaves to what runs; 0: no limit")
      ->check(CLI::NonNegativeNumber)
      ->type_name("SECONDS")
      ->capture_default_str();
  command->callback([options, exit_code] { *exit_code = RunNode(*options); });
}

}  // namespace unmask
