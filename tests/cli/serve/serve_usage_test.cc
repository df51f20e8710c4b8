// What `unmask serve` says to wrong flags, models and environments.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/serve/harness.h"

namespace unmask {
namespace {

using testing::HasSubstr;

class ServeUsageTest : public ServeTest {
 protected:
  int Check(std::vector<std::string> more) {
    more.insert(more.begin(), {"serve", "--check-config"});
    if (std::find(more.begin(), more.end(), "--model") == more.end())
      more.insert(more.end(), {"--model", Path("model")});
    Remove("stderr");
    return ExitCode(Unmask(std::move(more)));
  }
};

TEST_F(ServeUsageTest, CheckConfigPrintsThePlanAndStartsNothing) {
  EXPECT_EQ(Check({"--tensor-parallel", "4", "--replicas", "3"}), 0);
  const nlohmann::json plan = nlohmann::json::parse(Errors());
  EXPECT_EQ(plan["model_name"], "model");
  EXPECT_EQ(plan["replicas"], 3);
  EXPECT_GE(plan["threads"].get<int>(), 1);
  EXPECT_EQ(Story(), "");
}

TEST_F(ServeUsageTest, WhatCannotWorkIsNamed) {
  EXPECT_EQ(Check({"--model", Path("nowhere")}), 78);
  EXPECT_THAT(Errors(), HasSubstr("nowhere' is not a folder"));
  EXPECT_EQ(Check({"--tensor-parallel", "5"}), 78);
  EXPECT_THAT(Errors(), HasSubstr("tensor_parallel: 5 ranks are more than the model's 4 heads"));
}

TEST_F(ServeUsageTest, TlsAndTokensThatCannotWorkAreNamed) {
  Write("cert.pem", "-----BEGIN CERTIFICATE-----");
  Write("tokens", "");
  EXPECT_EQ(Check({"--tls-cert", Path("cert.pem")}), 78);
  EXPECT_THAT(Errors(), HasSubstr("tls-cert " + Path("cert.pem") + " needs tls-key"));
  EXPECT_EQ(Check({"--fleet-tls-cert", Path("cert.pem"), "--fleet-tls-key", "/no/key.pem"}), 78);
  EXPECT_THAT(Errors(), HasSubstr("fleet-tls-key: /no/key.pem cannot be read"));
  EXPECT_EQ(Check({"--tls-cert", Path("cert.pem"), "--tls-key", Path("cert.pem")}), 78);
  EXPECT_THAT(Errors(), HasSubstr("tls-cert and tls-ca need each other"));
  EXPECT_EQ(Check({"--auth-tokens", Path("tokens")}), 78);
  EXPECT_THAT(Errors(), HasSubstr("auth-tokens needs token-file"));
  EXPECT_EQ(Check({"--token-file", Path("tokens")}), 78);
  EXPECT_THAT(Errors(), HasSubstr("token-file: " + Path("tokens")));
}

TEST_F(ServeUsageTest, ATornCheckpointIsBadData) {
  Write("model/config.json", "{\"n_heads\": ");
  EXPECT_EQ(Check({}), 65);
  EXPECT_THAT(Errors(), HasSubstr("config.json' is not a JSON object"));
  Write("model/config.json", "{}");
  Remove("model/model.safetensors");
  EXPECT_EQ(Check({}), 65);
  EXPECT_THAT(Errors(), HasSubstr("holds neither model.safetensors nor"));
}

TEST_F(ServeUsageTest, WrongFlagsAreUsageErrorsThatNameThem) {
  EXPECT_EQ(Check({"--replicas", "2000"}), 64);
  EXPECT_THAT(Errors(), HasSubstr("--replicas: Value 2000 not in range 0 to 1024"));
  EXPECT_EQ(Check({"--dtype", "fp64"}), 64);
  EXPECT_THAT(Errors(), HasSubstr("--dtype"));
  EXPECT_EQ(Check({"--modle", "x"}), 64);
  EXPECT_THAT(Errors(), HasSubstr("--modle"));
  EXPECT_EQ(Check({"--admin-listen", "localhost"}), 64);
  EXPECT_THAT(Errors(), HasSubstr("admin_listen: 'localhost' is not HOST:PORT"));
  EXPECT_EQ(Check({"--admin-listen", "localhost:65536"}), 64);
  EXPECT_EQ(ExitCode(Unmask({"sreve"})), 64);
  EXPECT_THAT(Errors(), HasSubstr("sreve"));
  EXPECT_EQ(ExitCode(Unmask({})), 64);
}

TEST_F(ServeUsageTest, AFlagIsAnEnvironmentVariableAndTheFlagWins) {
  setenv("UNMASK_REPLICAS", "7", 1);
  EXPECT_EQ(Check({}), 0);
  EXPECT_EQ(nlohmann::json::parse(Errors())["replicas"], 7);
  EXPECT_EQ(Check({"--replicas", "2"}), 0);
  EXPECT_EQ(nlohmann::json::parse(Errors())["replicas"], 2);
  setenv("UNMASK_REPLICAS", "many", 1);
  EXPECT_EQ(Check({}), 64);
  // Another command does not mind.
  Remove("stderr");
  Write("worker_exit", "78");
  EXPECT_EQ(ExitCode(Unmask({"replica", "--coordinator", "127.0.0.1:1", "--model", Path("model")})), 78);
  unsetenv("UNMASK_REPLICAS");
}

TEST_F(ServeUsageTest, HelpAndVersionEndWell) {
  EXPECT_EQ(ExitCode(Unmask({"--help"})), 0);
  EXPECT_THAT(Errors(), HasSubstr("serve"));
  EXPECT_EQ(ExitCode(Unmask({"serve", "--help"})), 0);
  EXPECT_THAT(Errors(), HasSubstr("UNMASK_TENSOR_PARALLEL"));
  EXPECT_EQ(ExitCode(Unmask({"--version"})), 0);
}

}  // namespace
}  // namespace unmask
