// unmask generate: one answer to one prompt.
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/exit_codes.h"
#include "base/status.h"
#include "cli/canvas_layout.h"
#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/generation_flags.h"
#include "cli/numbers.h"
#include "cli/output.h"
#include "cli/session.h"

namespace unmask {
namespace {

struct GenerateFlags {
  std::string prompt;
  std::vector<int32_t> prompt_ids;
  bool raw = false;
  std::string system;
  ConnectionFlags connection;
  GenerationFlags generation;
  OutputFlags output;
  CLI::Option* prompt_option = nullptr;
};

// The prompt in the form that the model wants it. Sets `prompt` to what the view shows of it.
absl::Status SetInput(const GenerateFlags& flags, const v1::Model& model, v1::GenerateRequest* request,
                      std::string* prompt) {
  if (!flags.prompt_ids.empty()) {
    request->mutable_token_ids()->mutable_ids()->Add(flags.prompt_ids.begin(), flags.prompt_ids.end());
    *prompt = absl::StrJoin(flags.prompt_ids, " ");
    return absl::OkStatus();
  }
  *prompt = flags.prompt == "-" ? ReadStandardInput() : flags.prompt;
  UNMASK_RETURN_IF_ERROR(CheckUtf8(*prompt, "the prompt"));
  UNMASK_RETURN_IF_ERROR(CheckUtf8(flags.system, "--system"));
  if (flags.raw || !model.has_chat_template()) {
    if (!flags.system.empty()) {
      return absl::InvalidArgumentError(flags.raw ? "--system needs the chat template, which --raw leaves out"
                                                  : "--system: the model has no chat template");
    }
    request->set_text(*prompt);
    return absl::OkStatus();
  }
  const auto add = [&](const char* role, const std::string& content) {
    v1::ChatMessage* message = request->mutable_chat()->add_messages();
    message->set_role(role);
    message->set_content(content);
  };
  if (!flags.system.empty()) add("system", flags.system);
  add("user", *prompt);
  return absl::OkStatus();
}

absl::Status Generate(const GenerateFlags& flags, Session* session) {
  v1::Model model;
  // Ids in and JSON out need to know nothing about the model.
  if (flags.prompt_ids.empty() || flags.output.ShowsView() || !flags.output.svg.empty()) {
    UNMASK_ASSIGN_OR_RETURN(model, session->Model());
  }
  v1::GenerateRequest request;
  std::string prompt;
  UNMASK_RETURN_IF_ERROR(SetInput(flags, model, &request, &prompt));
  request.set_model(flags.connection.model_name);
  *request.mutable_options() = flags.generation.options;
  *request.mutable_output() = flags.output.ToProto();
  request.set_priority(flags.generation.priority);

  Client& client = session->client();
  flags.generation.ApplyTimeout(&client);
  const GenerationCall call{
      .unary = [&] { return client.Generate(request); },
      .stream = [&](const Client::OnEvent& on_event) { return client.GenerateStream(request, on_event); },
  };
  return Show(call, LayoutFor(model, prompt), flags.output, session);
}

int RunGenerate(const GenerateFlags& flags) {
  if (flags.prompt_option->count() + (flags.prompt_ids.empty() ? 0 : 1) != 1) {
    std::fprintf(stderr, "unmask: generate takes a PROMPT, - (standard input) or --prompt-ids\n");
    return kExitUsage;
  }
  const auto session = Session::Open(flags.connection);
  if (!session.ok()) return ReportError(session.status());
  const absl::Status status = Generate(flags, session->get());
  return status.ok() ? kExitOk : (*session)->Fail(status);
}

}  // namespace

void AddGenerate(CLI::App* app, int* exit_code) {
  const auto flags = std::make_shared<GenerateFlags>();
  CLI::App* command = app->add_subcommand("generate", "Answer a prompt, and show the answer emerge from its masks");
  flags->prompt_option = command->add_option("PROMPT", flags->prompt, "The prompt; - reads it from standard input");
  command
      ->add_option_function<std::string>(
          "--prompt-ids", [flags](const std::string& ids) { flags->prompt_ids = ParseIds("--prompt-ids", ids); },
          "The prompt as token ids")
      ->type_name("1,2,3");
  command->add_flag("--raw", flags->raw, "The prompt as plain text, without the model's chat template");
  command->add_option("--system", flags->system, "A system message before the prompt");
  flags->generation.Register(command);
  flags->output.Register(command);
  flags->connection.Register(command);
  command->callback([flags, exit_code] { *exit_code = RunGenerate(*flags); });
}

}  // namespace unmask
