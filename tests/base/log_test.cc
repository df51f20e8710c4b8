#include "base/log.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

namespace unmask {
namespace {

class LogTest : public testing::Test {
 protected:
  ~LogTest() override { SetLogFormat(LogFormat::kText); }

  template <typename Action>
  static std::string Written(Action action) {
    testing::internal::CaptureStderr();
    action();
    return testing::internal::GetCapturedStderr();
  }
};

TEST_F(LogTest, TextIsALineOfTimeLevelComponentMessageAndFields) {
  const std::string line = Written([] {
    Log(Severity::kWarning, "a thing happened", {{"name", "a b=\"c\""}, {"none", ""}, {"count", 3}, {"ms", 1.5}});
  });
  ASSERT_GT(line.size(), 12u);
  EXPECT_EQ(line.substr(12), " W unmask: a thing happened name=\"a b=\\\"c\\\"\" count=3 ms=1.5\n");
}

TEST_F(LogTest, JsonIsOneObjectALineWhateverTheBytes) {
  SetLogFormat(LogFormat::kJson);
  const std::string line = Written([] {
    Log(Severity::kError, "two\nlines \"quoted\" \xff", {{"replica", "r"}, {"none", ""}, {"epoch", uint64_t{7}}});
  });
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const auto json = nlohmann::json::parse(line);
  EXPECT_EQ(json.at("level"), "error");
  EXPECT_EQ(json.at("component"), "unmask");
  EXPECT_EQ(json.at("msg"), "two\nlines \"quoted\" \xef\xbf\xbd");
  EXPECT_EQ(json.at("replica"), "r");
  EXPECT_EQ(json.at("epoch"), 7);
  EXPECT_FALSE(json.contains("none"));
  EXPECT_EQ(json.at("ts").get<std::string>().size(), std::string("2026-01-01T00:00:00.000000Z").size());
}

TEST_F(LogTest, ALineThatIsNoJsonBecomesAMessage) {
  const auto relay = [](const std::string& line) { return Written([&] { RelayLogLine(line); }); };
  EXPECT_EQ(relay("mpirun has died"), "mpirun has died\n");
  SetLogFormat(LogFormat::kJson);
  EXPECT_EQ(nlohmann::json::parse(relay("mpirun has \"died\"")).at("msg"), "mpirun has \"died\"");
  const std::string ours = Written([] { LogInfo("ready"); });
  EXPECT_EQ(relay(ours.substr(0, ours.size() - 1)), ours);
}

TEST_F(LogTest, AnErrorIsReadBackInEitherFormat) {
  for (const LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
    SetLogFormat(format);
    const auto read = [](Severity severity) {
      std::string line = Written([&] { Log(severity, "model: no such tensor: x"); });
      line.pop_back();
      return ErrorMessageOfLogLine(line);
    };
    EXPECT_EQ(read(Severity::kError), "model: no such tensor: x");
    EXPECT_EQ(read(Severity::kWarning), "");
  }
  for (const char* other : {"", "x", "{\"ts\":", "{\"ts\":1,\"level\":\"error\",\"msg\":2}", "{\"ts\":[]}"}) {
    EXPECT_EQ(ErrorMessageOfLogLine(other), "") << other;
  }
}

}  // namespace
}  // namespace unmask
