// A job's input as it is read: line by line, bounded in memory, with the digest of all its bytes.
#ifndef UNMASK_COORDINATOR_BATCH_INPUT_H_
#define UNMASK_COORDINATOR_BATCH_INPUT_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/digest.h"
#include "base/whole_file.h"

namespace unmask {

struct BatchLimits {
  int64_t lines = 50'000;
  int64_t bytes = 200'000'000;
  int64_t line_bytes = 4 << 20;  // As a call's.
};

class BatchInput {
 public:
  static BatchInput OfText(std::string text, const BatchLimits& limits);
  static BatchInput OfFile(OwnedFd file, const BatchLimits& limits);

  // The next line that is not blank, without its end; false: there is none. INVALID_ARGUMENT where a limit is passed.
  absl::StatusOr<bool> Next(std::string* line);
  // Its number in the file, from 1.
  int64_t number() const { return number_; }
  // Once all has been read.
  std::string TakeDigest() { return digest_.Finish(); }

 private:
  explicit BatchInput(const BatchLimits& limits) : limits_(limits) {}
  absl::Status Fill();

  BatchLimits limits_;
  OwnedFd file_;        // None: all is in the buffer.
  std::string buffer_;  // What is read and not handed out yet begins at at_.
  size_t at_ = 0;
  bool ended_ = false;
  int64_t bytes_ = 0;
  int64_t number_ = 0;
  Digest digest_;
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_BATCH_INPUT_H_
