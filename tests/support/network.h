// Several hosts on one machine: network namespaces with names of their own, joined by two switches whose cables can be
// pulled, as a silent network fails: nobody is told. All of it is gone with the object; what a killed test left, goes
// with the next one.
#ifndef UNMASK_TESTS_SUPPORT_NETWORK_H_
#define UNMASK_TESTS_SUPPORT_NETWORK_H_

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/bad_cable.h"

namespace unmask::testing {

class Network {
 public:
  enum Switch { kFront, kRanks };  // 10.77.0.0/24 and 10.78.0.0/24.

  // hosts: short names, "a", "b"; host i has the addresses 10.77.0.(i + 1) and 10.78.0.(i + 1). Null where this machine
  // or this user may not make them; *why then says so.
  static std::unique_ptr<Network> Create(const std::vector<std::string>& hosts, std::string* why);
  ~Network();
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  // As its processes see it.
  std::string HostName(const std::string& host) const { return Namespace(host); }
  std::string Address(const std::string& host, Switch on) const;
  static std::string Subnet(Switch of) { return of == kFront ? "10.77.0.0/24" : "10.78.0.0/24"; }

  // `command`, to be run on the host.
  std::vector<std::string> On(const std::string& host, const std::vector<std::string>& command) const;
  // What `unmask replica --launch-agent` takes. It hands on no environment, as ssh hands on none.
  std::string LaunchAgent() const;

  // The calling thread, what it starts from now on, and their sockets are on the host, until the network goes.
  void Enter(const std::string& host);

  void Unplug(const std::string& host, Switch from);
  void Plug(const std::string& host, Switch into);

  // Puts a bad cable in place of the host's good one, until Mend: connections stay. Null where there can be none; *why
  // then says so.
  const BadCable* Worsen(const std::string& host, Switch to, BadWeather weather, uint32_t seed, std::string* why);
  void Mend(const std::string& host, Switch to);

 private:
  Network() = default;
  std::string Number(const std::string& host) const;               // From 1 on.
  std::string Hardware(const std::string& host, Switch on) const;  // The address of its device.
  std::string Namespace(const std::string& host) const { return prefix_ + host; }
  // Moves the host's addresses from one of its devices to another.
  std::vector<std::string> Readdress(const std::string& host, Switch to, const std::string& from,
                                     const std::string& into) const;

  std::string prefix_;
  std::vector<std::string> hosts_;
  std::map<std::pair<std::string, Switch>, std::unique_ptr<BadCable>> bad_cables_;
  int own_ = -1;  // The namespace of the process, to return to.
};

}  // namespace unmask::testing

#endif  // UNMASK_TESTS_SUPPORT_NETWORK_H_
