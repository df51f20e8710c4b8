// How a step's windows are dealt out to the threads of a rank: each thread takes some of them through all layers and
// meets the others once a step instead of after each operation (Backend::RunParts).
#ifndef UNMASK_WORKER_PARTS_H_
#define UNMASK_WORKER_PARTS_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace unmask {

// How many windows each part has, in their order, for windows of `rows` rows each and `at_once` threads. All are one
// part, which all threads share, where fewer windows than threads or one long window would leave threads idle.
std::vector<int> PartSizes(absl::Span<const int64_t> rows, int at_once);

}  // namespace unmask

#endif  // UNMASK_WORKER_PARTS_H_
