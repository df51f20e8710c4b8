// Faults on purpose, to show that a sanitizer's build notices them and sees our lock and Abseil's: planted_fault FAULT.
#include <cstdio>
#include <cstring>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "base/mutex.h"

namespace {

struct Counter {
  void AddUnguarded() { ++count; }
  void AddGuarded() {
    unmask::MutexLock lock(&mutex);
    ++count;
    changed.Signal();
  }
  void AddGuardedByAbseil() {
    absl::MutexLock lock(&abseil_mutex);
    ++count;
  }
  void WaitFor(int goal) {
    unmask::MutexLock lock(&mutex);
    while (count < goal) changed.Wait(&mutex);
  }

  unmask::Mutex mutex;
  unmask::CondVar changed;
  absl::Mutex abseil_mutex;
  int count = 0;  // Not annotated: the analysis would refuse what is planted.
};

void FromTwoThreads(void (Counter::*add)()) {
  Counter counter;
  std::thread other([&] {
    for (int i = 0; i < 1000; ++i) (counter.*add)();
  });
  for (int i = 0; i < 1000; ++i) (counter.*add)();
  if (add == &Counter::AddGuarded) counter.WaitFor(2000);
  other.join();
  std::printf("%d\n", counter.count);
}

void Overflow(int size) {
  std::vector<int> numbers(size);
  int* const end = numbers.data() + numbers.size();
  std::printf("%d\n", *end);
}

void SignedOverflow(int large) { std::printf("%d\n", large * 0x10000 * 0x10000); }

}  // namespace

int main(int argc, char** argv) {
  const char* fault = argc > 1 ? argv[1] : "";
  if (std::strcmp(fault, "race") == 0) FromTwoThreads(&Counter::AddUnguarded);
  if (std::strcmp(fault, "none") == 0) {
    FromTwoThreads(&Counter::AddGuarded);
    FromTwoThreads(&Counter::AddGuardedByAbseil);
  }
  if (std::strcmp(fault, "overflow") == 0) Overflow(argc);
  if (std::strcmp(fault, "arithmetic") == 0) SignedOverflow(argc);
}
