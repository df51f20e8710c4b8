// How a generation is shown: the live view, the text alone, or JSON.
#ifndef UNMASK_CLI_OUTPUT_H_
#define UNMASK_CLI_OUTPUT_H_

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "cli/canvas_state.h"
#include "cli/session.h"

namespace unmask {

struct OutputFlags {
  bool token_ids = false;
  bool confidences = false;
  bool canvas = false;
  bool json = false;
  bool stream_json = false;
  bool no_view = false;
  int step_delay_ms = 0;
  std::string svg;  // File for the final picture.

  void Register(CLI::App* app);

  // Whether standard output gets the live view: it is a terminal that can, and nothing else was asked for.
  bool ShowsView() const;

  // What the service must return for this.
  v1::OutputOptions ToProto() const;
};

// One RPC in both of its forms.
struct GenerationCall {
  std::function<absl::StatusOr<v1::GenerateResponse>()> unary;
  std::function<absl::Status(const Client::OnEvent&)> stream;
};

// Runs the call and shows what it gives. `layout` matters to the view and the picture alone. Leaves the reply in
// *response where that is not null. An error is returned, not told.
absl::Status Show(const GenerationCall& call, const CanvasLayout& layout, const OutputFlags& flags, Session* session,
                  v1::GenerateResponse* response = nullptr);

// Standard input up to its end, without one newline at its end.
std::string ReadStandardInput();

// Writes to standard output; an error where that cannot be written.
absl::Status PrintOut(const std::string& text);

// INVALID_ARGUMENT naming `what` unless `text` is UTF-8.
absl::Status CheckUtf8(const std::string& text, const std::string& what);

}  // namespace unmask

#endif  // UNMASK_CLI_OUTPUT_H_
