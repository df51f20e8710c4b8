#ifndef UNMASK_BASE_CORES_H_
#define UNMASK_BASE_CORES_H_

namespace unmask {

// Processor cores that this process may use: its affinity mask, and the quota of its control group. At least 1.
int AllowedCores();

}  // namespace unmask

#endif  // UNMASK_BASE_CORES_H_
