// The folder that a coordinator keeps its batch jobs in.
#ifndef UNMASK_COORDINATOR_BATCH_FOLDER_H_
#define UNMASK_COORDINATOR_BATCH_FOLDER_H_

#include <string>

#include "absl/status/status.h"

namespace unmask {

// It has batch.sqlite, and three folders.
struct BatchFolder {
  std::string path;
  std::string uploads() const { return path + "/uploads"; }  // Inputs that no job has yet, until the next start.
  std::string kept() const { return path + "/kept"; }    // Uploads of OpenAI's API, until their clients delete them.
  std::string files() const { return path + "/files"; }  // For clients to name files in.

  // Makes it where it is missing, and forgets old uploads. FAILED_PRECONDITION names what cannot be used.
  absl::Status Prepare() const;
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_BATCH_FOLDER_H_
