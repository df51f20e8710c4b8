#include "cli/generation_flags.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "cli/commands.h"

namespace unmask {
namespace {

using testing::HasSubstr;

// The flags after `arguments` of a command, or the parser's complaint in *error.
GenerationFlags Parse(std::vector<std::string> arguments, std::string* error = nullptr) {
  CLI::App app;
  GenerationFlags flags;
  flags.Register(app.add_subcommand("command"));
  BindEnvironment(&app);
  arguments.insert(arguments.begin(), "command");
  std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back.
  try {
    app.parse(arguments);
  } catch (const CLI::ParseError& e) {
    if (error == nullptr) {
      ADD_FAILURE() << e.what();
    } else {
      *error = e.what();
    }
  }
  return flags;
}

TEST(GenerationFlagsTest, WhatTheUserDidNotSayStaysUnset) {
  EXPECT_EQ(Parse({}).options.ByteSizeLong(), 0u);
  const v1::GenerationOptions options = Parse({"--steps", "8"}).options;
  EXPECT_TRUE(options.has_steps());
  EXPECT_FALSE(options.has_gen_length());
  EXPECT_FALSE(options.has_remasking());
  EXPECT_FALSE(options.has_logits_eos_inf());
}

TEST(GenerationFlagsTest, EveryFlagReachesItsField) {
  const GenerationFlags flags = Parse({"--gen-length",
                                       "64",
                                       "--block-length",
                                       "16",
                                       "--steps",
                                       "32",
                                       "--remasking",
                                       "entropy-bound",
                                       "--threshold",
                                       "0.5",
                                       "--factor",
                                       "2",
                                       "--entropy-bound",
                                       "0.25",
                                       "--cache",
                                       "dual",
                                       "--temperature",
                                       "0.5",
                                       "--cfg-scale",
                                       "1.5",
                                       "--seed",
                                       "18446744073709551615",
                                       "--logits-eos-inf",
                                       "--confidence-eos-eot-inf",
                                       "--stop",
                                       "a",
                                       "--stop",
                                       "b c",
                                       "--reference-parity",
                                       "--deadline-policy",
                                       "fit",
                                       "--priority",
                                       "batch",
                                       "--timeout",
                                       "2.5"});
  const v1::GenerationOptions& o = flags.options;
  EXPECT_EQ(o.gen_length(), 64);
  EXPECT_EQ(o.block_length(), 16);
  EXPECT_EQ(o.steps(), 32);
  EXPECT_EQ(o.remasking(), v1::REMASKING_ENTROPY_BOUND);
  EXPECT_EQ(o.threshold(), 0.5f);
  EXPECT_EQ(o.factor(), 2);
  EXPECT_EQ(o.entropy_bound(), 0.25f);
  EXPECT_EQ(o.cache(), v1::CACHE_DUAL);
  EXPECT_EQ(o.temperature(), 0.5f);
  EXPECT_EQ(o.cfg_scale(), 1.5f);
  EXPECT_EQ(o.seed(), 18446744073709551615u);
  EXPECT_TRUE(o.logits_eos_inf());
  EXPECT_TRUE(o.confidence_eos_eot_inf());
  EXPECT_THAT(o.stop(), testing::ElementsAre("a", "b c"));
  EXPECT_TRUE(o.reference_parity());
  EXPECT_EQ(o.deadline_policy(), v1::DEADLINE_POLICY_FIT);
  EXPECT_EQ(flags.priority, v1::PRIORITY_BATCH);
  EXPECT_EQ(flags.timeout_s, 2.5);
}

TEST(GenerationFlagsTest, EveryOptionOfTheProtoHasAFlag) {
  CLI::App app;
  GenerationFlags flags;
  flags.Register(&app);
  const auto* type = v1::GenerationOptions::descriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    std::string flag = "--" + type->field(i)->name();
    std::replace(flag.begin(), flag.end(), '_', '-');
    EXPECT_NE(app.get_option_no_throw(flag), nullptr) << flag;
  }
}

TEST(GenerationFlagsTest, AnExplicitDefaultIsStillSaid) {
  const v1::GenerationOptions options =
      Parse({"--temperature", "0", "--logits-eos-inf=false", "--remasking", "LOW_CONFIDENCE"}).options;
  EXPECT_TRUE(options.has_temperature());
  EXPECT_TRUE(options.has_logits_eos_inf());
  EXPECT_FALSE(options.logits_eos_inf());
  EXPECT_EQ(options.remasking(), v1::REMASKING_LOW_CONFIDENCE);
}

TEST(GenerationFlagsTest, AnUnknownNameListsTheChoices) {
  std::string error;
  Parse({"--remasking", "best"}, &error);
  EXPECT_THAT(error, HasSubstr("'best' is none of low-confidence, random, random-s-over-t"));
  Parse({"--cache", "unspecified"}, &error);
  EXPECT_THAT(error, HasSubstr("'unspecified' is none of none, prefix, dual"));
}

TEST(GenerationFlagsTest, NumbersThatDoNotFitAreRefused) {
  for (const auto& arguments : std::vector<std::vector<std::string>>{{"--steps", "3000000000"},
                                                                     {"--steps", "4x"},
                                                                     {"--steps", ""},
                                                                     {"--steps", "0x10"},
                                                                     {"--seed", "-1"},
                                                                     {"--seed", "18446744073709551616"},
                                                                     {"--temperature", "warm"},
                                                                     {"--timeout", "-1"},
                                                                     {"--timeout", "inf"},
                                                                     {"--timeout", "nan"}}) {
    std::string error;
    Parse(arguments, &error);
    EXPECT_NE(error, "") << arguments[0] << " " << arguments[1];
  }
}

TEST(GenerationFlagsTest, LeadingZerosAreNoOctal) { EXPECT_EQ(Parse({"--steps", "010"}).options.steps(), 10); }

TEST(GenerationFlagsTest, TheEnvironmentSpeaksWhereTheUserDoesNot) {
  setenv("UNMASK_GEN_LENGTH", "48", 1);
  setenv("UNMASK_REMASKING", "random", 1);
  setenv("UNMASK_LOGITS_EOS_INF", "true", 1);
  const v1::GenerationOptions options = Parse({"--remasking", "margin"}).options;
  unsetenv("UNMASK_GEN_LENGTH");
  unsetenv("UNMASK_REMASKING");
  unsetenv("UNMASK_LOGITS_EOS_INF");
  EXPECT_EQ(options.gen_length(), 48);
  EXPECT_EQ(options.remasking(), v1::REMASKING_MARGIN);
  EXPECT_TRUE(options.logits_eos_inf());
  EXPECT_FALSE(options.has_steps());
}

TEST(GenerationFlagsTest, SetTakesBothSpellingsAndKeepsTheRest) {
  GenerationFlags flags = Parse({"--seed", "7", "--stop", "x"});
  EXPECT_TRUE(flags.Set("gen_length", "96").ok());
  EXPECT_TRUE(flags.Set("block-length", "32").ok());
  EXPECT_TRUE(flags.Set("stop", "two words").ok());
  EXPECT_TRUE(flags.Set("logits_eos_inf", "true").ok());
  EXPECT_EQ(flags.options.gen_length(), 96);
  EXPECT_EQ(flags.options.block_length(), 32);
  EXPECT_EQ(flags.options.seed(), 7u);
  EXPECT_TRUE(flags.options.logits_eos_inf());
  EXPECT_THAT(flags.options.stop(), testing::ElementsAre("two words"));
  EXPECT_TRUE(flags.Set("seed", "default").ok());
  EXPECT_FALSE(flags.options.has_seed());
}

TEST(GenerationFlagsTest, AFailedSetChangesNothing) {
  GenerationFlags flags = Parse({"--steps", "8"});
  const v1::GenerationOptions before = flags.options;
  EXPECT_THAT(std::string(flags.Set("steps", "many").message()), HasSubstr("many"));
  EXPECT_EQ(flags.Set("stepz", "8").message(), "there is no option stepz");
  EXPECT_EQ(flags.Set("stepz", "default").message(), "there is no option stepz");
  EXPECT_FALSE(flags.Set("help", "1").ok());
  EXPECT_FALSE(flags.Set("", "1").ok());
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(before, flags.options));
}

}  // namespace
}  // namespace unmask
