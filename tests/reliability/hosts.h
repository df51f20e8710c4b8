// A service whose coordinator and replicas are on hosts of their own (tests/support/network.h): the coordinator and the
// test itself on "c", replicas on "a" and "b".
#ifndef UNMASK_TESTS_RELIABILITY_HOSTS_H_
#define UNMASK_TESTS_RELIABILITY_HOSTS_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/reliability/faults.h"
#include "tests/reliability/load.h"
#include "tests/support/golden.h"
#include "tests/support/network.h"

namespace unmask::testing {

class HostsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string why;
    network_ = Network::Create({"c", "a", "b"}, &why);
    if (network_ == nullptr) GTEST_SKIP() << "no network namespaces here: " << why;
    network_->Enter("c");
    service_ = std::make_unique<Service>(
        std::vector<std::string>{"--model", SourcePath("tests/goldens/models/tiny-tp"), "--replicas", "0"},
        network_->Address("c", Network::kFront));
    ASSERT_FALSE(service_->address().empty());
  }

  // Both ranks on one host ...
  std::unique_ptr<Process> ReplicaOn(const std::string& host, const std::string& name) {
    return std::make_unique<Process>(network_->On(host, ReplicaCommand(*service_, name, 2)));
  }
  // ... and one each on a and b.
  std::unique_ptr<Process> ReplicaOverBoth(const std::string& name) {
    const std::string hosts =
        network_->Address("a", Network::kRanks) + ":1," + network_->Address("b", Network::kRanks) + ":1";
    return std::make_unique<Process>(
        network_->On("a", ReplicaCommand(*service_, name, 2,
                                         {"--hosts", hosts, "--launch-agent", network_->LaunchAgent(), "--network",
                                          Network::Subnet(Network::kRanks)})));
  }

  std::unique_ptr<Network> network_;  // First: it outlives what runs in it.
  std::unique_ptr<Service> service_;
};

}  // namespace unmask::testing

#endif  // UNMASK_TESTS_RELIABILITY_HOSTS_H_
