// unmask chat: a conversation, one line a turn.
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/exit_codes.h"
#include "base/status.h"
#include "cli/canvas_layout.h"
#include "cli/commands.h"
#include "cli/conversation.h"
#include "cli/errors.h"
#include "cli/line_reader.h"
#include "cli/output.h"
#include "cli/session.h"

namespace unmask {
namespace {

struct ChatFlags {
  std::string system;
  ConnectionFlags connection;
  GenerationFlags generation;
  bool no_view = false;
  int step_delay_ms = 0;
};

// The keyboard and the screen of a chat. Without a terminal there are no prompts: lines in, answers out.
class Console {
 public:
  Console() : interactive_(isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)), reader_(STDIN_FILENO) {}

  bool interactive() const { return interactive_; }

  void Say(const std::string& text) const {
    if (interactive_) {
      std::printf("%s\n", text.c_str());
      std::fflush(stdout);
    }
  }
  void Complain(const std::string& text) const { std::fprintf(stderr, "%s\n", text.c_str()); }

  // One input, lines that end in a backslash joined.
  LineReader::Result Read(std::string* input) {
    input->clear();
    while (true) {
      Prompt(input->empty() ? "❯ " : "… ");
      std::string line;
      const LineReader::Result result = reader_.Read(&line);
      if (result != LineReader::Result::kLine) return result;
      const bool goes_on = !line.empty() && line.back() == '\\';
      if (goes_on) line.back() = '\n';
      *input += line;
      if (!goes_on) return result;
    }
  }

 private:
  void Prompt(const char* text) const {
    if (!interactive_) return;
    std::printf("%s", text);
    std::fflush(stdout);
  }

  const bool interactive_;
  LineReader reader_;
};

class ChatLoop {
 public:
  ChatLoop(const ChatFlags& flags, const v1::Model& model, Session* session)
      : model_(model),
        model_name_(flags.connection.model_name),
        session_(*session),
        conversation_(flags.system, flags.generation) {
    output_.no_view = flags.no_view;
    output_.step_delay_ms = flags.step_delay_ms;
  }

  int Run() {
    console_.Say(absl::StrCat("chatting with ", model_.name(), "; /help lists the commands"));
    int exit_code = kExitOk;
    std::string line;
    while (true) {
      const LineReader::Result result = console_.Read(&line);
      if (result == LineReader::Result::kEnd) break;
      if (result == LineReader::Result::kInterrupted) {
        if (!console_.interactive()) return session_.interrupt().exit_code();
        console_.Say("\n(Ctrl-D or /quit leaves)");
        Rearm();
        continue;
      }
      if (absl::StripAsciiWhitespace(line).empty()) continue;
      const Conversation::Turn turn = conversation_.Interpret(line);
      if (turn.kind == Conversation::Turn::Kind::kQuit) break;
      if (turn.kind == Conversation::Turn::Kind::kReply) console_.Say(turn.text);
      if (turn.kind == Conversation::Turn::Kind::kError) console_.Complain(absl::StrCat("unmask: ", turn.text));
      if (turn.kind != Conversation::Turn::Kind::kMessage) continue;
      const int code = Answer(turn.text);
      if (code != kExitOk && exit_code == kExitOk) exit_code = code;
      if (!console_.interactive() && session_.interrupt().fired()) return code;
      Rearm();
    }
    console_.Say("");
    return console_.interactive() ? kExitOk : exit_code;
  }

 private:
  void Rearm() {
    session_.interrupt().Reset();
    session_.client().Rearm();
  }

  int Answer(const std::string& message) {
    if (const absl::Status status = CheckUtf8(message, "the message"); !status.ok()) return ReportError(status);
    v1::GenerateRequest request = conversation_.RequestFor(message);
    request.set_model(model_name_);
    *request.mutable_output() = output_.ToProto();
    Client& client = session_.client();
    conversation_.settings().ApplyTimeout(&client);
    const GenerationCall call{
        .unary = [&] { return client.Generate(request); },
        .stream = [&](const Client::OnEvent& on_event) { return client.GenerateStream(request, on_event); },
    };
    v1::GenerateResponse response;
    const absl::Status status = Show(call, LayoutFor(model_, ""), output_, &session_, &response);
    if (status.ok()) {
      conversation_.Add(message, response.text());
      console_.Say("");
      return kExitOk;
    }
    if (session_.interrupt().fired()) {
      console_.Say("\nstopped; the conversation is as it was before this message");
      return session_.interrupt().exit_code();
    }
    const int code = ReportError(status);
    if (ReasonOf(status) == "SEQUENCE_TOO_LONG") {
      console_.Complain(absl::StrCat(
          "The conversation (", conversation_.turns(),
          " turns) and the answer no longer fit into the model's context of ", model_.max_sequence_length(),
          " tokens.\n/new starts a fresh one; /set gen_length N leaves more room for the question."));
    }
    return code;
  }

  const v1::Model model_;
  const std::string model_name_;
  Session& session_;
  Conversation conversation_;
  OutputFlags output_;
  Console console_;
};

int RunChat(const ChatFlags& flags) {
  const auto session = Session::Open(flags.connection);
  if (!session.ok()) return ReportError(session.status());
  const auto model = (*session)->Model();
  if (!model.ok()) return (*session)->Fail(model.status());
  if (!model->has_chat_template()) {
    std::fprintf(stderr, "unmask: %s has no chat template; unmask generate --raw continues a text\n",
                 model->name().c_str());
    return kExitUsage;
  }
  return ChatLoop(flags, *model, session->get()).Run();
}

}  // namespace

void AddChat(CLI::App* app, int* exit_code) {
  const auto flags = std::make_shared<ChatFlags>();
  CLI::App* command = app->add_subcommand("chat", "Talk with the model over several turns");
  command->add_option("--system", flags->system, "The system message");
  command->add_flag("--no-view", flags->no_view, "The text alone, even on a terminal");
  command->add_option("--step-delay", flags->step_delay_ms, "Slow the view down: milliseconds a step")
      ->check(CLI::Range(0, 60000));
  flags->generation.Register(command);
  flags->connection.Register(command);
  command->callback([flags, exit_code] { *exit_code = RunChat(*flags); });
}

}  // namespace unmask
