#include "base/cores.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>

namespace unmask {

int AllowedCores() {
  cpu_set_t allowed;
  double cores = sched_getaffinity(0, sizeof(allowed), &allowed) == 0 ? CPU_COUNT(&allowed) : 1;
  // "200000 100000": 0.2 s of processor time in every 0.1 s; or "max 100000".
  std::ifstream quota_file("/sys/fs/cgroup/cpu.max");
  double quota, period;
  if (quota_file >> quota >> period && quota > 0 && period > 0) cores = std::min(cores, std::ceil(quota / period));
  return std::max(1, static_cast<int>(cores));
}

}  // namespace unmask
