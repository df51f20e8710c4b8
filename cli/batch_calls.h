// What the batch commands share: an input's way to the service, a job's to its end, results' to a file.
#ifndef UNMASK_CLI_BATCH_CALLS_H_
#define UNMASK_CLI_BATCH_CALLS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/whole_file.h"
#include "cli/generation_flags.h"
#include "cli/session.h"
#include "unmask/v1/batch_service.pb.h"

namespace unmask {

// SHA-256 of a file. NOT_FOUND names one that cannot be read.
absl::StatusOr<std::string> DigestOf(const std::string& path);

// Uploads the file and creates a job of it. The flags' seed is the job's; their other options are what lines leave
// unset.
absl::StatusOr<v1::BatchJob> SubmitFile(const std::string& path, v1::BatchJob job, const GenerationFlags& flags,
                                        Client* client);

// Shows the job's progress until it has ended, whether the service restarts meanwhile or not. UNAVAILABLE when it stays
// away; CANCELLED after Ctrl-C.
absl::StatusOr<v1::BatchJob> WatchToItsEnd(const std::string& name, Session* session);

// A file in a folder that exists, to be begun.
absl::StatusOr<WholeFile> FileAt(const std::string& path);

// All results that are there, in order, through `write`.
absl::Status FetchResults(const std::string& name, Client* client,
                          const std::function<absl::Status(const std::string& line)>& write);

// "10000 lines: 9988 succeeded, 12 failed".
std::string Summary(const v1::BatchJob& job);

}  // namespace unmask

#endif  // UNMASK_CLI_BATCH_CALLS_H_
