#include "cli/conversation.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace unmask {
namespace {

using Turn = Conversation::Turn;

constexpr char kHelp[] =
    "/set NAME VALUE  change an option for the answers to come, e.g. /set steps 32; VALUE default unsets it\n"
    "/show            all options\n"
    "/new             forget the conversation so far\n"
    "/help            this\n"
    "/quit            leave (or Ctrl-D)\n"
    "Ctrl-C stops an answer. A line that ends in \\ goes on in the next one. //text sends /text.";

void AddMessage(const char* role, const std::string& content, v1::Chat* chat) {
  v1::ChatMessage* message = chat->add_messages();
  message->set_role(role);
  message->set_content(content);
}

}  // namespace

Turn Conversation::Interpret(absl::string_view line) {
  if (absl::ConsumePrefix(&line, "/") && !absl::StartsWith(line, "/")) {
    const std::vector<std::string> words =
        absl::StrSplit(line, absl::MaxSplits(absl::ByAnyChar(" \t="), 2), absl::SkipEmpty());
    const std::string command = words.empty() ? "" : words[0];
    if (command == "quit" || command == "exit") return {Turn::Kind::kQuit, ""};
    if (command == "help") return {Turn::Kind::kReply, kHelp};
    if (command == "show") return {Turn::Kind::kReply, absl::StrJoin(settings_.Describe(), "\n")};
    if (command == "new") {
      history_.Clear();
      return {Turn::Kind::kReply, "a new conversation"};
    }
    if (command == "set") {
      if (words.size() < 3) return {Turn::Kind::kError, "/set takes a name and a value, e.g. /set steps 32"};
      const std::string value(absl::StripAsciiWhitespace(words[2]));
      const absl::Status status = settings_.Set(words[1], value);
      if (!status.ok()) return {Turn::Kind::kError, std::string(status.message())};
      return {Turn::Kind::kReply, absl::StrCat(words[1], " is ", value)};
    }
    return {Turn::Kind::kError, absl::StrCat("there is no /", command, "; /help lists what there is")};
  }
  return {Turn::Kind::kMessage, std::string(line)};
}

v1::GenerateRequest Conversation::RequestFor(const std::string& message) const {
  v1::GenerateRequest request;
  if (!system_.empty()) AddMessage("system", system_, request.mutable_chat());
  request.mutable_chat()->MergeFrom(history_);
  AddMessage("user", message, request.mutable_chat());
  *request.mutable_options() = settings_.options;
  request.set_priority(settings_.priority);
  return request;
}

void Conversation::Add(const std::string& message, const std::string& answer) {
  AddMessage("user", message, &history_);
  AddMessage("assistant", answer, &history_);
}

}  // namespace unmask
