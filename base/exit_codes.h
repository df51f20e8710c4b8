// What the processes of Unmask end with (after sysexits.h).
#ifndef UNMASK_BASE_EXIT_CODES_H_
#define UNMASK_BASE_EXIT_CODES_H_

namespace unmask {

enum ExitCode {
  kExitOk = 0,
  kExitUsage = 64,        // Usage, INVALID_ARGUMENT, NOT_FOUND.
  kExitData = 65,         // A corrupt checkpoint. Not restarted.
  kExitUnavailable = 69,  // UNAVAILABLE, RESOURCE_EXHAUSTED, DEADLINE_EXCEEDED.
  kExitSoftware = 70,     // Everything else.
  kExitConfig = 78,       // A configuration that cannot work. Not restarted.
};

}  // namespace unmask

#endif  // UNMASK_BASE_EXIT_CODES_H_
