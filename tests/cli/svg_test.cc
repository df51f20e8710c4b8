#include "cli/svg.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "tests/cli/recording.h"

namespace unmask {
namespace {

using testing::HasSubstr;
using testing::Not;

// Why `xml` is not well-formed; empty where it is. Knows elements, attributes in double quotes and the predefined
// entities.
std::string XmlProblem(absl::string_view xml) {
  std::vector<std::string> open;
  while (!xml.empty()) {
    const size_t tag = xml.find('<');
    const absl::string_view text = xml.substr(0, tag);
    for (size_t i = text.find('&'); i != absl::string_view::npos; i = text.find('&', i + 1)) {
      const absl::string_view rest = text.substr(i);
      if (!absl::StartsWith(rest, "&amp;") && !absl::StartsWith(rest, "&lt;") && !absl::StartsWith(rest, "&gt;") &&
          !absl::StartsWith(rest, "&quot;")) {
        return "a bare & in " + std::string(text);
      }
    }
    for (const char c : text) {
      if (static_cast<unsigned char>(c) < 0x20 && c != '\n') return "a control character";
    }
    if (tag == absl::string_view::npos) break;
    const size_t end = xml.find('>', tag);
    if (end == absl::string_view::npos) return "an open tag";
    absl::string_view body = xml.substr(tag + 1, end - tag - 1);
    xml.remove_prefix(end + 1);
    if (absl::ConsumePrefix(&body, "/")) {
      if (open.empty() || open.back() != body) return "unexpected </" + std::string(body);
      open.pop_back();
      continue;
    }
    if (absl::StrContains(body, "<")) return "< inside a tag";
    if (std::count(body.begin(), body.end(), '"') % 2 != 0) return "an open quote in " + std::string(body);
    if (!absl::ConsumeSuffix(&body, "/")) open.emplace_back(body.substr(0, body.find(' ')));
  }
  return open.empty() ? "" : "never closed: " + open.back();
}

CanvasState Finished(const std::vector<std::string>& tokens, int block_length = 4) {
  return Play(LayoutWithPrompt("a <b> & \"c\""), Denoise(tokens, block_length, 2).Events());
}

TEST(SvgTest, TheCheckerSeesBrokenXml) {
  EXPECT_EQ(XmlProblem("<a><b/>x &lt;</a>"), "");
  for (const char* bad : {"<a>", "<a></b>", "<a>&</a>", "<a x=\"></a>", "<a>\x1b</a>"})
    EXPECT_NE(XmlProblem(bad), "") << bad;
}

TEST(SvgTest, AnyTextIsWellFormed) {
  const std::string svg =
      RenderSvg(Finished({"<script>", "&amp;", "\"]]>", "\x1b[31m", "\xff", "文字", "\n", "\tx\uFFFF"}));
  EXPECT_EQ(XmlProblem(svg), "");
  EXPECT_THAT(svg, HasSubstr("&lt;script&gt;"));
  EXPECT_THAT(svg, Not(HasSubstr("<script>")));
}

TEST(SvgTest, TheSameStateGivesTheSameBytes) {
  const CanvasState state = Finished({"a", " b", " c", " d"});
  EXPECT_EQ(RenderSvg(state), RenderSvg(state));
  EXPECT_NE(RenderSvg(state), RenderSvg(Finished({"a", " b", " c", " e"})));
}

TEST(SvgTest, TokensStandOnTheColourOfTheirStep) {
  Recording recording;
  recording.tokens = {"first", " last"};
  recording.reveals = {{0}, {1}};
  const std::string svg = RenderSvg(Play(LayoutWithPrompt(""), recording.Events()));
  const size_t first = svg.find("fill=\"#26bcb8\" fill-opacity"), last = svg.find("fill=\"#f68c42\" fill-opacity");
  ASSERT_NE(first, std::string::npos);
  ASSERT_NE(last, std::string::npos);
  EXPECT_LT(first, last);
}

TEST(SvgTest, WideCharactersTakeTwoColumns) {
  Recording recording;
  recording.tokens = {"ab文字"};
  recording.reveals = {{0}};
  const std::string svg = RenderSvg(Play(LayoutWithPrompt(""), recording.Events()));
  EXPECT_THAT(svg, HasSubstr("textLength=\"17.2\">ab</text>"));
  EXPECT_THAT(svg, HasSubstr("textLength=\"34.4\">文字</text>"));
}

TEST(SvgTest, BlocksAreParted) {
  EXPECT_THAT(RenderSvg(Finished({"a", "b", "c", "d"}, 2)), HasSubstr("<line "));
  EXPECT_THAT(RenderSvg(Finished({"a", "b", "c", "d"}, 4)), Not(HasSubstr("<line ")));
}

}  // namespace
}  // namespace unmask
