// TLS at the public port and at the fleet port: who gets in, who does not, and that new certificates drop nobody.
#include "coordinator/tls.h"

#include <grpcpp/security/credentials.h>

#include <atomic>
#include <fstream>
#include <sstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "tests/coordinator/test_service.h"
#include "tests/support/certificates.h"
#include "unmask/v1/model.grpc.pb.h"
#include "worker/leader.h"

namespace unmask {
namespace {

using testing::Certificates;
using testing::Eventually;
using ::testing::HasSubstr;
using testing::TestService;

std::string ReadFile(const std::string& path) {
  std::ostringstream content;
  content << std::ifstream(path).rdbuf();
  return content.str();
}

std::shared_ptr<grpc::ChannelCredentials> ClientOf(const std::string& ca, const TlsFiles& own = {}) {
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = ReadFile(ca);
  if (!own.cert.empty()) {
    options.pem_cert_chain = ReadFile(own.cert);
    options.pem_private_key = ReadFile(own.key);
  }
  return grpc::SslCredentials(options);
}

std::shared_ptr<grpc::Channel> Connect(const std::string& address,
                                       const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // A connection of its own.
  return grpc::CreateCustomChannel(address, credentials, arguments);
}

// Asks over the channel; *server: the common name in the server's certificate.
grpc::StatusCode Ask(const std::shared_ptr<grpc::Channel>& channel, std::string* server = nullptr) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  v1::ListModelsResponse response;
  const grpc::Status status = v1::ModelService::NewStub(channel)->ListModels(&context, {}, &response);
  if (server != nullptr && status.ok()) {
    const auto names = context.auth_context()->FindPropertyValues("x509_common_name");
    *server = names.empty() ? "" : std::string(names[0].data(), names[0].size());
  }
  return status.error_code();
}

ServerOptions Public(const TlsFiles& files) {
  ServerOptions options;
  options.tls = files;
  return options;
}

TEST(TlsTest, OnlyClientsThatTrustTheRightAuthorityGetIn) {
  const Certificates made;
  const std::string ca = made.Authority("ca");
  const std::string other = made.Authority("other");
  const TestService service(Public(made.Signed("server", "ca")));
  const std::string address = service.server->grpc_address();
  EXPECT_EQ(Ask(Connect(address, ClientOf(ca))), grpc::StatusCode::OK);
  EXPECT_EQ(Ask(Connect(address, ClientOf(other))), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(Ask(Connect(address, grpc::InsecureChannelCredentials())), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(Ask(Connect(address, ClientOf(ca))), grpc::StatusCode::OK) << "it does not recover from bad peers";
}

TEST(TlsTest, AnExpiredServerOrOneOfAnotherNameIsRefusedByClients) {
  const Certificates made;
  const std::string ca = made.Authority("ca");
  const TestService expired(Public(made.Signed("expired", "ca", "IP:127.0.0.1", -1)));
  EXPECT_EQ(Ask(Connect(expired.server->grpc_address(), ClientOf(ca))), grpc::StatusCode::UNAVAILABLE);
  const TestService elsewhere(Public(made.Signed("elsewhere", "ca", "DNS:elsewhere.example,IP:127.0.0.2")));
  EXPECT_EQ(Ask(Connect(elsewhere.server->grpc_address(), ClientOf(ca))), grpc::StatusCode::UNAVAILABLE);
}

TEST(TlsTest, WithAClientAuthorityOnlyItsClientsGetIn) {
  const Certificates made;
  const std::string ca = made.Authority("ca");
  made.Authority("other");
  TlsFiles files = made.Signed("server", "ca");
  files.ca = ca;
  const TestService service(Public(files));
  const auto ask_as = [&](const TlsFiles& client) {
    return Ask(Connect(service.server->grpc_address(), ClientOf(ca, client)));
  };
  EXPECT_EQ(ask_as(made.Signed("client", "ca")), grpc::StatusCode::OK);
  EXPECT_EQ(ask_as({}), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(ask_as(made.Signed("stranger", "other")), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(ask_as(made.Signed("late", "ca", "IP:127.0.0.1", -1)), grpc::StatusCode::UNAVAILABLE);
}

TEST(TlsTest, NothingOlderThanTls12IsSpoken) {
  const Certificates made;
  made.Authority("ca");
  const TestService service(Public(made.Signed("server", "ca")));
  const auto speaks = [&](const std::string& version) {
    return std::system(absl::StrCat("openssl s_client -connect ", service.server->grpc_address(), " -", version,
                                    " -alpn h2 -cipher DEFAULT@SECLEVEL=0 </dev/null >", made.Path("client.log"),
                                    " 2>&1")
                           .c_str()) == 0;
  };
  EXPECT_TRUE(speaks("tls1_2")) << ReadFile(made.Path("client.log"));
  EXPECT_FALSE(speaks("tls1_1"));
  EXPECT_FALSE(speaks("tls1"));
}

TEST(TlsTest, ANewCertificateServesNewConnectionsAndDropsNoCall) {
  const Certificates made;
  const std::string ca = made.Authority("ca");
  for (const std::string name : {"before", "after"}) {  // Folders; a symbolic link says which counts.
    const TlsFiles files = made.Signed(name, "ca");
    std::filesystem::create_directory(made.Path(name));
    std::filesystem::rename(files.cert, made.Path(name + "/server.pem"));
    std::filesystem::rename(files.key, made.Path(name + "/server.key"));
  }
  const auto point_at = [&](const std::string& name) {
    std::filesystem::create_directory_symlink(name, made.Path("new"));
    std::filesystem::rename(made.Path("new"), made.Path("now"));
  };
  point_at("before");
  const TestService service(Public({"", made.Path("now/server.pem"), made.Path("now/server.key")}));
  const std::string address = service.server->grpc_address();

  std::atomic<bool> stop = false;
  std::atomic<int> calls = 0, failures = 0;
  std::vector<std::thread> clients;
  for (const bool reconnects : {false, false, true}) {
    clients.emplace_back([&, reconnects] {
      auto channel = Connect(address, ClientOf(ca));
      while (!stop) {
        if (reconnects) channel = Connect(address, ClientOf(ca));
        failures += Ask(channel) != grpc::StatusCode::OK;
        ++calls;
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      }
    });
  }
  const auto serves = [&](const std::string& name) {
    std::string server;
    EXPECT_EQ(Ask(Connect(address, ClientOf(ca)), &server), grpc::StatusCode::OK);
    return server == name;
  };
  EXPECT_TRUE(serves("before"));
  const auto old = Connect(address, ClientOf(ca));
  EXPECT_EQ(Ask(old), grpc::StatusCode::OK);
  point_at("after");
  EXPECT_TRUE(Eventually([&] { return serves("after"); }));
  EXPECT_EQ(Ask(old), grpc::StatusCode::OK);
  stop = true;
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(failures, 0) << "of " << calls;
  EXPECT_GT(calls, 50);
}

TEST(TlsTest, ReplicasNeedWhatTheFleetPortAsksFor) {
  const Certificates made;
  const std::string ca = made.Authority("ca");
  made.Authority("other");
  ServerOptions options;
  options.fleet_tls = made.Signed("fleet", "ca");
  options.fleet_tls.ca = ca;
  const TestService service(options);
  const auto dial_as = [&](const std::string& name, const TlsFiles& files) {
    internal::v1::ReplicaDescription description = testing::DescribeReplica(name, 1);
    return std::make_unique<Leader>(LeaderOptions{.coordinator = service.fleet_address(), .tls = files}, description);
  };
  TlsFiles stranger = made.Signed("stranger", "other");
  stranger.ca = ca;
  TlsFiles member = made.Signed("member", "ca");
  member.ca = ca;
  const auto plain = dial_as("plain", {});
  const auto anonymous = dial_as("anonymous", {.ca = ca});
  const auto strange = dial_as("strange", stranger);
  const auto welcome = dial_as("welcome", member);
  EXPECT_TRUE(Eventually([&] { return service.StateOf("welcome") == v1::REPLICA_STATE_STARTING; }));
  std::this_thread::sleep_for(std::chrono::seconds(1));  // Each has tried several times.
  for (const char* name : {"plain", "anonymous", "strange"}) {
    EXPECT_EQ(service.StateOf(name), v1::REPLICA_STATE_UNSPECIFIED) << name;
  }
}

TEST(TlsTest, FilesThatCannotWorkAreNamedWithTheirFlag) {
  const Certificates made;
  const std::string ca = made.Authority("ca");
  const TlsFiles good = made.Signed("good", "ca");
  const TlsFiles other = made.Signed("other", "ca");
  std::ofstream(made.Path("empty"));
  std::ofstream(made.Path("noise")) << "-----BEGIN NOISE-----";
  const auto error = [](const TlsFiles& files) {
    const auto credentials = PortCredentials(files, "fleet-tls");
    EXPECT_EQ(credentials.status().code(), absl::StatusCode::kFailedPrecondition);
    return std::string(credentials.status().message());
  };
  EXPECT_THAT(error({"", good.cert, ""}), HasSubstr("fleet-tls-cert " + good.cert + " needs fleet-tls-key"));
  EXPECT_THAT(error({"", "", good.key}), HasSubstr("fleet-tls-key " + good.key + " needs fleet-tls-cert"));
  EXPECT_THAT(error({ca, "", ""}), HasSubstr("fleet-tls-client-ca " + ca + " needs fleet-tls-cert"));
  EXPECT_THAT(error({"", "/nowhere.pem", good.key}), HasSubstr("fleet-tls-cert: /nowhere.pem cannot be read"));
  EXPECT_THAT(error({made.Path("empty"), good.cert, good.key}),
              HasSubstr("fleet-tls-client-ca: " + made.Path("empty")));
  EXPECT_THAT(error({"", made.Path("noise"), good.key}), HasSubstr("holds no certificate"));
  EXPECT_THAT(error({"", good.cert, made.Path("noise")}), HasSubstr("holds no private key"));
  EXPECT_THAT(error({"", good.cert, other.key}), HasSubstr(other.key + " is not the key of the certificate in"));
}

}  // namespace
}  // namespace unmask
