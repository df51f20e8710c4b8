#include "coordinator/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/impl/service_type.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "coordinator/access.h"
#include "coordinator/admin_server.h"
#include "coordinator/batch/runner.h"
#include "coordinator/fleet_link.h"
#include "coordinator/health.h"
#include "coordinator/host_port.h"
#include "coordinator/http/http_server.h"
#include "coordinator/metrics.h"
#include "coordinator/services.h"
#include "coordinator/tls.h"

namespace unmask {
namespace {

constexpr int kMiB = 1 << 20;
constexpr int kMaxPublicRequest = 4 * kMiB;  // gRPC's own default, stated.
constexpr int kMaxFleetMessage = 64 * kMiB;  // Candidates with margin and entropy for a large step.
constexpr int kMaxCallsPerConnection = 1024;

// Cut-off calls get this long to tell their clients.
constexpr std::chrono::seconds kShutdownGrace(1);

void ConfigureBoth(grpc::ServerBuilder* builder) {
  builder->AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // A taken port is an error, not half of the traffic.
  // Clients may ping idle connections every 10 s; gRPC's default would hang up on them.
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
}

void ConfigurePublic(grpc::ServerBuilder* builder) {
  ConfigureBoth(builder);
  builder->SetMaxReceiveMessageSize(kMaxPublicRequest);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxCallsPerConnection);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  // So that clients spread over new coordinators in time. Calls under way finish.
  builder->AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, 30 * 60'000);
}

// No age limit: a replica's stream lasts as long as the replica.
void ConfigureFleet(grpc::ServerBuilder* builder) {
  ConfigureBoth(builder);
  builder->SetMaxReceiveMessageSize(kMaxFleetMessage);
  builder->SetMaxSendMessageSize(kMaxFleetMessage);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 5'000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5'000);
}

// Reflection is in every server of a program that is linked with it. This takes it out of one.
class WithoutReflection final : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    const std::string reflection = grpc::reflection::ProtoServerReflectionPlugin().name();
    const auto is_it = [&](const auto& plugin) { return plugin->name() == reflection; };
    plugins->erase(std::remove_if(plugins->begin(), plugins->end(), is_it), plugins->end());
  }
};

// Starts a server on *address, which then holds the port taken. role: for the error.
absl::StatusOr<std::unique_ptr<grpc::Server>> Listen(grpc::ServerBuilder* builder, const char* role,
                                                     const std::shared_ptr<grpc::ServerCredentials>& credentials,
                                                     std::string* address) {
  UNMASK_ASSIGN_OR_RETURN(HostPort host_port, ParseHostPort(*address));
  int port = 0;
  builder->AddListeningPort(host_port.ToString(), credentials, &port);
  std::unique_ptr<grpc::Server> server = builder->BuildAndStart();
  if (!server || port == 0) {
    return absl::FailedPreconditionError(absl::StrCat("the ", role, " address ", *address, " cannot be bound"));
  }
  host_port.port = port;
  *address = host_port.ToString();
  return server;
}

void EnablePlugins() {
  static std::once_flag once;
  std::call_once(once, [] {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  });
}

FleetOptions Observed(FleetOptions options, FleetObserver* observer) {
  options.observer = observer;
  return options;
}

class GrpcServer final : public Server {
 public:
  explicit GrpcServer(ServerOptions options)
      : options_(std::move(options)),
        metrics_(options_.version, options_.expected_replicas),
        fleet_(Observed(options_.model, &metrics_)),
        door_(&fleet_, options_.max_open_requests) {}

  // Admin first, since it shows the others; then the public ports, whose calls need the replicas until they end; then
  // those.
  ~GrpcServer() override {
    admin_.reset();
    door_.Drain();
    health_.reset();
    http_.reset();
    if (public_) public_->Shutdown(std::chrono::system_clock::now() + kShutdownGrace);
    if (link_) link_->Shutdown(std::chrono::system_clock::now());
  }

  absl::Status Start() {
    EnablePlugins();
    UNMASK_ASSIGN_OR_RETURN(const auto public_credentials, PortCredentials(options_.tls, "tls"));
    UNMASK_ASSIGN_OR_RETURN(const auto fleet_credentials, PortCredentials(options_.fleet_tls, "fleet-tls"));
    if (!options_.auth_tokens.empty()) UNMASK_RETURN_IF_ERROR(access_.Require(options_.auth_tokens));
    const ServiceContext context = {.fleet = &fleet_, .door = &door_, .metrics = &metrics_, .access = &access_};
    if (!options_.store.empty()) {
      UNMASK_ASSIGN_OR_RETURN(batch_runner_, BatchRunner::Start(context, options_.store));
    }
    inference_ = MakeInferenceService(context);
    batch_ = MakeBatchService(context, batch_runner_.get());
    model_ = MakeModelService(context, options_.model);
    fleet_status_ = MakeFleetService(context);
    fleet_link_ = MakeFleetLinkService(&fleet_, options_.lease);

    grpc::ServerBuilder public_builder;
    ConfigurePublic(&public_builder);
    for (auto* service : {inference_.get(), batch_.get(), model_.get(), fleet_status_.get()}) {
      public_builder.RegisterService(service);
    }
    if (!options_.auth_tokens.empty() && !options_.open_reflection) {
      public_builder.SetOption(std::make_unique<WithoutReflection>());
    }
    UNMASK_ASSIGN_OR_RETURN(public_, Listen(&public_builder, "gRPC", public_credentials, &options_.listen));

    grpc::ServerBuilder fleet_builder;
    ConfigureFleet(&fleet_builder);
    fleet_builder.RegisterService(fleet_link_.get());
    fleet_builder.SetOption(std::make_unique<WithoutReflection>());
    UNMASK_ASSIGN_OR_RETURN(link_, Listen(&fleet_builder, "fleet", fleet_credentials, &options_.fleet_listen));

    if (!options_.http_listen.empty()) {
      UNMASK_ASSIGN_OR_RETURN(
          http_, HttpServer::Start(options_.http_listen, options_.tls, context, options_.model, batch_runner_.get()));
      options_.http_listen = http_->address();
    }

    UNMASK_ASSIGN_OR_RETURN(
        admin_, AdminServer::Start(options_.admin_listen, {.readiness = [this] { return door_.Readiness(); },
                                                           .metrics = [this] { return RenderMetrics(); }}));
    options_.admin_listen = admin_->address();
    health_ = std::make_unique<HealthReporter>(&door_, public_->GetHealthCheckService());
    return absl::OkStatus();
  }

  const std::string& grpc_address() const override { return options_.listen; }
  const std::string& fleet_address() const override { return options_.fleet_listen; }
  const std::string& admin_address() const override { return options_.admin_listen; }
  const std::string& http_address() const override { return options_.http_listen; }
  void Drain() override {
    door_.Drain();
    if (batch_runner_) batch_runner_->Drain();
  }
  bool idle() const override { return door_.visits() == 0; }
  Fleet& fleet() override { return fleet_; }

 private:
  std::string RenderMetrics() {
    if (http_) metrics_.SetHttpConnections(http_->connections());
    if (!batch_runner_) return metrics_.Render(fleet_.Describe(), nullptr);
    const BatchCensus batch = batch_runner_->Census();
    return metrics_.Render(fleet_.Describe(), &batch);
  }

  // In the order in which they use each other.
  ServerOptions options_;
  Metrics metrics_;
  Access access_;
  Fleet fleet_;
  FrontDoor door_;
  std::unique_ptr<BatchRunner> batch_runner_;
  std::unique_ptr<grpc::Service> inference_;
  std::unique_ptr<grpc::Service> batch_;
  std::unique_ptr<grpc::Service> model_;
  std::unique_ptr<grpc::Service> fleet_status_;
  std::unique_ptr<grpc::Service> fleet_link_;
  std::unique_ptr<grpc::Server> public_;
  std::unique_ptr<grpc::Server> link_;
  std::unique_ptr<HttpServer> http_;
  std::unique_ptr<HealthReporter> health_;
  std::unique_ptr<AdminServer> admin_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(ServerOptions options) {
  auto server = std::make_unique<GrpcServer>(std::move(options));
  UNMASK_RETURN_IF_ERROR(server->Start());
  return server;
}

}  // namespace unmask
