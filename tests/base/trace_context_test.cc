#include "base/trace_context.h"

#include <gtest/gtest.h>

#include <string>

namespace unmask {
namespace {

constexpr char kGood[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

TEST(TraceContextTest, AHeaderIsReadAndToldOn) {
  const auto trace = ParseTraceparent(kGood);
  ASSERT_TRUE(trace.has_value());
  EXPECT_EQ(trace->trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(trace->span_id, "00f067aa0ba902b7");
  EXPECT_EQ(trace->flags, "01");
  EXPECT_EQ(trace->ToString(), kGood);
  EXPECT_EQ(trace->Child(0xabc).ToString(), "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000abc-01");
}

TEST(TraceContextTest, ALaterVersionMaySayMore) {
  const std::string rest = std::string(kGood).substr(2);
  EXPECT_TRUE(ParseTraceparent("01" + rest + "-more").has_value());
  EXPECT_TRUE(ParseTraceparent("cc" + rest).has_value());
  EXPECT_FALSE(ParseTraceparent("cc" + rest + ".more").has_value());
}

TEST(TraceContextTest, WhatBreaksTheFormIsIgnored) {
  const std::string good = kGood;
  for (const std::string& bad : {
           std::string(),
           std::string("00"),
           good.substr(1),
           good + "-00",
           good + "0",
           "ff" + good.substr(2),
           "0X" + good.substr(2),
           std::string("00-00000000000000000000000000000000-00f067aa0ba902b7-01"),
           std::string("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"),
           std::string("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"),
           std::string("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x"),
           std::string("00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
       }) {
    EXPECT_FALSE(ParseTraceparent(bad).has_value()) << bad;
  }
}

}  // namespace
}  // namespace unmask
