// A service of real processes with everything on: TLS and client certificates on both ports, tokens for its methods.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "tests/support/certificates.h"
#include "tests/support/golden.h"
#include "tests/support/service.h"

namespace unmask {
namespace {

using testing::BinaryPath;
using testing::Certificates;
using ::testing::HasSubstr;
using testing::Service;
using testing::SourcePath;

// SHA-256 of "abc" (FIPS 180-4), the token.
constexpr char kDigestOfAbc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

class SecurityTest : public ::testing::Test {
 protected:
  // The exit code of `unmask COMMAND --server ADDRESS FLAGS`; what it says goes to the file "output".
  int Unmask(const Service& service, const std::string& command, const std::string& flags) const {
    const std::string line = BinaryPath("unmask") + " " + command + " --server " + service.address() + " " + flags +
                             " >" + made_.Path("output") + " 2>&1";
    const int status = std::system(line.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  std::string Output() const {
    std::ostringstream content;
    content << std::ifstream(made_.Path("output")).rdbuf();
    return content.str();
  }
  std::string Write(const std::string& name, const std::string& content) const {
    std::ofstream(made_.Path(name)) << content;
    return made_.Path(name);
  }

  const Certificates made_;
};

TEST_F(SecurityTest, ServeReplicasAndCommandsWorkWithEverythingOnAndNobodyElseDoes) {
  const std::string ca = made_.Authority("ca");
  made_.Authority("other");
  const TlsFiles server = made_.Signed("server", "ca");
  const TlsFiles client = made_.Signed("client", "ca");
  const TlsFiles stranger = made_.Signed("stranger", "other");
  const std::string token = Write("token", "abc\n");
  Service service({"--model",
                   SourcePath("tests/goldens/models/tiny-mha"),
                   "--tensor-parallel",
                   "2",
                   "--tls-cert",
                   server.cert,
                   "--tls-key",
                   server.key,
                   "--tls-client-ca",
                   ca,
                   "--tls-ca",
                   ca,
                   "--fleet-tls-cert",
                   server.cert,
                   "--fleet-tls-key",
                   server.key,
                   "--fleet-tls-client-ca",
                   ca,
                   "--fleet-tls-ca",
                   ca,
                   "--auth-tokens",
                   Write("tokens", std::string("infer,admin ") + kDigestOfAbc + "\n"),
                   "--token-file",
                   token});
  // It is ready: serve asked its coordinator and the replica dialled in, both over TLS.
  const std::string trust = " --tls-ca " + ca;
  const std::string show = " --tls-cert " + client.cert + " --tls-key " + client.key;
  const std::string generate = "generate --prompt-ids 1,2,3 --gen-length 8 --json";
  EXPECT_EQ(Unmask(service, generate, trust + show + " --token-file " + token), 0) << Output();
  EXPECT_THAT(Output(), HasSubstr("token_ids"));
  EXPECT_EQ(Unmask(service, "status", trust + show + " --token-file " + token), 0) << Output();

  EXPECT_EQ(Unmask(service, generate, trust + show), 70);
  EXPECT_THAT(Output(), HasSubstr("UNAUTHENTICATED"));
  EXPECT_EQ(Unmask(service, generate, trust + show + " --token-file " + Write("wrong", "abd")), 70);
  EXPECT_THAT(Output(), HasSubstr("UNAUTHENTICATED"));
  EXPECT_EQ(Unmask(service, "status", " --token-file " + token), 69) << "in plaintext";
  EXPECT_EQ(Unmask(service, "status", trust + " --token-file " + token), 69) << "without a certificate";
  const std::string strange = " --tls-cert " + stranger.cert + " --tls-key " + stranger.key;
  EXPECT_EQ(Unmask(service, "status", trust + strange + " --token-file " + token), 69);
  EXPECT_EQ(Unmask(service, "status", trust + " --tls-cert " + client.cert), 78);
  EXPECT_THAT(Output(), HasSubstr("needs tls-key"));
  EXPECT_EQ(service.End(), 0);
}

}  // namespace
}  // namespace unmask
