#include "worker/memory.h"

#include <algorithm>
#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace unmask {
namespace {

// The number in a file; `otherwise` where there is none ("max").
int64_t NumberIn(const char* path, int64_t otherwise) {
  std::ifstream file(path);
  int64_t number = 0;
  return file >> number ? number : otherwise;
}

int64_t MemAvailable() {
  std::ifstream file("/proc/meminfo");
  std::string key;
  int64_t kib = 0;
  for (std::string unit; file >> key >> kib; std::getline(file, unit)) {
    if (key == "MemAvailable:") return kib * 1024;
  }
  return int64_t{1} << 30;
}

// Of a control group's memory, the pages of files: counted as used, and given back as soon as something else wants
// them.
int64_t FilePages(const char* statistics, absl::string_view prefix) {
  std::ifstream file(statistics);
  std::string key;
  int64_t bytes = 0, total = 0;
  while (file >> key >> bytes) {
    if (key == absl::StrCat(prefix, "inactive_file") || key == absl::StrCat(prefix, "active_file")) total += bytes;
  }
  return total;
}

}  // namespace

int64_t AvailableMemory() {
  int64_t available = MemAvailable();
  const struct {
    const char* limit;
    const char* used;
    const char* statistics;
    const char* prefix;  // Of their keys.
  } groups[] = {{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat", ""},
                {"/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes",
                 "/sys/fs/cgroup/memory/memory.stat", "total_"}};
  for (const auto& group : groups) {
    const int64_t limit = NumberIn(group.limit, INT64_MAX);
    const int64_t used = std::max<int64_t>(0, NumberIn(group.used, 0) - FilePages(group.statistics, group.prefix));
    available = std::min(available, limit - used);
  }
  return std::max<int64_t>(available, 0);
}

absl::StatusOr<int64_t> KvPositions(const KvMemory& memory) {
  const int64_t longest = memory.max_sequence_length;
  const int64_t half = memory.available / 2 / memory.position_bytes;
  const int64_t most = memory.available / 10 * 9 / memory.position_bytes;
  int64_t positions = half >= 4 * longest ? std::min(half, 64 * longest) : std::min(most, 4 * longest);
  if (memory.limit > 0) positions = memory.limit / memory.position_bytes;
  if (positions < longest) {
    const std::string message =
        absl::StrCat(memory.limit > 0 ? "kv-memory of " : "memory left for K/V: ",
                     memory.limit > 0 ? memory.limit : memory.available, " bytes: holds ", positions, " positions of ",
                     memory.position_bytes, " bytes, fewer than max_sequence_length ", longest);
    if (memory.limit > 0) return absl::InvalidArgumentError(message);
    return absl::ResourceExhaustedError(message);
  }
  return std::min<int64_t>(positions, INT32_MAX);
}

}  // namespace unmask
