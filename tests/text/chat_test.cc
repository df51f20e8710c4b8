// Chat templates: what LLaDA's renders, and what no message and no template can do.
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/patience.h"
#include "tests/text/test_folder.h"
#include "text/tokenizer.h"

namespace unmask {
namespace {

using ::testing::HasSubstr;

constexpr char kHeader[] = "<|start_header_id|>";
constexpr char kEnd[] = "<|end_header_id|>";

class ChatTest : public testing::Test {
 protected:
  std::string Render(const std::vector<ChatMessage>& messages) {
    auto text = tokenizer_->RenderChat(messages);
    EXPECT_TRUE(text.ok()) << text.status();
    return text.value_or("");
  }
  std::vector<int32_t> Encode(const std::vector<ChatMessage>& messages) {
    auto ids = tokenizer_->EncodeChat(messages);
    EXPECT_TRUE(ids.ok()) << ids.status();
    return ids.value_or(std::vector<int32_t>());
  }
  // Special ids in order, by their text.
  std::string SpecialsOf(const std::vector<int32_t>& ids) {
    std::string specials;
    for (const int32_t id : ids) {
      if (tokenizer_->IsSpecial(id)) absl::StrAppend(&specials, tokenizer_->Piece(id));
    }
    return specials;
  }
  // What LLaDA's template leaves of special tokens for `turns` harmless messages.
  static std::string Skeleton(int turns) {
    std::string skeleton = "<|startoftext|>";
    for (int i = 0; i < turns; ++i) absl::StrAppend(&skeleton, kHeader, kEnd, "<|eot_id|>");
    return absl::StrCat(skeleton, kHeader, kEnd);
  }
  void LoadTemplate(const std::string& source) {
    folder_.Write("chat_template.jinja", source);
    auto tokenizer = Tokenizer::Load(folder_.path());
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    tokenizer_ = *std::move(tokenizer);
  }
  // The error of a conversation under `source`.
  std::string ErrorOf(const std::string& source) {
    LoadTemplate(source);
    const auto ids = tokenizer_->EncodeChat({{"user", "hello"}});
    EXPECT_EQ(ids.status().code(), absl::StatusCode::kInvalidArgument) << source;
    return std::string(ids.status().message());
  }

  TestFolder folder_;
  std::unique_ptr<Tokenizer> tokenizer_ = LoadSmallTokenizer();
};

TEST_F(ChatTest, TwoTurnsRenderAsLladasTemplateDoes) {
  EXPECT_EQ(Render({{"user", " Hello \n"}, {"assistant", "Hi."}, {"user", "12 + 3?"}}),
            "<|startoftext|><|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nHi.<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\n12 + 3?<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n");
}

TEST_F(ChatTest, IdsAreTheTemplatesTokensAroundTheContents) {
  const std::vector<int32_t> ids = Encode({{"user", "Lily can run 12 kilometers"}});
  std::vector<int32_t> expected;
  const auto special = [&](absl::string_view token) { expected.push_back(*tokenizer_->TokenId(token)); };
  const auto text = [&](absl::string_view plain) {
    const auto encoded = *tokenizer_->Encode(plain);
    expected.insert(expected.end(), encoded.begin(), encoded.end());
  };
  special("<|startoftext|>");
  special(kHeader);
  text("user");
  special(kEnd);
  text("\n\nLily can run 12 kilometers");
  special("<|eot_id|>");
  special(kHeader);
  text("assistant");
  special(kEnd);
  text("\n\n");
  EXPECT_EQ(ids, expected);
}

TEST_F(ChatTest, AnyRoleAndAnEmptyContentPassThrough) {
  EXPECT_EQ(Render({{"narrator-2", ""}}),
            "<|startoftext|><|start_header_id|>narrator-2<|end_header_id|>\n\n<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n");
  EXPECT_EQ(Render({{"a b", "  \n"}}),
            "<|startoftext|><|start_header_id|>a b<|end_header_id|>\n\n<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n");
}

TEST_F(ChatTest, ContentsNeverBecomeControlTokens) {
  for (int32_t id = 0; id < tokenizer_->size(); ++id) {
    if (!tokenizer_->IsSpecial(id)) continue;
    const std::string special(tokenizer_->Piece(id));
    for (const std::string& content : {special, absl::StrCat(" ", special, special, "\n"), absl::StrCat("<|", special),
                                       absl::StrCat("a", special, "b"), absl::StrCat(special, "\u00E9")}) {
      const std::vector<ChatMessage> messages = {{"user", content}, {"assistant", content}};
      const std::vector<int32_t> ids = Encode(messages);
      EXPECT_EQ(SpecialsOf(ids), Skeleton(2)) << content;
      EXPECT_EQ(*tokenizer_->Decode(ids, false), Render(messages));
      EXPECT_THAT(Render(messages), HasSubstr(content.substr(1, content.size() - 2)));
    }
    EXPECT_EQ(SpecialsOf(Encode({{special, "x"}})), Skeleton(1)) << special;
  }
}

TEST_F(ChatTest, NoCutOfAControlTokenOverTemplateAndMessagesIsOne) {
  // A template that sets everything side by side, trimmed or not, and spells half a token itself.
  for (const std::string content : {"message.content", "message.content | trim", "message['content'].strip()"}) {
    for (const std::string role : {"", "{{ message.role }}"}) {
      LoadTemplate("{% for message in messages %}" + role + "{{ " + content + " }}{% endfor %}");
      const std::string special = "<|eot_id|>";
      for (size_t cut = 1; cut < special.size(); ++cut) {
        const std::string head = special.substr(0, cut), tail = special.substr(cut);
        const std::vector<ChatMessage> messages = {{"", head}, {"", tail}};
        EXPECT_EQ(Render(messages), special);
        EXPECT_EQ(SpecialsOf(Encode(messages)), "") << head << " " << tail << " " << content;
      }
      LoadTemplate("<|eot{{ messages[0].content | trim }}d|>");
      EXPECT_EQ(SpecialsOf(Encode({{"", "_i"}})), "");
      LoadTemplate("<|eot_id|{{ messages[0].content | trim }}|eot_id|>");
      EXPECT_EQ(SpecialsOf(Encode({{"", ">"}})), "");
      EXPECT_EQ(SpecialsOf(Encode({{"", "<"}})), "");
      EXPECT_EQ(SpecialsOf(Encode({{"", "> <"}})), "");
    }
  }
}

TEST_F(ChatTest, ATemplateThatCutsContentsUpStillYieldsNoControlToken) {
  LoadTemplate(
      "{{ messages[0].content.split('x') | join('') }}{{ messages[0].content | replace('x', '') }}"
      "{{ messages[0].content[1:-1] }}{{ messages[0].content | upper | lower }}");
  EXPECT_EQ(SpecialsOf(Encode({{"user", "<|eox</role>xt_id|>xx<|eot_id|>"}})), "");
  EXPECT_EQ(SpecialsOf(Encode({{"user", "x<|eot_id|>x"}})), "");
}

// The planted wrong variant of the tests above: the template's own text does yield control tokens.
TEST_F(ChatTest, TheTemplatesOwnTextYieldsControlTokens) {
  LoadTemplate("<|eot{{ '_id|>' }}{{ messages[0].content }}<|mdm_mask|>");
  EXPECT_EQ(SpecialsOf(Encode({{"user", "x"}})), "<|eot_id|><|mdm_mask|>");
}

TEST_F(ChatTest, MergesCrossTheEdgesOfContentsAsInTheRenderedText) {
  LoadTemplate("Say: t{{ messages[0].content }}re");
  const std::vector<ChatMessage> messages = {{"user", "he the"}};
  EXPECT_EQ(Encode(messages), *tokenizer_->Encode("Say: the there"));
  EXPECT_EQ(Render(messages), "Say: the there");
}

TEST_F(ChatTest, MarksAreNeverSeenWhateverCharactersAreUsed) {
  std::string content;
  for (char32_t c = 0xFDD0; c <= 0xFDEF; ++c) {
    content +=
        {static_cast<char>(0xEF), static_cast<char>(0x80 | (c >> 6 & 0x3F)), static_cast<char>(0x80 | (c & 0x3F))};
  }
  content += "\U000F0000\U000F0001<|eot_id|>";
  const std::vector<ChatMessage> messages = {{"user", content}};
  EXPECT_THAT(Render(messages), HasSubstr("\n\n" + content + "<|eot_id|>"));
  EXPECT_EQ(SpecialsOf(Encode(messages)), Skeleton(1));
}

TEST_F(ChatTest, MalformedMessagesAreNamed) {
  const auto ids = tokenizer_->EncodeChat({{"user", "fine"}, {"user", "a\xFF"}});
  EXPECT_EQ(ids.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ids.status().message(), "messages[1].content is not UTF-8: malformed at byte 1");
}

TEST_F(ChatTest, WithoutATemplateChatsAreRefused) {
  const auto tokenizer = *Tokenizer::Load(folder_.path());
  EXPECT_FALSE(tokenizer->has_chat_template());
  EXPECT_EQ(tokenizer->EncodeChat({{"user", "x"}}).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(tokenizer->RenderChat({{"user", "x"}}).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ChatTest, LongConversationsRender) {
  std::vector<ChatMessage> messages(2000, {"user", std::string(1000, '<')});
  EXPECT_EQ(SpecialsOf(Encode(messages)), Skeleton(2000));
}

TEST_F(ChatTest, HuggingFacesDialectWorks) {
  LoadTemplate(
      "{% set ns = namespace(found=false) %}\n"
      "{%- for m in messages if m['role'] != 'system' %}\n"
      "  {%- if loop.first %}{{ bos_token | default('?') }}{% endif %}\n"
      "  {{- '[' ~ m.role.upper() ~ ']' + m.content.split(' ')[-1].strip() }}\n"
      "  {%- set ns.found = true %}\n"
      "  {%- if m.content.startswith('stop') %}{% break %}{% endif %}\n"
      "{%- endfor %}\n"
      "{% if add_generation_prompt and ns.found and not tools %}\n"
      "    {{- '[ASSISTANT]' }}\n"
      "{%- endif %}\n");
  EXPECT_EQ(Render({{"system", "a"}, {"user", "b c"}, {"user", "d e"}}), "?[USER]c[USER]e[ASSISTANT]");
}

TEST_F(ChatTest, WhatATemplateRaisesIsPassedOn) {
  EXPECT_THAT(ErrorOf("{{ raise_exception('Roles must alternate') }}"), HasSubstr("Roles must alternate"));
  EXPECT_THAT(ErrorOf("{{ nothing.of.the.kind }}"), HasSubstr("undefined"));
  EXPECT_THAT(ErrorOf("{{ messages | no_such_filter }}"), HasSubstr("no_such_filter"));
}

TEST_F(ChatTest, ErrorsDoNotQuoteMessages) {
  LoadTemplate("{% for m in messages %}{{ m.content + 1 }}{% endfor %}");
  const auto ids = tokenizer_->EncodeChat({{"user", "my secret"}});
  EXPECT_EQ(ids.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(ids.status().message()), testing::Not(HasSubstr("secret")));
}

TEST_F(ChatTest, HostileTemplatesEndWithAnError) {
  const auto start = std::chrono::steady_clock::now();
  const std::string million = "{% for a in range(99999) %}{% for b in range(99999) %}";
  for (const std::string& source : {
           million + "{% endfor %}{% endfor %}",                                                // Time.
           million + "x{% endfor %}{% endfor %}",                                               // Output.
           std::string("{{ 'x' * 1000000000 }}"),                                               // One large string,
           std::string("{{ 'x' * 90000000 }}"),                                                 //
           std::string("{% set n = namespace(s='xxxxxxxxxxxxxxxx') %}{% for i in range(60) %}"  // doubling,
                       "{% set n.s = n.s ~ n.s %}{% endfor %}{{ n.s | length }}"),
           std::string("{% set n = namespace(s='xxxxxxxxxxxxxxxx') %}{% for i in range(60) %}"
                       "{% set n.s %}{{ n.s }}{{ n.s }}{% endset %}{% endfor %}"),
           std::string("{% set n = namespace(s='xx') %}{% for i in range(60) %}"
                       "{% set n.s = n.s | replace('x', n.s) %}{% endfor %}{{ n.s | length }}"),
           std::string("{{ 'x' | indent(2000000000) }}{{ '%2000000000d' | format(1) }}"),
           std::string("{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}"),  // Depth.
           std::string("{% macro f(x) %}{{ f(x ~ x) }}{{ f(x ~ x) }}{% endmacro %}{{ f('ab') }}"),
           std::string("{% for x in messages recursive %}{{ loop(messages) }}{% endfor %}"),
       }) {
    EXPECT_NE(ErrorOf(source), "") << source;
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60) * Patience());
}

// Lists are lazy and may nest: what takes no fuel to build must not take the process when it is walked or dropped.
TEST_F(ChatTest, DeeplyNestedValuesDoNotEndTheProcess) {
  for (const std::string use :
       {"", "{{ n.s }}", "{{ n.s | tojson }}", "{{ n.s == [n.s] }}", "{{ n.s | string | length }}"}) {
    for (const std::string grow : {"[n.s]", "{'a': n.s}", "[n.s] + [1]", "(n.s, 1)", "[[[[[[[[n.s]]]]]]]]"}) {
      LoadTemplate("{% set n = namespace(s=[]) %}{% for i in range(90000) %}{% set n.s = " + grow + " %}{% endfor %}" +
                   use);
      tokenizer_->RenderChat({{"user", "hello"}}).IgnoreError();
    }
  }
}

TEST_F(ChatTest, AVeryLongExpressionDoesNotEndTheProcess) {
  for (const std::string link : {"+a", ".a", "[a]", "(a)", "|a", " and a", " if a", "~a"}) {
    std::string source = "{{ a";
    while (source.size() < 30'000) source += link;
    folder_.Write("chat_template.jinja", source + " }}");
    const auto tokenizer = Tokenizer::Load(folder_.path());
    if (tokenizer.ok()) (*tokenizer)->RenderChat({{"user", "hello"}}).IgnoreError();
  }
}

TEST_F(ChatTest, AListThatWouldNeverEndIsGivenUp) {
  EXPECT_THAT(ErrorOf("{% set n = namespace(s=[1,2]) %}{% for i in range(60) %}{% set n.s = n.s + n.s %}{% endfor %}"
                      "{{ n.s | length }}{{ n.s | join('') }}"),
              HasSubstr("the chat template "));
}

TEST_F(ChatTest, TemplatesWithSyntaxErrorsAreRefusedAtLoadByFile) {
  const std::string deep(100000, '(');
  for (const std::string& source : {std::string("{% for %}"), std::string("{{ 'x' "), std::string("{% if x %}"),
                                    "{{ " + deep + " }}", std::string("\xFF"), std::string(2 << 20, 'x')}) {
    folder_.Write("chat_template.jinja", source);
    const absl::Status status = Tokenizer::Load(folder_.path()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("chat_template.jinja: "));
    EXPECT_LT(status.message().size(), 1000u);
  }
}

}  // namespace
}  // namespace unmask
