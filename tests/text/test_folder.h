// A tokenizer's folder for a test, made from the committed small one.
#ifndef UNMASK_TESTS_TEXT_TEST_FOLDER_H_
#define UNMASK_TESTS_TEXT_TEST_FOLDER_H_

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>

#include "gtest/gtest.h"
#include "text/tokenizer.h"

namespace unmask {

// The folder of the committed tokenizer.
inline std::string SmallTokenizerFolder() { return std::string(std::getenv("UNMASK_SOURCE_DIR")) + "/models/random"; }

inline std::unique_ptr<Tokenizer> LoadSmallTokenizer() {
  auto tokenizer = Tokenizer::Load(SmallTokenizerFolder());
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

// A new folder with a copy of the committed tokenizer.json and nothing else; gone with the object.
class TestFolder {
 public:
  TestFolder() {
    std::string pattern = testing::TempDir() + "/unmask-text-XXXXXX";
    path_ = ::mkdtemp(pattern.data());
    Write("tokenizer.json", Read(SmallTokenizerFolder() + "/tokenizer.json"));
  }
  ~TestFolder() { std::filesystem::remove_all(path_); }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;

  const std::string& path() const { return path_; }

  void Write(const std::string& name, const std::string& contents) const {
    std::ofstream(path_ + "/" + name, std::ios::binary) << contents;
  }
  void Remove(const std::string& name) const { std::filesystem::remove_all(path_ + "/" + name); }

  std::string Read(const std::string& path) const {
    std::ostringstream contents;
    contents << std::ifstream(path, std::ios::binary).rdbuf();
    return contents.str();
  }

  // Rewrites tokenizer.json with the first `from` as `to`.
  void Replace(const std::string& from, const std::string& to) const {
    std::string json = Read(path_ + "/tokenizer.json");
    const size_t at = json.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    Write("tokenizer.json", json.replace(at, from.size(), to));
  }

 private:
  std::string path_;
};

}  // namespace unmask

#endif  // UNMASK_TESTS_TEXT_TEST_FOLDER_H_
