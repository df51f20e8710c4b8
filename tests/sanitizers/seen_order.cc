// Shows ThreadSanitizer the order that Debian's Abseil and gRPC keep, which are not instrumented: Abseil's locks, and
// the counts by which gRPC knows that nothing uses a call or a server any more. Without them each callback seems to
// race with the one before. Linked into every program of the tsan preset, whose symbols come before a library's, in the
// libraries too.
#include <dlfcn.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

extern "C" void __tsan_acquire(void* address);
extern "C" void __tsan_release(void* address);

namespace {

struct Time {  // absl::Time, absl::Duration and gpr_timespec, as they are passed.
  int64_t seconds;
  uint32_t rest[2];
};

struct Event {  // grpc_event, as it is returned.
  int type;
  int success;
  void* tag;
};

template <typename Function>
Function* Real(const char* symbol) {
  void* const found = dlsym(RTLD_NEXT, symbol);
  if (found == nullptr) {
    std::fprintf(stderr, "seen_order: no library has %s\n", symbol);
    std::abort();
  }
  return reinterpret_cast<Function*>(found);
}

char calls_given_back;

// grpc::internal::ServerCallbackCall has them behind its table of functions: the conditions for OnCancel, and what is
// still to be called back. Both are counted down, some of it in gRPC's headers, which are compiled with us. Who reaches
// zero calls these.
void AcquireCounts(void* call) {
  __tsan_acquire(static_cast<char*>(call) + sizeof(void*));
  __tsan_acquire(static_cast<char*>(call) + sizeof(void*) + sizeof(int));
}

void AcquireTag(const Event& event) {
  if (event.type == 2) __tsan_acquire(event.tag);  // GRPC_OP_COMPLETE; others have none.
}

}  // namespace

// SEEN(RESULT, NAME, SYMBOL, ARGUMENTS, BODY) takes the place of the library's SYMBOL, which the body calls as `real`.
#define SEEN(result, name, symbol, arguments, ...)            \
  extern "C" result name arguments __asm__(symbol);           \
  extern "C" result name arguments {                          \
    static auto* const real = Real<result arguments>(symbol); \
    __VA_ARGS__                                               \
  }
#define MUTEX "_ZN4absl7debian35Mutex"
#define CONDITION "_ZN4absl7debian37CondVar"
#define CALL "_ZN4grpc8internal18ServerCallbackCall"

// clang-format off
SEEN(void, Lock, MUTEX "4LockEv", (void* mutex), real(mutex); __tsan_acquire(mutex);)
SEEN(void, Unlock, MUTEX "6UnlockEv", (void* mutex), __tsan_release(mutex); real(mutex);)
SEEN(bool, TryLock, MUTEX "7TryLockEv", (void* mutex),
     const bool locked = real(mutex); if (locked) __tsan_acquire(mutex); return locked;)
SEEN(void, ReaderLock, MUTEX "10ReaderLockEv", (void* mutex), real(mutex); __tsan_acquire(mutex);)
SEEN(void, ReaderUnlock, MUTEX "12ReaderUnlockEv", (void* mutex), __tsan_release(mutex); real(mutex);)
SEEN(void, Wait, CONDITION "4WaitEPNS0_5MutexE", (void* condition, void* mutex),
     __tsan_release(mutex); real(condition, mutex); __tsan_acquire(mutex);)
SEEN(bool, WaitWithTimeout, CONDITION "15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE",
     (void* condition, void* mutex, Time time),
     __tsan_release(mutex); const bool expired = real(condition, mutex, time); __tsan_acquire(mutex); return expired;)
SEEN(bool, WaitWithDeadline, CONDITION "16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE",
     (void* condition, void* mutex, Time time),
     __tsan_release(mutex); const bool expired = real(condition, mutex, time); __tsan_acquire(mutex); return expired;)

// A tag comes back after it was given.
SEEN(int, StartBatch, "grpc_call_start_batch",
     (void* call, const void* operations, size_t count, void* tag, void* reserved),
     __tsan_release(tag); return real(call, operations, count, tag, reserved);)
SEEN(Event, Next, "grpc_completion_queue_next", (void* queue, Time deadline, void* reserved),
     const Event event = real(queue, deadline, reserved); AcquireTag(event); return event;)
SEEN(Event, Pluck, "grpc_completion_queue_pluck", (void* queue, void* tag, Time deadline, void* reserved),
     const Event event = real(queue, tag, deadline, reserved); AcquireTag(event); return event;)
SEEN(void, CallOnCancel, CALL "12CallOnCancelEPNS0_13ServerReactorE", (void* call, void* reactor),
     AcquireCounts(call); real(call, reactor);)
SEEN(void, ScheduleOnDone, CALL "14ScheduleOnDoneEb", (void* call, bool now), AcquireCounts(call); real(call, now);)
// A call gives back its share of the server after this, and who destroys a server has waited for that.
SEEN(void, CallUnref, "grpc_call_unref", (void* call), __tsan_release(&calls_given_back); real(call);)
SEEN(void, ServerDestroy, "grpc_server_destroy", (void* server), __tsan_acquire(&calls_given_back); real(server);)
// clang-format on
