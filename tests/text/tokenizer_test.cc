#include "text/tokenizer.h"

#include <atomic>
#include <ctime>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/patience.h"
#include "tests/text/test_folder.h"

namespace unmask {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class TokenizerTest : public testing::Test {
 protected:
  std::vector<int32_t> Encode(absl::string_view text) {
    auto ids = tokenizer_->Encode(text);
    EXPECT_TRUE(ids.ok()) << ids.status();
    return *std::move(ids);
  }
  std::string Decode(const std::vector<int32_t>& ids, bool skip_special = false) {
    auto text = tokenizer_->Decode(ids, skip_special);
    EXPECT_TRUE(text.ok()) << text.status();
    return *std::move(text);
  }
  // The tokens' texts, with bars between them.
  std::string Pieces(absl::string_view text) {
    std::vector<std::string> pieces;
    for (const int32_t id : Encode(text)) pieces.emplace_back(tokenizer_->Piece(id));
    return absl::StrJoin(pieces, "|");
  }

  // Every special token's text.
  std::vector<std::string> Specials() {
    std::vector<std::string> specials;
    for (int32_t id = 0; id < tokenizer_->size(); ++id) {
      if (tokenizer_->IsSpecial(id)) specials.emplace_back(tokenizer_->Piece(id));
    }
    return specials;
  }

  // A random text of pieces that are each hard for some part of the way.
  std::string RandomText() {
    static const std::vector<std::string> parts = {
        "the ",        "12",      " ",      "\n",      "\r\n",   "\t",           "I'll",
        "'S",          "?",       "\u00E9", "e\u0301", "\u03A9", "\u4E2D\u6587", "\U0001F469\U0001F3FD\u200D\U0001F4BB",
        "\U0001F642",  "A\u030A", "\u2028", "\u00A0",  "<|",     "|>",           "_",
        "\u0E01\u0E33"};
    std::string text;
    for (int i = 0; i < 30; ++i) text += parts[random_() % parts.size()];
    return text;
  }

  const std::unique_ptr<Tokenizer> tokenizer_ = LoadSmallTokenizer();
  std::mt19937 random_{11};
};

// Check pieces of LLaDA's regular expression. The merges of the small tokenizer join little, so what is tested is where
// a token must end: "[ ][1][2]" and never "[ 1]" or "[12]".
TEST_F(TokenizerTest, DigitsStandAlone) {
  EXPECT_THAT(Pieces("can run 12"), HasSubstr("| |1|2"));
  EXPECT_EQ(Pieces("2026"), "2|0|2|6");
}

TEST_F(TokenizerTest, LineFeedsEndAPieceOfPunctuation) {
  EXPECT_EQ(Pieces("a.\n\n\nb"), "a|.\n|\n|\n|b");  // ".\n" is a merge: the feeds belong to the full stop's piece.
}

TEST_F(TokenizerTest, WhiteSpaceGivesItsLastSpaceToTheWord) { EXPECT_EQ(Pieces(" \t\n\r  the"), " |\t|\n|\r| | the"); }

TEST_F(TokenizerTest, ContractionsAreAPiece) { EXPECT_EQ(Pieces("he'll"), "he|'ll"); }

TEST_F(TokenizerTest, BytesHaveLladasIds) {
  EXPECT_THAT(Encode("\n"), ElementsAre(198));  // 0x0A, as in LLaDA-8B.
  EXPECT_THAT(Encode(" "), ElementsAre(220));
  EXPECT_THAT(Encode("\t"), ElementsAre(197));
  EXPECT_THAT(Encode("!"), ElementsAre(0));
  EXPECT_THAT(Encode("\n\n"), ElementsAre(198, 198));
  EXPECT_EQ(tokenizer_->Piece(255), "\xAD");
  EXPECT_EQ(tokenizer_->Piece(254), "\xA0");
}

TEST_F(TokenizerTest, TextIsComposedFirst) {
  EXPECT_EQ(Encode("cafe\u0301 A\u030A"), Encode("caf\u00E9 \u00C5"));
  EXPECT_NE(Encode("cafe\u0300"), Encode("caf\u00E9"));
  EXPECT_EQ(Decode(Encode("cafe\u0301")), "caf\u00E9");
}

TEST_F(TokenizerTest, ComposedTextComesBack) {
  for (int round = 0; round < 300; ++round) {
    const std::string once = Decode(Encode(RandomText()));
    EXPECT_EQ(Decode(Encode(once)), once);
  }
  for (const std::string text : {"", " ", "\n", "  leading", "trailing  ", "a  b", "\u2028", "\uFEFFx", "x\u200D"}) {
    EXPECT_EQ(Decode(Encode(text)), text);
  }
  const std::string nul("a\0b", 3);
  EXPECT_EQ(Decode(Encode(nul)), nul);
}

TEST_F(TokenizerTest, TextNeverYieldsASpecialId) {
  const std::vector<std::string> specials = Specials();
  ASSERT_EQ(specials.size(), 14u);
  for (const std::string& special : specials) {
    for (const std::string& text : {special, absl::StrCat("a", special, "b"), absl::StrCat(special, special),
                                    absl::StrCat(" ", special, "\n"), absl::StrCat("<|", special, "|>")}) {
      const std::vector<int32_t> ids = Encode(text);
      for (const int32_t id : ids) EXPECT_FALSE(tokenizer_->IsSpecial(id)) << text;
      EXPECT_EQ(Decode(ids, /*skip_special=*/true), text);
    }
  }
}

TEST_F(TokenizerTest, MalformedTextIsRefusedWithItsPlace) {
  for (const std::string text : {"ab\xFF", "ab\xC3", "ab\xED\xA0\x80", "ab\xC0\x80"}) {
    const auto ids = tokenizer_->Encode(text);
    EXPECT_EQ(ids.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(ids.status().message()), HasSubstr("not UTF-8: malformed at byte 2"));
  }
}

TEST_F(TokenizerTest, IdsOutsideTheVocabularyAreRefusedByIndexAndValue) {
  const int32_t size = tokenizer_->size();
  for (const int32_t id : {-1, size, INT32_MAX, INT32_MIN}) {
    const auto text = tokenizer_->Decode({5, id}, false);
    EXPECT_EQ(text.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(text.status().message(), absl::StrCat("ids[1] = ", id, " is outside the tokenizer's [0, ", size, ")"));
    EXPECT_EQ(tokenizer_->Piece(id), "");
    EXPECT_FALSE(tokenizer_->IsSpecial(id));
  }
  EXPECT_TRUE(tokenizer_->Decode({size - 1}, false).ok());
}

TEST_F(TokenizerTest, TokensAreFoundByTheirSpelling) {
  for (int32_t id = 0; id < tokenizer_->size(); ++id) EXPECT_EQ(tokenizer_->TokenId(tokenizer_->Piece(id)), id);
  EXPECT_EQ(tokenizer_->TokenId("<|no such token|>"), std::nullopt);
  EXPECT_EQ(tokenizer_->TokenId(""), std::nullopt);
  EXPECT_TRUE(tokenizer_->IsSpecial(*tokenizer_->TokenId("<|mdm_mask|>")));
  EXPECT_FALSE(tokenizer_->IsSpecial(*tokenizer_->TokenId(" the")));
}

TEST_F(TokenizerTest, SpecialTokensAreSkippedOnRequest) {
  const std::vector<int32_t> ids = {*tokenizer_->TokenId("a"), *tokenizer_->TokenId("<|eot_id|>"),
                                    *tokenizer_->TokenId("b")};
  EXPECT_EQ(Decode(ids, true), "ab");
  EXPECT_EQ(Decode(ids, false), "a<|eot_id|>b");
}

// One pass over megabytes: a quadratic road would take hours here.
TEST_F(TokenizerTest, LongTextsTakeBoundedTime) {
  const size_t size = 2'000'000;
  std::string mixed;
  while (mixed.size() < size) mixed += RandomText();
  const std::clock_t start = std::clock();  // Of this process alone: other work on the machine is not the tokenizer's.
  for (const std::string& text : {std::string(size, 'a'), std::string(size, ' ') + "x", std::string(size, '\n'),
                                  std::string(size, '.') + "x", std::string(size, '\t') + "\r", mixed}) {
    const std::vector<int32_t> ids = Encode(text);
    const std::string once = Decode(ids);
    EXPECT_TRUE(once == text || text == mixed);  // The mixed text is not composed.
  }
  EXPECT_LT((std::clock() - start) / CLOCKS_PER_SEC, 60 * Patience());
}

// However long the run, its last space goes to the word: the regular expression's engine must not give up half-way.
TEST_F(TokenizerTest, AVeryLongRunOfSpacesIsSplitAsAShortOne) {
  const std::vector<int32_t> ids = Encode(std::string(3'000'000, ' ') + "the \n x");
  const std::vector<int32_t> tail = Encode("   the \n x");
  ASSERT_GE(ids.size(), tail.size());
  const int32_t the = *tokenizer_->TokenId(" the");
  EXPECT_EQ(ids[ids.size() - 5], the);
  EXPECT_EQ(tail[tail.size() - 5], the);
}

TEST_F(TokenizerTest, ThreadsMayShareATokenizer) {
  const std::vector<ChatMessage> messages = {{"user", "Lily can run 12 kilometers per hour."}};
  const std::string text = RandomText();
  const std::vector<int32_t> ids = Encode(text), chat = *tokenizer_->EncodeChat(messages);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 100; ++round) {
        if (*tokenizer_->Encode(text) != ids) ++wrong;
        if (*tokenizer_->EncodeChat(messages) != chat) ++wrong;
        if (!tokenizer_->Decode(ids, true).ok()) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

class TextStreamTest : public TokenizerTest {
 protected:
  TextStream stream_{tokenizer_.get()};
};

TEST_F(TextStreamTest, ACharacterOverSeveralTokensAppearsWhole) {
  const std::vector<int32_t> ids = Encode("\U0001F642");  // No merge knows it: four tokens of one byte.
  ASSERT_EQ(ids.size(), 4u);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(stream_.Append({ids[i]}), "");
  EXPECT_EQ(stream_.Append({ids[3]}), "\U0001F642");
  EXPECT_EQ(stream_.Flush(), "");
}

TEST_F(TextStreamTest, AnUnfinishedCharacterIsReplacedAtTheEnd) {
  const std::vector<int32_t> ids = Encode("\U0001F642");
  EXPECT_EQ(stream_.Append({ids[0], ids[1]}), "");
  EXPECT_EQ(stream_.Flush(), "\uFFFD");
  EXPECT_EQ(stream_.Flush(), "");
  EXPECT_EQ(stream_.Append(Encode("a")), "a");
}

TEST_F(TextStreamTest, SpecialTokensAndIdsWithoutATokenHaveNoText) {
  const std::vector<int32_t> ids = Encode("\u00E9");
  EXPECT_EQ(stream_.Append(Encode("a")), "a");
  EXPECT_EQ(stream_.Append({*tokenizer_->TokenId("<|eot_id|>"), tokenizer_->size(), -1}), "");
  EXPECT_EQ(stream_.Append(ids), "\u00E9");
}

TEST_F(TextStreamTest, ItsPiecesAreWhatDecodeReturns) {
  for (int round = 0; round < 500; ++round) {
    std::vector<int32_t> ids(64);
    // Half of them single bytes, so that characters break in every way.
    for (int32_t& id : ids) id = static_cast<int32_t>(random_() % (random_() % 2 == 0 ? 256 : tokenizer_->size()));
    std::string text;
    for (size_t begin = 0; begin < ids.size();) {
      const size_t size = std::min<size_t>(random_() % 5, ids.size() - begin);
      text += stream_.Append(absl::MakeConstSpan(ids).subspan(begin, size));
      begin += size;
    }
    text += stream_.Flush();
    EXPECT_EQ(text, Decode(ids, /*skip_special=*/true));
  }
}

}  // namespace
}  // namespace unmask
