// Finding every process of a tree, however it was re-parented or regrouped: each child is started with a mark in its
// environment, which its own children inherit. (Open MPI gives every rank a process group of its own, and ranks outlive
// a killed mpirun by more than a second, so neither groups nor parents find them.)
#ifndef UNMASK_CLUSTER_MARKED_PROCESSES_H_
#define UNMASK_CLUSTER_MARKED_PROCESSES_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace unmask {

// The environment variable that holds the mark. Marks are paths: killing "/a" also kills what is marked "/a/b".
inline constexpr char kMarkVariable[] = "UNMASK_SUPERVISOR";

// Living processes of our user, other than ourselves, whose mark is `mark` or lies below it.
std::vector<pid_t> FindMarked(absl::string_view mark);

// The one among them that Open MPI started as rank 0; 0 if there is none on this host.
pid_t FindRankZero(absl::string_view mark);

// SIGKILLs them until none is left. False if some are still there after `limit` (a process in an uninterruptible call).
bool KillMarked(absl::string_view mark, absl::Duration limit);

}  // namespace unmask

#endif  // UNMASK_CLUSTER_MARKED_PROCESSES_H_
