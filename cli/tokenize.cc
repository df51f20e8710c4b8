// unmask tokenize and detokenize: text to ids and back.
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/exit_codes.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/json.h"
#include "cli/numbers.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/table.h"

namespace unmask {
namespace {

struct TokenizeFlags {
  std::string text;
  bool json = false;
  ConnectionFlags connection;
};

struct DetokenizeFlags {
  std::vector<int32_t> ids;
  bool skip_special = false;
  bool json = false;
  ConnectionFlags connection;
};

absl::Status Tokenize(const TokenizeFlags& flags, Session* session) {
  v1::TokenizeRequest request;
  request.set_model(flags.connection.model_name);
  request.set_text(flags.text == "-" ? ReadStandardInput() : flags.text);
  UNMASK_RETURN_IF_ERROR(CheckUtf8(request.text(), "the text"));
  UNMASK_ASSIGN_OR_RETURN(const v1::TokenizeResponse reply, session->client().Tokenize(request));
  if (flags.json) return PrintOut(absl::StrCat(ToJson(reply), "\n"));
  // Scripts get what detokenize takes; people see the pieces.
  if (!isatty(STDOUT_FILENO)) return PrintOut(absl::StrCat(absl::StrJoin(reply.token_ids(), ","), "\n"));
  std::vector<std::vector<std::string>> rows = {{"INDEX", "ID", "PIECE"}};
  for (int i = 0; i < reply.token_ids_size(); ++i) {
    const std::string piece = i < reply.pieces_size() ? reply.pieces(i) : "";
    rows.push_back({absl::StrCat(i), absl::StrCat(reply.token_ids(i)), absl::StrCat("'", piece, "'")});
  }
  return PrintOut(absl::StrCat(FormatTable(rows), reply.count(), reply.count() == 1 ? " token\n" : " tokens\n"));
}

absl::Status Detokenize(const DetokenizeFlags& flags, Session* session) {
  v1::DetokenizeRequest request;
  request.set_model(flags.connection.model_name);
  request.mutable_token_ids()->Add(flags.ids.begin(), flags.ids.end());
  request.set_skip_special_tokens(flags.skip_special);
  UNMASK_ASSIGN_OR_RETURN(const v1::DetokenizeResponse reply, session->client().Detokenize(request));
  return PrintOut(absl::StrCat(flags.json ? ToJson(reply) : reply.text(), "\n"));
}

template <typename Flags>
int Run(const Flags& flags, absl::Status (*command)(const Flags&, Session*)) {
  const auto session = Session::Open(flags.connection);
  if (!session.ok()) return ReportError(session.status());
  const absl::Status status = command(flags, session->get());
  return status.ok() ? kExitOk : (*session)->Fail(status);
}

}  // namespace

void AddTokenize(CLI::App* app, int* exit_code) {
  const auto flags = std::make_shared<TokenizeFlags>();
  CLI::App* command = app->add_subcommand("tokenize", "Split a text into the model's tokens");
  command->add_option("TEXT", flags->text, "The text; - reads it from standard input")->required();
  command->add_flag("--json", flags->json, "Print the reply as JSON");
  flags->connection.Register(command);
  command->callback([flags, exit_code] { *exit_code = Run(*flags, Tokenize); });
}

void AddDetokenize(CLI::App* app, int* exit_code) {
  const auto flags = std::make_shared<DetokenizeFlags>();
  CLI::App* command = app->add_subcommand("detokenize", "Put a text together from token ids");
  command
      ->add_option_function<std::string>(
          "IDS", [flags](const std::string& ids) { flags->ids = ParseIds("IDS", ids); }, "Token ids, 1,2,3")
      ->required();
  command->add_flag("--skip-special-tokens", flags->skip_special, "Leave special tokens out");
  command->add_flag("--json", flags->json, "Print the reply as JSON");
  flags->connection.Register(command);
  command->callback([flags, exit_code] { *exit_code = Run(*flags, Detokenize); });
}

}  // namespace unmask
