// `unmask launch`: what mpirun calls in place of ssh, to run a command on a host where `unmask node` listens.
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/credential_files.h"
#include "base/exit_codes.h"
#include "base/log.h"
#include "cli/channel.h"
#include "cli/commands.h"
#include "unmask/internal/v1/node.grpc.pb.h"

namespace unmask {
namespace {

constexpr char kDescription[] =
    "Run a command on a host that `unmask node` lends: HOST COMMAND..., a launch agent for --hosts";
constexpr char kUsage[] = "unmask launch [OPTIONS] HOST COMMAND...";

struct LaunchOptions {
  std::string key_file;
  int port = 50060;
  int wait = 120;  // Seconds.
};

int RunLaunch(const LaunchOptions& options, std::vector<std::string> words) {
  SetLogComponent("launch");
  if (words.size() < 2) {
    LogError("usage: ", kUsage);
    return kExitUsage;
  }
  Credentials credentials;
  const absl::StatusOr<std::string> key = ReadToken(options.key_file, "key-file");
  if (!key.ok()) {
    LogError(key.status().message());
    return kExitConfig;
  }
  credentials.token = *key;
  // mpirun may say user@host.
  const std::string host = std::vector<std::string>(absl::StrSplit(words[0], '@')).back();
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 15'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2'000);
  // The name may still be that of a pod that is gone, where nothing refuses a connection: gRPC would try it for 20 s,
  // and look the name up again after 30.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5'000);
  arguments.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, 1'000);
  const auto channel = Dial(absl::StrCat(host, ":", options.port), credentials, arguments);
  // The other host may be starting, and its name not known yet.
  if (!channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(options.wait))) {
    LogError("nobody lends ", host, ": nothing answers on port ", options.port, " for ", options.wait, " s");
    return kExitUnavailable;
  }
  grpc::ClientContext context;
  Authorize(credentials, &context);
  internal::v1::RunRequest request;
  request.set_command(absl::StrJoin(words.begin() + 1, words.end(), " "));
  const auto reader = internal::v1::NodeService::NewStub(channel)->Run(&context, request);
  int exit_code = kExitSoftware;
  internal::v1::RunEvent event;
  while (reader->Read(&event)) {
    if (event.has_exit_code()) exit_code = event.exit_code();
    [[maybe_unused]] const ssize_t written = write(STDOUT_FILENO, event.output().data(), event.output().size());
  }
  if (const grpc::Status status = reader->Finish(); !status.ok()) {
    LogError(host, ": ", status.error_message());
    return status.error_code() == grpc::StatusCode::UNAUTHENTICATED ? kExitConfig : kExitUnavailable;
  }
  return exit_code;
}

}  // namespace

void AddLaunch(CLI::App* app, int* exit_code) {
  CLI::App* command = app->add_subcommand("launch", kDescription);
  const auto options = std::make_shared<LaunchOptions>();
  command->add_option("--key-file", options->key_file, "the node's key")->type_name("FILE")->required();
  command->add_option("--port", options->port, "of the node")->check(CLI::Range(1, 65535))->capture_default_str();
  command->add_option("--wait", options->wait, "seconds for the node to answer")
      ->check(CLI::PositiveNumber)
      ->type_name("SECONDS")
      ->capture_default_str();
  command->prefix_command();  // From HOST on, flags are the command's.
  command->callback([command, options, exit_code] { *exit_code = RunLaunch(*options, command->remaining()); });
}

}  // namespace unmask
