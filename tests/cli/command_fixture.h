// Runs client commands in this process against a scripted service.
#ifndef UNMASK_TESTS_CLI_COMMAND_FIXTURE_H_
#define UNMASK_TESTS_CLI_COMMAND_FIXTURE_H_

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/cli/recording.h"
#include "tests/cli/scripted_server.h"

namespace unmask {

class CommandTest : public testing::Test {
 protected:
  struct Result {
    int exit_code = 0;
    std::string out;
    std::string err;
  };

  CommandTest();

  // `unmask arguments...` with --server added; `input` is its standard input.
  Result Run(std::vector<std::string> arguments, const std::string& input = "");

  void Play(const Script& script) { server_.Set(script_ = script); }

  ScriptedServer server_;
  Script script_;
};

}  // namespace unmask

#endif  // UNMASK_TESTS_CLI_COMMAND_FIXTURE_H_
