#include "tests/support/network.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "tests/support/golden.h"

namespace unmask::testing {
namespace {

namespace fs = std::filesystem;

constexpr char kNamespaces[] = "/run/netns";
constexpr char kMark[] = "unmask-test-";  // And the pid of the test.
constexpr char kHub[] = "hub";            // The namespace of the switches.

// What the command said when it failed; "" when it did not.
std::string Run(const std::string& command) {
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return "popen";
  std::string output;
  char buffer[512];
  while (const size_t got = fread(buffer, 1, sizeof(buffer), pipe)) output.append(buffer, got);
  if (pclose(pipe) == 0) return "";
  return command + ": " + (output.empty() ? "failed" : output);
}

// Up to the first that fails.
std::string Run(const std::vector<std::string>& commands) {
  for (const std::string& command : commands) {
    if (const std::string why = Run(command); !why.empty()) return why;
  }
  return "";
}

void RemoveNamespaces(const std::string& prefix) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(kNamespaces, ignored)) {
    const std::string name = entry.path().filename();
    if (name.rfind(prefix, 0) == 0) names.push_back(name);
  }
  for (const std::string& name : names) {
    Run("ip netns del " + name);
    // What Open MPI leaves on other hosts when its launcher is killed, and nobody there may sweep.
    fs::remove_all("/tmp/ompi." + name + "." + std::to_string(geteuid()), ignored);
  }
}

// Of tests that were killed.
void RemoveOrphans() {
  std::vector<std::string> prefixes;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(kNamespaces, ignored)) {
    const std::string name = entry.path().filename();
    if (name.rfind(kMark, 0) != 0) continue;
    const int pid = std::atoi(name.c_str() + sizeof(kMark) - 1);
    if (pid > 0 && kill(pid, 0) != 0 && errno == ESRCH) prefixes.push_back(name);
  }
  for (const std::string& prefix : prefixes) RemoveNamespaces(prefix);
}

std::string Bridge(Network::Switch number) { return "switch" + std::to_string(number); }
std::string Device(Network::Switch number) { return "eth" + std::to_string(number); }
std::string BadDevice(Network::Switch number) { return "bad" + std::to_string(number); }
std::string BadPort(const std::string& host, Network::Switch number) { return host + "-bad" + std::to_string(number); }
std::string Port(const std::string& host, Network::Switch number) { return host + "-" + std::to_string(number); }

}  // namespace

std::unique_ptr<Network> Network::Create(const std::vector<std::string>& hosts, std::string* why) {
  RemoveOrphans();
  std::unique_ptr<Network> network(new Network);
  network->prefix_ = kMark + std::to_string(getpid()) + "-";
  network->hosts_ = hosts;
  network->own_ = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  const std::string hub = network->Namespace(kHub);
  std::vector<std::string> commands = {"ip netns add " + hub};
  for (const Switch number : {kFront, kRanks}) {
    commands.push_back("ip -n " + hub + " link add " + Bridge(number) + " type bridge forward_delay 0");
    commands.push_back("ip -n " + hub + " link set " + Bridge(number) + " up");
  }
  for (const std::string& host : hosts) {
    const std::string name = network->Namespace(host);
    commands.push_back("ip netns add " + name);
    commands.push_back("ip -n " + name + " link set lo up");
    for (const Switch number : {kFront, kRanks}) {
      const std::string device = Device(number);
      const std::string port = Port(host, number);
      commands.push_back("ip -n " + hub + " link add " + port + " type veth peer name " + device + " netns " + name);
      commands.push_back("ip -n " + hub + " link set " + port + " master " + Bridge(number) + " up");
      commands.push_back("ip -n " + name + " link set " + device + " address " + network->Hardware(host, number));
      commands.push_back("ip -n " + name + " addr add " + network->Address(host, number) + "/24 dev " + device);
      commands.push_back("ip -n " + name + " link set " + device + " up");
    }
  }
  // That processes can be moved into one, with a host name of its own.
  commands.push_back("ip netns exec " + hub + " unshare --uts hostname hub");
  *why = Run(commands);
  return why->empty() ? std::move(network) : nullptr;
}

Network::~Network() {
  bad_cables_.clear();
  if (own_ >= 0) {
    setns(own_, CLONE_NEWNET);
    close(own_);
  }
  RemoveNamespaces(prefix_);
}

std::string Network::Number(const std::string& host) const {
  return std::to_string(std::find(hosts_.begin(), hosts_.end(), host) - hosts_.begin() + 1);
}

std::string Network::Address(const std::string& host, Switch on) const {
  return (on == kFront ? "10.77.0." : "10.78.0.") + Number(host);
}

std::string Network::Hardware(const std::string& host, Switch on) const {
  return "02:00:00:00:0" + std::to_string(on) + ":0" + Number(host);
}

std::vector<std::string> Network::On(const std::string& host, const std::vector<std::string>& command) const {
  std::vector<std::string> all = {SourcePath("tests/support/on_host.sh"), Namespace(host)};
  all.insert(all.end(), command.begin(), command.end());
  return all;
}

std::string Network::LaunchAgent() const { return SourcePath("tests/support/launch_agent.sh") + " " + prefix_; }

void Network::Enter(const std::string& host) {
  const int file = open((std::string(kNamespaces) + "/" + Namespace(host)).c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_GE(file, 0) << host;
  EXPECT_EQ(setns(file, CLONE_NEWNET), 0);
  close(file);
}

void Network::Unplug(const std::string& host, Switch from) {
  EXPECT_EQ(Run("ip -n " + Namespace(kHub) + " link set " + Port(host, from) + " nomaster"), "");
}

void Network::Plug(const std::string& host, Switch into) {
  EXPECT_EQ(Run("ip -n " + Namespace(kHub) + " link set " + Port(host, into) + " master " + Bridge(into)), "");
}

// Nobody else on the switch sees a change: both addresses move.
std::vector<std::string> Network::Readdress(const std::string& host, Switch to, const std::string& from,
                                            const std::string& into) const {
  const std::string ip = "ip -n " + Namespace(host) + " ";
  return {ip + "addr flush dev " + from, ip + "link set " + from + " down",
          ip + "link set " + into + " address " + Hardware(host, to),
          ip + "addr add " + Address(host, to) + "/24 dev " + into, ip + "link set " + into + " up"};
}

const BadCable* Network::Worsen(const std::string& host, Switch to, BadWeather weather, uint32_t seed,
                                std::string* why) {
  const std::string hub = Namespace(kHub), port = BadPort(host, to);
  auto cable = BadCable::Create({{{Namespace(host), BadDevice(to)}, {hub, port}}}, weather, seed, why);
  if (cable == nullptr) return nullptr;
  Unplug(host, to);
  EXPECT_EQ(Run(Readdress(host, to, Device(to), BadDevice(to))), "");
  EXPECT_EQ(Run("ip -n " + hub + " link set " + port + " master " + Bridge(to) + " up"), "");
  return (bad_cables_[{host, to}] = std::move(cable)).get();
}

void Network::Mend(const std::string& host, Switch to) {
  EXPECT_EQ(Run(Readdress(host, to, BadDevice(to), Device(to))), "");
  bad_cables_.erase({host, to});
  Plug(host, to);
}

}  // namespace unmask::testing
