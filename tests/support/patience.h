// How many times longer than usual a test waits before it gives up: builds of slow programs say so (cmake/UnmaskTargets.cmake).
// For bounds that a right program meets by far, never for a time that a test measures.
#ifndef UNMASK_TESTS_SUPPORT_PATIENCE_H_
#define UNMASK_TESTS_SUPPORT_PATIENCE_H_

#include <algorithm>
#include <cstdlib>

namespace unmask {

inline int Patience() {
  const char* factor = std::getenv("UNMASK_PATIENCE");
  return factor == nullptr ? 1 : std::max(1, std::atoi(factor));
}

}  // namespace unmask

#endif  // UNMASK_TESTS_SUPPORT_PATIENCE_H_
