#include "tests/support/bad_cable.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <optional>
#include <random>
#include <utility>

namespace unmask::testing {
namespace {

using Clock = std::chrono::steady_clock;

// Without its offloads the kernel hands out whole frames of at most its MTU, with checksums.
constexpr size_t kLargestFrame = 2048;

// A device belongs to the network of the thread that opens it.
int OpenTap(const CableEnd& end, std::string* why) {
  int device = -1;
  std::thread([&] {
    const auto fail = [&](const char* what) { *why = std::string(what) + ": " + std::strerror(errno); };
    const int network = open(("/run/netns/" + end.net_namespace).c_str(), O_RDONLY | O_CLOEXEC);
    if (network < 0) return fail("the namespace");
    const int entered = setns(network, CLONE_NEWNET);
    close(network);
    if (entered != 0) return fail("setns");
    device = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (device < 0) return fail("/dev/net/tun");
    ifreq request{};
    std::strncpy(request.ifr_name, end.device.c_str(), IFNAMSIZ - 1);
    request.ifr_flags = IFF_TAP | IFF_NO_PI;
    if (ioctl(device, TUNSETIFF, &request) == 0) return;
    fail("TUNSETIFF");
    close(std::exchange(device, -1));
  }).join();
  return device;
}

struct Frame {
  Clock::time_point due;
  std::string bytes;
};

}  // namespace

std::unique_ptr<BadCable> BadCable::Create(const std::array<CableEnd, 2>& ends, BadWeather weather, uint32_t seed,
                                           std::string* why) {
  std::unique_ptr<BadCable> cable(new BadCable);
  for (int end = 0; end < 2; ++end) {
    cable->devices_[end] = OpenTap(ends[end], why);
    if (cable->devices_[end] < 0) return nullptr;
  }
  cable->stop_ = eventfd(0, EFD_CLOEXEC);
  cable->thread_ = std::thread(&BadCable::Carry, cable.get(), weather, seed);
  return cable;
}

BadCable::~BadCable() {
  if (thread_.joinable()) {
    eventfd_write(stop_, 1);
    thread_.join();
  }
  for (const int file : {devices_[0], devices_[1], stop_}) {
    if (file >= 0) close(file);
  }
}

void BadCable::Carry(BadWeather weather, uint32_t seed) {
  std::minstd_rand random(seed);
  std::bernoulli_distribution loses(weather.loss);
  std::array<std::deque<Frame>, 2> on_their_way;  // By where they are going.
  while (true) {
    std::optional<Clock::time_point> next;
    for (const auto& frames : on_their_way) {
      if (!frames.empty()) next = std::min(next.value_or(Clock::time_point::max()), frames.front().due);
    }
    timespec wait{};
    if (next) {
      const auto left = std::max(Clock::duration::zero(), *next - Clock::now());
      wait.tv_sec = std::chrono::duration_cast<std::chrono::seconds>(left).count();
      wait.tv_nsec = (left % std::chrono::seconds(1)).count();
    }
    pollfd files[] = {{devices_[0], POLLIN, 0}, {devices_[1], POLLIN, 0}, {stop_, POLLIN, 0}};
    ppoll(files, 3, next ? &wait : nullptr, nullptr);
    if (files[2].revents != 0) return;
    const Clock::time_point now = Clock::now();
    for (int end = 0; end < 2; ++end) {
      char buffer[kLargestFrame];
      for (ssize_t size; (size = read(devices_[end], buffer, sizeof(buffer))) > 0;) {
        ++carried_;
        if (loses(random)) {
          ++lost_;
        } else {
          on_their_way[1 - end].push_back({now + weather.delay, std::string(buffer, size)});
        }
      }
    }
    for (int end = 0; end < 2; ++end) {
      auto& frames = on_their_way[end];
      for (; !frames.empty() && frames.front().due <= now; frames.pop_front()) {
        // A device that is down or full drops it, as a real one does.
        [[maybe_unused]] const ssize_t sent =
            write(devices_[end], frames.front().bytes.data(), frames.front().bytes.size());
      }
    }
  }
}

}  // namespace unmask::testing
