// What a folder may hold instead of a good tokenizer.
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/text/test_folder.h"
#include "text/tokenizer.h"

namespace unmask {
namespace {

using ::testing::HasSubstr;

class TokenizerFilesTest : public testing::Test {
 protected:
  absl::Status Load() { return Tokenizer::Load(folder_.path()).status(); }

  void ExpectRefused(const std::string& file, const std::string& why) {
    const absl::Status status = Load();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(folder_.path()));
    EXPECT_THAT(std::string(status.message()), HasSubstr(file));
    EXPECT_THAT(std::string(status.message()), HasSubstr(why));
  }

  TestFolder folder_;
};

TEST_F(TokenizerFilesTest, TokenizerJsonAloneIsEnough) { EXPECT_TRUE(Load().ok()) << Load(); }

TEST_F(TokenizerFilesTest, WithoutTokenizerJsonThereIsNoTokenizer) {
  folder_.Remove("tokenizer.json");
  EXPECT_EQ(Load().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Tokenizer::Load(folder_.path() + "/no/such/folder").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(TokenizerFilesTest, ABrokenTokenizerJsonIsNamed) {
  const std::string json = folder_.Read(SmallTokenizerFolder() + "/tokenizer.json");
  for (const std::string& broken :
       {std::string(), std::string("{"), std::string("[]"), std::string("{}"), std::string("null"),
        std::string("\xFF\xFE"), json.substr(0, json.size() / 2), std::string(100000, '[')}) {
    folder_.Write("tokenizer.json", broken);
    ExpectRefused("tokenizer.json", "");
  }
}

TEST_F(TokenizerFilesTest, AnyTruncationIsRefusedAndEndsNoProcess) {
  const std::string json = folder_.Read(SmallTokenizerFolder() + "/tokenizer.json");
  for (size_t size = 1; size < json.size(); size += 97) {
    folder_.Write("tokenizer.json", json.substr(0, size));
    EXPECT_EQ(Load().code(), absl::StatusCode::kInvalidArgument) << size;
  }
}

TEST_F(TokenizerFilesTest, AFolderInPlaceOfAFileIsRefused) {
  folder_.Remove("tokenizer.json");
  std::filesystem::create_directory(folder_.path() + "/tokenizer.json");
  ExpectRefused("tokenizer.json", "cannot be read");
}

TEST_F(TokenizerFilesTest, ADecoderOtherThanByteLevelIsRefused) {
  folder_.Replace(R"("decoder":{"type":"ByteLevel")", R"("decoder":{"type":"ByteFallback")");
  ExpectRefused("tokenizer.json", "decoder is not ByteLevel");
}

TEST_F(TokenizerFilesTest, APreTokenizerWithoutByteLevelIsRefused) {
  folder_.Replace(R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false})",
                  R"({"type":"Whitespace"})");
  ExpectRefused("tokenizer.json", "pre-tokenizer has no ByteLevel");
}

// Each would let a short text grow without bound: a letter replaced by twenty, twelve times, is 4 * 10^15 letters.
TEST_F(TokenizerFilesTest, AStepThatLengthensTextsIsRefusedByName) {
  const std::string json = folder_.Read(SmallTokenizerFolder() + "/tokenizer.json");
  const auto refused = [&](const std::string& from, const std::string& to, const std::string& why) {
    folder_.Write("tokenizer.json", json);
    folder_.Replace(from, to);
    ExpectRefused("tokenizer.json", why);
  };
  const std::string nfc = R"("normalizer":{"type":"NFC"})";
  const std::string replace = R"({"type":"Replace","pattern":{"String":"a"},"content":"aaaaaaaaaaaaaaaaaaaa"})";
  refused(nfc, R"("normalizer":)" + replace, "the normalizer Replace is not supported");
  refused(nfc, R"("normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},)" + replace + "]}",
          "the normalizer Replace is not supported");
  refused(nfc, R"("normalizer":{"type":"Prepend","prepend":"x"})", "the normalizer Prepend is not supported");
  refused(nfc, R"("normalizer":{"type":"ByteLevel"})", "the normalizer ByteLevel is not supported");
  const std::string byte_level =
      R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false})";
  refused(byte_level, byte_level + "," + byte_level, "the pre-tokenizer has 2 ByteLevels; only one is supported");
  refused(byte_level, byte_level + R"(,{"type":"Metaspace","replacement":"_","prepend_scheme":"always","split":true})",
          "the pre-tokenizer Metaspace is not supported");
}

TEST_F(TokenizerFilesTest, NormalFormsAndLowercaseAreSupported) {
  folder_.Replace(R"("normalizer":{"type":"NFC"})",
                  R"("normalizer":{"type":"Sequence","normalizers":[{"type":"NFKD"},{"type":"Lowercase"}]})");
  EXPECT_TRUE(Load().ok()) << Load();
}

// The library cuts a prefix's length off the front of merged tokens, wherever a character ends.
TEST_F(TokenizerFilesTest, AnAffixThatMakesTheLibraryPanicIsRefused) {
  folder_.Replace(R"("continuing_subword_prefix":null)", R"("continuing_subword_prefix":"xxx")");
  ExpectRefused("tokenizer.json", "");
}

TEST_F(TokenizerFilesTest, AModelOtherThanBpeIsRefused) {
  folder_.Write("tokenizer.json",
                R"({"version":"1.0","added_tokens":[],"decoder":{"type":"ByteLevel","add_prefix_space":false,
    "trim_offsets":true,"use_regex":true},"model":{"type":"WordLevel","vocab":{"a":0},"unk_token":"a"}})");
  ExpectRefused("tokenizer.json", "not BPE");
}

TEST_F(TokenizerFilesTest, ARandomEncodingIsRefused) {
  folder_.Replace(R"("dropout":null)", R"("dropout":0.5)");
  ExpectRefused("tokenizer.json", "dropout");
}

TEST_F(TokenizerFilesTest, AVocabularyThatLacksAByteIsRefused) {
  folder_.Replace(R"("!":0,)", "");
  ExpectRefused("tokenizer.json", "byte 0x21");
}

TEST_F(TokenizerFilesTest, AnIdThatWouldCostMemoryIsRefused) {
  folder_.Replace(R"("!":0,)", R"("!":4000000000,)");
  ExpectRefused("tokenizer.json", "4000000000");
}

TEST_F(TokenizerFilesTest, ASpecialTokenThatStripsSpaceIsRefused) {
  folder_.Replace(R"("lstrip":false)", R"("lstrip":true)");
  ExpectRefused("tokenizer.json", "<|startoftext|>");
}

TEST_F(TokenizerFilesTest, AMergeOfUnknownTokensIsRefused) {
  folder_.Replace(R"("merges":[)", R"("merges":[["no","such"],)");
  ExpectRefused("tokenizer.json", "");
}

TEST_F(TokenizerFilesTest, ARegularExpressionThatIsNoneIsRefused) {
  folder_.Replace(R"(\\s*[\\r\\n])", R"(\\s*[\\r\\n)");
  ExpectRefused("tokenizer.json", "");
}

TEST_F(TokenizerFilesTest, TruncationAndPaddingOfTheFileDoNotApply) {
  folder_.Replace(R"("truncation":null)",
                  R"("truncation":{"direction":"Right","max_length":2,"strategy":"LongestFirst","stride":0})");
  folder_.Replace(R"("padding":null)",
                  R"("padding":{"strategy":{"Fixed":9},"direction":"Right","pad_to_multiple_of":null,
    "pad_id":0,"pad_type_id":0,"pad_token":"!"})");
  const auto tokenizer = Tokenizer::Load(folder_.path());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->Encode("12345")->size(), 5u);
}

TEST_F(TokenizerFilesTest, IdsMayHaveHoles) {
  folder_.Replace(R"("id":769,)", R"("id":999,)");
  const auto tokenizer = Tokenizer::Load(folder_.path());
  if (!tokenizer.ok()) {  // Hugging Face's loader insists on gapless ids in some releases.
    EXPECT_EQ(tokenizer.status().code(), absl::StatusCode::kInvalidArgument);
    return;
  }
  for (int32_t id = 0; id < (*tokenizer)->size(); ++id) {
    EXPECT_TRUE((*tokenizer)->Decode({id}, false).ok());
  }
}

TEST_F(TokenizerFilesTest, ABrokenConfigIsNamed) {
  for (const std::string config : {"{", "\xFF", R"({"chat_template": 3})", R"({"chat_template": "{% for %}"})",
                                   R"({"chat_template": [{"name": "tool_use", "template": "x"}]})"}) {
    folder_.Write("tokenizer_config.json", config);
    ExpectRefused("tokenizer_config.json", "");
  }
}

TEST_F(TokenizerFilesTest, TheTemplateNamedDefaultIsTaken) {
  folder_.Write("tokenizer_config.json", R"({"bos_token": {"content": "<|startoftext|>"}, "chat_template": [
    {"name": "tool_use", "template": "tools"}, {"name": "default", "template": "{{ bos_token }}plain"}]})");
  const auto tokenizer = Tokenizer::Load(folder_.path());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ(*(*tokenizer)->RenderChat({}), "<|startoftext|>plain");
}

TEST_F(TokenizerFilesTest, TheTemplatesOwnFileWins) {
  folder_.Write("tokenizer_config.json", R"({"chat_template": "config"})");
  folder_.Write("chat_template.jinja", "file");
  EXPECT_EQ(*(*Tokenizer::Load(folder_.path()))->RenderChat({}), "file");
}

TEST_F(TokenizerFilesTest, AConfigWithoutATemplateMakesNone) {
  folder_.Write("tokenizer_config.json", R"({"chat_template": null})");
  EXPECT_FALSE((*Tokenizer::Load(folder_.path()))->has_chat_template());
}

}  // namespace
}  // namespace unmask
