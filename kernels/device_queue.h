// Where a backend's tensors lie in a device's memory: its queue of work, for what is not the backend's own, as the
// collectives between devices.
#ifndef UNMASK_KERNELS_DEVICE_QUEUE_H_
#define UNMASK_KERNELS_DEVICE_QUEUE_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"

namespace unmask {

class DeviceQueue {
 public:
  virtual ~DeviceQueue() = default;

  // run(args, stream) later, after the operations issued so far and before the next, as work on `rows` rows. `args` is
  // copied: plain bytes, in which what differs between equal calls must not stand. `stream` is the device's, a
  // cudaStream_t; run gives the device's error, 0 for none. It may be called at any time, once or, where the device
  // keeps what it enqueues, once for many steps.
  using Run = int (*)(const void* args, void* stream);
  virtual void Append(const char* name, int64_t rows, Run run, const void* args, size_t bytes) = 0;

  // A failure of what stands between operations: as theirs, it sticks until Synchronize() returns it.
  virtual void Fail(const absl::Status& status) = 0;

  // Lets go of all that the device keeps of what it has once enqueued, after what is under way has ended. A library
  // whose work is kept so is not closed before that: NCCL would wait for ever.
  virtual void ForgetKept() = 0;

  // Which device of the host it is: two queues of one device say the same.
  virtual std::string Device() const = 0;

  // Asked again and again while Synchronize() waits, with the time waited: an error ends the wait, and is what
  // Synchronize() returns.
  using Watcher = std::function<absl::Status(std::chrono::nanoseconds waited)>;
  virtual void Watch(Watcher watch) = 0;
};

}  // namespace unmask

#endif  // UNMASK_KERNELS_DEVICE_QUEUE_H_
