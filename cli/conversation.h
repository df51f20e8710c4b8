// A chat between turns: its history, its settings, its commands. Pure; the chat command talks to the service and the
// screen.
#ifndef UNMASK_CLI_CONVERSATION_H_
#define UNMASK_CLI_CONVERSATION_H_

#include <string>

#include "absl/strings/string_view.h"
#include "cli/generation_flags.h"
#include "unmask/v1/inference.pb.h"

namespace unmask {

class Conversation {
 public:
  // What a line of input asks for.
  struct Turn {
    enum class Kind { kMessage, kReply, kError, kQuit } kind;
    std::string text;  // The user's message; else what to say to them.
  };

  // `system`: the message that every conversation begins with; may be empty.
  Conversation(std::string system, GenerationFlags settings)
      : system_(std::move(system)), settings_(std::move(settings)) {}

  // Obeys a line that starts with '/'; any other is a message ("//..." is one that starts with '/').
  Turn Interpret(absl::string_view line);

  // The whole conversation with `message` at its end.
  v1::GenerateRequest RequestFor(const std::string& message) const;

  // A turn that succeeded; one that failed leaves no trace.
  void Add(const std::string& message, const std::string& answer);

  const GenerationFlags& settings() const { return settings_; }
  int turns() const { return history_.messages_size() / 2; }

 private:
  const std::string system_;
  GenerationFlags settings_;
  v1::Chat history_;
};

}  // namespace unmask

#endif  // UNMASK_CLI_CONVERSATION_H_
