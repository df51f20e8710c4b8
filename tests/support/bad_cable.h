// A cable that loses and delays frames: two TAP devices and a thread that carries frames from one to the other. What
// `tc qdisc add ... netem` does, which few kernels of test machines have.
#ifndef UNMASK_TESTS_SUPPORT_BAD_CABLE_H_
#define UNMASK_TESTS_SUPPORT_BAD_CABLE_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>

namespace unmask::testing {

struct BadWeather {
  double loss = 0;                                                 // The part of frames that vanish, each way.
  std::chrono::milliseconds delay = std::chrono::milliseconds(0);  // Of each frame, each way.
};

// An end of it: a device that the cable makes.
struct CableEnd {
  std::string net_namespace;  // A file of /run/netns.
  std::string device;         // At most 15 characters.
};

class BadCable {
 public:
  // Null where this machine has no TAP devices; *why then says so. The devices are down, and gone with the object.
  static std::unique_ptr<BadCable> Create(const std::array<CableEnd, 2>& ends, BadWeather weather, uint32_t seed,
                                          std::string* why);
  ~BadCable();
  BadCable(const BadCable&) = delete;
  BadCable& operator=(const BadCable&) = delete;

  int64_t carried() const { return carried_; }
  int64_t lost() const { return lost_; }

 private:
  BadCable() = default;
  void Carry(BadWeather weather, uint32_t seed);

  std::array<int, 2> devices_ = {-1, -1};
  int stop_ = -1;  // An eventfd.
  std::atomic<int64_t> carried_ = 0;
  std::atomic<int64_t> lost_ = 0;
  std::thread thread_;
};

}  // namespace unmask::testing

#endif  // UNMASK_TESTS_SUPPORT_BAD_CABLE_H_
