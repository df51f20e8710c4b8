// Files that break a rule: each is refused with a message that names the file and the tensor, and none crashes.
#include "worker/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <random>
#include <string>

#include "tests/worker/made_checkpoint.h"

namespace unmask {
namespace {

using ::testing::HasSubstr;
using testing::RaggedConfig;
using testing::SafetensorsBytes;
using testing::TempFolder;

struct BrokenFile {
  const char* name;
  std::string bytes;
  const char* error;
};

std::string Header(uint64_t claimed, const std::string& rest) {
  return std::string(reinterpret_cast<const char*>(&claimed), 8) + rest;
}

std::string OneTensor(const std::string& dtype, const std::string& shape, const std::string& offsets, size_t data) {
  return SafetensorsBytes(
      R"({"a":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}",
      std::string(data, '\0'));
}

class BrokenFileTest : public ::testing::TestWithParam<BrokenFile> {};

TEST_P(BrokenFileTest, IsRefusedByName) {
  const TempFolder folder;
  folder.Write("model.safetensors", GetParam().bytes);
  const auto checkpoint = Checkpoint::Open(folder.path());
  ASSERT_FALSE(checkpoint.ok());
  EXPECT_EQ(checkpoint.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(checkpoint.status().message()), HasSubstr(GetParam().error));
  EXPECT_THAT(std::string(checkpoint.status().message()), HasSubstr("model.safetensors"));
}

INSTANTIATE_TEST_SUITE_P(
    All, BrokenFileTest,
    ::testing::Values(
        BrokenFile{"Empty", "", "the file has 0 bytes"},                                   //
        BrokenFile{"SevenBytes", "1234567", "the file has 7 bytes"},                       //
        BrokenFile{"HeaderBeyondFile", Header(100, "{}"), "the header claims 100 bytes"},  //
        BrokenFile{"HeaderOfAllBytes", Header(~uint64_t{0}, "{}"), "the header claims 18446744073709551615 bytes"},
        BrokenFile{"HeaderWrapsAround", Header(~uint64_t{0} - 7, "{}"), "the header claims"},
        BrokenFile{"NotJson", SafetensorsBytes("hello", ""), "header: not JSON"},
        BrokenFile{"Array", SafetensorsBytes("[]", ""), "the JSON is not an object"},
        BrokenFile{"NoHeader", SafetensorsBytes("", ""), "header: not JSON"},
        BrokenFile{"BadUtf8", SafetensorsBytes("{\"\xff\xfe\":1}", ""), "header: not JSON"},
        BrokenFile{"Deep", SafetensorsBytes(std::string(5'000'000, '['), ""), "nested more than 4 deep"},
        BrokenFile{"DeepInObject", SafetensorsBytes(R"({"a":{"b":{"c":{"d":{}}}}})", ""), "nested more than 4 deep"},
        BrokenFile{"Duplicate",
                   SafetensorsBytes(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                                    R"("a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                                    std::string(8, '\0')),
                   "the key a appears twice"},
        BrokenFile{"DuplicateInside",
                   SafetensorsBytes(R"({"a":{"dtype":"F32","dtype":"F16","shape":[1],"data_offsets":[0,4]}})", "1234"),
                   "the key dtype appears twice"},
        BrokenFile{"TensorIsNoObject", SafetensorsBytes(R"({"a":3})", ""), "a: its entry is not an object"},
        BrokenFile{"UnknownDtype", OneTensor("I64", "[1]", "[0,8]", 8), "a: dtype I64 is none of F32, F16, BF16"},
        BrokenFile{"DtypeIsNumber", SafetensorsBytes(R"({"a":{"dtype":1,"shape":[1],"data_offsets":[0,4]}})", "1234"),
                   "a: dtype is missing or not a string"},
        BrokenFile{"NoShape", SafetensorsBytes(R"({"a":{"dtype":"F32","data_offsets":[0,4]}})", "1234"), "a: shape is"},
        BrokenFile{"NegativeShape", OneTensor("F32", "[-1]", "[0,4]", 4), "a: shape holds what is no non-negative"},
        BrokenFile{"FractionalShape", OneTensor("F32", "[1.5]", "[0,4]", 4), "a: shape holds"},
        BrokenFile{"HugeNumber", OneTensor("F32", "[18446744073709551615]", "[0,4]", 4), "a: shape holds"},
        BrokenFile{"OverflowingShape", OneTensor("F32", "[4294967296,4294967296]", "[0,4]", 4), "overflows"},
        BrokenFile{"OverflowToFit", OneTensor("F32", "[4611686018427387905]", "[0,4]", 4), "overflows"},
        BrokenFile{"TooManyDimensions", OneTensor("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]", 4), "a: shape is"},
        BrokenFile{"OneOffset", OneTensor("F32", "[1]", "[0]", 4), "a: data_offsets [0]"},
        BrokenFile{"OffsetsBackwards", OneTensor("F32", "[1]", "[4,0]", 4), "a: data_offsets [4,0]"},
        BrokenFile{"BeyondTheEnd", OneTensor("F32", "[2]", "[0,8]", 4), "are not a range of the file's 4 bytes"},
        BrokenFile{"SizeMismatch", OneTensor("F32", "[2]", "[0,4]", 4), "takes 8 bytes, data_offsets give it 4"},
        BrokenFile{"GapBefore", OneTensor("F32", "[1]", "[4,8]", 8), "a begins at byte 4"},
        BrokenFile{"TrailingBytes", OneTensor("F32", "[1]", "[0,4]", 9), "the tensors end at byte 4 of 9"},
        BrokenFile{"Overlap",
                   SafetensorsBytes(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                                    R"("b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
                                    std::string(12, '\0')),
                   "b begins at byte 4 of the data, the tensor before it ends at byte 8"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(SafetensorsTest, WhateverAFileIsCutToOrFlippedInIsRefusedOrRead) {
  // Truncations at every length of the header, and random damage: no crash, and no view outside the file.
  const TempFolder folder;
  auto config = RaggedConfig();
  config["d_model"] = 10;
  config["mlp_hidden_size"] = 7;
  config["embedding_size"] = 11;
  config["n_layers"] = 1;
  const std::string whole = testing::SafetensorsOf(testing::RandomTensors(config), DType::kF32);
  for (size_t length = 0; length < std::min<size_t>(whole.size(), 1500); length += 13) {
    folder.Write("model.safetensors", whole.substr(0, length));
    EXPECT_FALSE(Checkpoint::Open(folder.path()).ok()) << length;
  }
  std::mt19937 random(5);
  for (int trial = 0; trial < 600; ++trial) {
    std::string damaged = whole;
    for (int i = 0; i < 3; ++i) damaged[random() % 1000] = static_cast<char>(random());
    folder.Write("model.safetensors", damaged);
    const auto checkpoint = Checkpoint::Open(folder.path());
    if (!checkpoint.ok()) continue;
    for (const auto& [name, tensor] : (*checkpoint)->tensors()) {
      EXPECT_GE(tensor.bytes.data(), tensor.file->bytes().data());
      EXPECT_LE(tensor.bytes.data() + tensor.bytes.size(), tensor.file->bytes().data() + tensor.file->bytes().size());
    }
  }
}

TEST(SafetensorsTest, AFolderOrPipeInPlaceOfTheFileIsRefused) {
  const TempFolder folder;
  std::filesystem::create_directory(folder.File("model.safetensors"));
  EXPECT_THAT(std::string(Checkpoint::Open(folder.path()).status().message()), HasSubstr("is not a regular file"));
  const TempFolder with_pipe;
  ASSERT_EQ(mkfifo(with_pipe.File("model.safetensors").c_str(), 0600), 0);
  EXPECT_THAT(std::string(Checkpoint::Open(with_pipe.path()).status().message()), HasSubstr("is not a regular file"));
}

// --- Shards
// -------------------------------------------------------------------------------------------------------------

struct BrokenIndex {
  const char* name;
  std::string index;
  const char* error;
};

class BrokenIndexTest : public ::testing::TestWithParam<BrokenIndex> {};

TEST_P(BrokenIndexTest, IsRefusedByName) {
  const TempFolder folder;
  folder.Write("one.safetensors", OneTensor("F32", "[1]", "[0,4]", 4));  // Holds a.
  folder.Write("model.safetensors.index.json", GetParam().index);
  const auto checkpoint = Checkpoint::Open(folder.path());
  ASSERT_FALSE(checkpoint.ok());
  EXPECT_EQ(checkpoint.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(checkpoint.status().message()), HasSubstr(GetParam().error));
}

INSTANTIATE_TEST_SUITE_P(
    All, BrokenIndexTest,
    ::testing::Values(
        BrokenIndex{"NotJson", "{", "index.json: not JSON"},
        BrokenIndex{"NoMap", "{}", "weight_map is missing or not an object"},
        BrokenIndex{"MapOfNumbers", R"({"weight_map":{"a":1}})", "a has no file name"},
        BrokenIndex{"Traversal", R"({"weight_map":{"a":"../one.safetensors"}})",
                    "which is no file name of this folder"},
        BrokenIndex{"Absolute", R"({"weight_map":{"a":"/etc/x.safetensors"}})", "which is no file name of this folder"},
        BrokenIndex{"OtherFile", R"({"weight_map":{"a":"passwd"}})", "which is no file name of this folder"},
        BrokenIndex{"Hidden", R"({"weight_map":{"a":".safetensors"}})", "which is no file name of this folder"},
        BrokenIndex{"NulInName", R"({"weight_map":{"a":"one\u0000.safetensors"}})",
                    "which is no file name of this folder"},
        BrokenIndex{"MissingShard", R"({"weight_map":{"a":"two.safetensors"}})", "two.safetensors"},
        BrokenIndex{"AbsentTensor", R"({"weight_map":{"a":"one.safetensors","b":"one.safetensors"}})",
                    "the index has b in one.safetensors, which lacks it"},
        BrokenIndex{"TotalSize", R"({"metadata":{"total_size":5},"weight_map":{"a":"one.safetensors"}})",
                    "total_size is 5, the tensors have 4 bytes"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(ShardsTest, ATensorThatTheIndexDoesNotKnowOrThatTwoFilesHoldIsRefused) {
  const TempFolder folder;
  folder.Write("one.safetensors", OneTensor("F32", "[1]", "[0,4]", 4));
  folder.Write("two.safetensors", OneTensor("F32", "[1]", "[0,4]", 4));
  folder.Write("model.safetensors.index.json", R"({"weight_map":{"a":"one.safetensors","b":"two.safetensors"}})");
  EXPECT_THAT(std::string(Checkpoint::Open(folder.path()).status().message()), HasSubstr("a is also in another file"));
  folder.Write("model.safetensors.index.json", R"({"weight_map":{"b":"two.safetensors"}})");
  EXPECT_THAT(std::string(Checkpoint::Open(folder.path()).status().message()), HasSubstr("a of"));
}

TEST(ShardsTest, NeitherFileNorIndexIsRefused) {
  const TempFolder folder;
  EXPECT_THAT(std::string(Checkpoint::Open(folder.path()).status().message()),
              HasSubstr("holds neither model.safetensors nor model.safetensors.index.json"));
}

}  // namespace
}  // namespace unmask
