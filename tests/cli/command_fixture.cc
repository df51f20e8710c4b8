#include "tests/cli/command_fixture.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "cli/commands.h"

namespace unmask {
namespace {

// Puts `bytes` in the place of standard input while it lives.
class StandardInput {
 public:
  explicit StandardInput(const std::string& bytes) : saved_(dup(STDIN_FILENO)), file_(std::tmpfile()) {
    std::fwrite(bytes.data(), 1, bytes.size(), file_);
    std::rewind(file_);
    dup2(fileno(file_), STDIN_FILENO);
  }
  ~StandardInput() {
    dup2(saved_, STDIN_FILENO);
    close(saved_);
    std::fclose(file_);
  }

 private:
  const int saved_;
  std::FILE* const file_;
};

}  // namespace

CommandTest::CommandTest() {
  script_.model = SomeModel();
  script_.events = Denoise({"Hello", ",", " world", "!", "<eos>", "<eos>", "<eos>", "<eos>"}, 4, 2).Events();
  server_.Set(script_);
}

CommandTest::Result CommandTest::Run(std::vector<std::string> arguments, const std::string& input) {
  CLI::App app("unmask");
  app.require_subcommand(1);
  Result result;
  for (auto* add : {AddGenerate, AddChat, AddInfill, AddScore, AddTokenize, AddDetokenize, AddStatus, AddModel})
    add(&app, &result.exit_code);
  BindEnvironment(&app);
  if (std::find(arguments.begin(), arguments.end(), "--server") == arguments.end()) {
    arguments.insert(arguments.begin() + 1, {"--server", server_.address()});
  }
  std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back.

  const StandardInput standard_input(input);
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  try {
    app.parse(arguments);
  } catch (const CLI::ParseError& error) {
    result.exit_code = 64;
    std::fprintf(stderr, "%s", error.what());
  }
  result.out = testing::internal::GetCapturedStdout();
  result.err = testing::internal::GetCapturedStderr();
  return result;
}

}  // namespace unmask
