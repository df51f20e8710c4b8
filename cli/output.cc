#include "cli/output.h"

#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "cli/ansi.h"
#include "cli/glyphs.h"
#include "cli/json.h"
#include "cli/live_view.h"
#include "cli/svg.h"

namespace unmask {
namespace {

// A pause that Ctrl-C ends.
void Pause(int milliseconds, const Interrupt& interrupt) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
  while (!interrupt.fired() && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

std::string WithNewline(std::string text) {
  if (text.empty() || text.back() != '\n') text += '\n';
  return text;
}

// Without a tokenizer there is no text: the ids are the answer.
std::string PlainAnswer(const v1::GenerateResponse& response, const OutputFlags& flags) {
  std::string out;
  if (!response.text().empty() || response.token_ids().empty()) {
    out = WithNewline(response.text());
  } else if (!flags.token_ids) {
    return absl::StrCat(absl::StrJoin(response.token_ids(), ","), "\n");
  }
  if (flags.token_ids) absl::StrAppend(&out, "token_ids ", absl::StrJoin(response.token_ids(), ","), "\n");
  if (flags.confidences) absl::StrAppend(&out, "confidences ", absl::StrJoin(response.confidences(), ","), "\n");
  if (flags.canvas) absl::StrAppend(&out, "canvas ", absl::StrJoin(response.canvas(), ","), "\n");
  return out;
}

absl::Status WriteFile(const std::string& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << bytes;
  file.close();
  if (file.fail()) return absl::InternalError(absl::StrCat("cannot write ", path, ": ", std::strerror(errno)));
  return absl::OkStatus();
}

// Before the work rather than after it.
absl::Status CheckWritable(const std::string& path) {
  std::ofstream file(path, std::ios::binary | std::ios::app);
  if (!file) return absl::InvalidArgumentError(absl::StrCat("--svg ", path, ": ", std::strerror(errno)));
  return absl::OkStatus();
}

}  // namespace

void OutputFlags::Register(CLI::App* app) {
  CLI::Option* json_flag = app->add_flag("--json", json, "Print the reply as JSON and nothing else");
  CLI::Option* stream_flag =
      app->add_flag("--stream-json", stream_json, "Print every event of the stream as a line of JSON");
  json_flag->excludes(stream_flag)->group("Output");
  stream_flag->group("Output");
  app->add_flag("--no-view", no_view, "The text alone, even on a terminal")->group("Output");
  app->add_option("--step-delay", step_delay_ms, "Slow the view down: milliseconds a step")
      ->check(CLI::Range(0, 60000))
      ->group("Output");
  app->add_option("--svg", svg, "Save the final picture, tinted by step, to this file")->group("Output");
  app->add_flag("--token-ids", token_ids, "Also the ids of the generated tokens")->group("Output");
  app->add_flag("--confidences", confidences, "Also each token's probability when it was revealed")->group("Output");
  app->add_flag("--canvas", canvas, "Also all ids, the prompt's included")->group("Output");
}

bool OutputFlags::ShowsView() const {
  return !json && !stream_json && !no_view && isatty(STDOUT_FILENO) &&
         ColorDepthFromEnvironment() != ColorDepth::kPlain;
}

v1::OutputOptions OutputFlags::ToProto() const {
  v1::OutputOptions output;
  const bool draws = ShowsView() || !svg.empty();
  output.set_token_ids(token_ids);
  output.set_confidences(confidences);
  output.set_canvas(canvas || draws);
  output.set_proposals(ShowsView());
  return output;
}

absl::Status Show(const GenerationCall& call, const CanvasLayout& layout, const OutputFlags& flags, Session* session,
                  v1::GenerateResponse* response) {
  if (!flags.svg.empty()) UNMASK_RETURN_IF_ERROR(CheckWritable(flags.svg));
  v1::GenerateResponse reply;
  if (!flags.ShowsView() && !flags.stream_json && flags.svg.empty()) {
    UNMASK_ASSIGN_OR_RETURN(reply, call.unary());
    if (response != nullptr) *response = reply;
    return PrintOut(flags.json ? absl::StrCat(ToJson(reply), "\n") : PlainAnswer(reply, flags));
  }

  CanvasState state(layout);
  std::unique_ptr<LiveView> view;
  if (flags.ShowsView()) view = std::make_unique<LiveView>(layout, STDOUT_FILENO);
  absl::Status printed;
  const absl::Status status = call.stream([&](const v1::GenerateStreamResponse& event) {
    state.Apply(event);
    if (view != nullptr) view->Apply(event);
    if (flags.stream_json && printed.ok()) printed = PrintOut(absl::StrCat(ToJson(event), "\n"));
    if (event.has_step() && flags.step_delay_ms > 0) Pause(flags.step_delay_ms, session->interrupt());
  });
  if (view != nullptr) status.ok() && state.completed() ? view->Finish() : view->Stop();
  UNMASK_RETURN_IF_ERROR(status);
  UNMASK_RETURN_IF_ERROR(printed);
  if (!state.completed()) return absl::InternalError("the stream ended without a result");

  reply = state.response();
  if (response != nullptr) *response = reply;
  if (flags.json) UNMASK_RETURN_IF_ERROR(PrintOut(absl::StrCat(ToJson(reply), "\n")));
  if (view == nullptr && !flags.json && !flags.stream_json) UNMASK_RETURN_IF_ERROR(PrintOut(PlainAnswer(reply, flags)));
  if (!flags.svg.empty()) UNMASK_RETURN_IF_ERROR(WriteFile(flags.svg, RenderSvg(state)));
  return absl::OkStatus();
}

std::string ReadStandardInput() {
  std::string text;
  char buffer[4096];
  while (true) {
    const ssize_t n = read(STDIN_FILENO, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    text.append(buffer, n);
  }
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

absl::Status PrintOut(const std::string& text) {
  const bool ok = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  return ok ? absl::OkStatus() : absl::InternalError(absl::StrCat("cannot write the output: ", std::strerror(errno)));
}

absl::Status CheckUtf8(const std::string& text, const std::string& what) {
  if (IsUtf8(text)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(what, " is not UTF-8"));
}

}  // namespace unmask
