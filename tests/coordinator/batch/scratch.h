// A folder of a test's own, gone with the object, and files in it.
#ifndef UNMASK_TESTS_COORDINATOR_BATCH_SCRATCH_H_
#define UNMASK_TESTS_COORDINATOR_BATCH_SCRATCH_H_

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace unmask::testing {

class Scratch {
 public:
  Scratch() {
    std::string pattern = ::testing::TempDir() + "/unmask-batch-XXXXXX";
    path_ = mkdtemp(pattern.data());
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline std::string ReadFile(const std::string& path) {
  std::ostringstream content;
  content << std::ifstream(path, std::ios::binary).rdbuf();
  return content.str();
}

inline void WriteFile(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

// `count` generations of TinyModel, without seeds, of lengths that differ; each `bad`-th asks for what cannot be.
inline std::string TinyLines(int count, int bad = 0, int gen_length = 8) {
  std::string lines;
  for (int i = 0; i < count; ++i) {
    const bool wrong = bad > 0 && i % bad == bad - 1;
    absl::StrAppend(&lines, "{\"custom_id\": \"line-", i, "\", \"generate\": {\"token_ids\": {\"ids\": [", 1 + i % 90,
                    ", 2, 3]}, \"output\": {\"token_ids\": true}, \"options\": {\"temperature\": 1, \"gen_length\": ",
                    gen_length * (1 + i % 2), ", \"block_length\": ", wrong ? 3 : gen_length, "}}}\n");
  }
  return lines;
}

}  // namespace unmask::testing

#endif  // UNMASK_TESTS_COORDINATOR_BATCH_SCRATCH_H_
