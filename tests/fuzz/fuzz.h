// What fuzz targets share. A target is one LLVMFuzzerTestOneInput: libFuzzer calls it under the `fuzz` preset, and
// replay_main.cc in every other build, once for each input of corpus/TARGET.
#ifndef UNMASK_TESTS_FUZZ_FUZZ_H_
#define UNMASK_TESTS_FUZZ_FUZZ_H_

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/string_view.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace unmask::testing {

inline absl::string_view InputOf(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// An invariant: ends the process, which is how a fuzzer learns of it.
inline void Require(bool holds, const std::string& what) {
  if (holds) return;
  std::fprintf(stderr, "the invariant does not hold: %s\n", what.c_str());
  std::abort();
}

// 64 bits of an input, for choices that the input does not spell out (FNV-1a).
inline uint64_t HashOf(absl::string_view input) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : input) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return hash;
}

// Cuts pieces off an input: each is led by its length in two bytes, low byte first; a length beyond the end means the
// rest. So every input is well-formed, and a seed is easy to write.
class Pieces {
 public:
  explicit Pieces(absl::string_view input) : rest_(input) {}
  bool done() const { return rest_.empty(); }
  uint8_t Byte() {
    if (rest_.empty()) return 0;
    const uint8_t byte = static_cast<uint8_t>(rest_[0]);
    rest_.remove_prefix(1);
    return byte;
  }
  absl::string_view Next() {
    const size_t low = Byte();
    const size_t length = low | (static_cast<size_t>(Byte()) << 8);
    const absl::string_view piece = rest_.substr(0, length);
    rest_.remove_prefix(piece.size());
    return piece;
  }

 private:
  absl::string_view rest_;
};

// A temporary folder, gone with the process's normal end; scripts/fuzz.sh points TMPDIR into memory and sweeps it.
class FuzzFolder {
 public:
  FuzzFolder() {
    path_ = std::filesystem::temp_directory_path() / "unmask-fuzz-XXXXXX";
    Require(mkdtemp(path_.data()) != nullptr, "a temporary folder can be made");
  }
  ~FuzzFolder() { std::filesystem::remove_all(path_); }
  FuzzFolder(const FuzzFolder&) = delete;
  FuzzFolder& operator=(const FuzzFolder&) = delete;

  const std::string& path() const { return path_; }
  void Write(const std::string& name, absl::string_view bytes) const {
    std::ofstream(path_ + "/" + name, std::ios::binary) << bytes;
  }

 private:
  std::string path_;
};

inline std::string ReadSource(const std::string& relative) {
  const char* root = std::getenv("UNMASK_SOURCE_DIR");
  std::ifstream file(std::string(root ? root : ".") + "/" + relative, std::ios::binary);
  Require(file.good(), relative + " is there (UNMASK_SOURCE_DIR names the tree)");
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace unmask::testing

#endif  // UNMASK_TESTS_FUZZ_FUZZ_H_
