// unmask infill: fills the gaps of a text.
#include <memory>
#include <string>

#include "base/exit_codes.h"
#include "base/status.h"
#include "cli/canvas_layout.h"
#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/gaps.h"
#include "cli/generation_flags.h"
#include "cli/output.h"
#include "cli/session.h"

namespace unmask {
namespace {

struct InfillFlags {
  std::string text;
  int gap_tokens = kDefaultGapTokens;
  ConnectionFlags connection;
  GenerationFlags generation;
  OutputFlags output;
};

absl::StatusOr<std::vector<CanvasPart>> Parts(const InfillFlags& flags) {
  const std::string text = flags.text == "-" ? ReadStandardInput() : flags.text;
  UNMASK_RETURN_IF_ERROR(CheckUtf8(text, "the text"));
  return ParseGaps(text, flags.gap_tokens);
}

absl::Status Infill(const InfillFlags& flags, const std::vector<CanvasPart>& parts, Session* session) {
  v1::InfillRequest request;
  ToSegments(parts, &request);
  request.set_model(flags.connection.model_name);
  *request.mutable_options() = flags.generation.options;
  *request.mutable_output() = flags.output.ToProto();
  request.set_priority(flags.generation.priority);

  CanvasLayout layout;
  if (flags.output.ShowsView() || !flags.output.svg.empty()) {
    UNMASK_ASSIGN_OR_RETURN(const v1::Model model, session->Model());
    layout = LayoutFor(model, "");
  }
  layout.parts = parts;
  Client& client = session->client();
  flags.generation.ApplyTimeout(&client);
  const GenerationCall call{
      .unary = [&] { return client.Infill(request); },
      .stream = [&](const Client::OnEvent& on_event) { return client.InfillStream(request, on_event); },
  };
  return Show(call, layout, flags.output, session);
}

int RunInfill(const InfillFlags& flags) {
  const auto parts = Parts(flags);
  if (!parts.ok()) return ReportError(parts.status());
  const auto session = Session::Open(flags.connection);
  if (!session.ok()) return ReportError(session.status());
  const absl::Status status = Infill(flags, *parts, session->get());
  return status.ok() ? kExitOk : (*session)->Fail(status);
}

}  // namespace

void AddInfill(CLI::App* app, int* exit_code) {
  const auto flags = std::make_shared<InfillFlags>();
  CLI::App* command = app->add_subcommand("infill", "Fill the gaps of a text");
  command
      ->add_option(
          "TEXT", flags->text,
          "The text; - reads it from standard input. [MASK] is a gap of one token, [MASK]*3 of three, ___ (or more "
          "underscores) one of --gap-tokens; \\[MASK] and \\___ are plain text")
      ->required();
  command->add_option("--gap-tokens", flags->gap_tokens, "Tokens of a ___ gap")->capture_default_str();
  flags->generation.Register(command, /*with_gen_length=*/false);
  flags->output.Register(command);
  flags->connection.Register(command);
  command->callback([flags, exit_code] { *exit_code = RunInfill(*flags); });
}

}  // namespace unmask
