// unmask score: how likely texts are after a prompt.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
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

struct ScoreFlags {
  std::vector<std::string> texts;  // The prompt, unless it came as ids; then targets.
  std::vector<int32_t> prompt_ids;
  bool has_prompt_ids = false;
  std::vector<std::vector<int32_t>> target_ids;
  bool chat = false;
  v1::ScoreRequest request;  // Its options.
  double timeout_s = 0;      // 0: none.
  bool json = false;
  ConnectionFlags connection;
};

void SetIds(const std::vector<int32_t>& ids, v1::ScoreInput* input) {
  input->mutable_token_ids()->mutable_ids()->Add(ids.begin(), ids.end());
}

absl::StatusOr<v1::ScoreRequest> Request(const ScoreFlags& flags) {
  v1::ScoreRequest request = flags.request;
  request.set_model(flags.connection.model_name);
  size_t first_target = 0;
  if (flags.has_prompt_ids) {
    SetIds(flags.prompt_ids, request.mutable_prompt());
  } else {
    const std::string prompt = flags.texts[0] == "-" ? ReadStandardInput() : flags.texts[0];
    UNMASK_RETURN_IF_ERROR(CheckUtf8(prompt, "the prompt"));
    if (flags.chat) {
      v1::ChatMessage* message = request.mutable_prompt()->mutable_chat()->add_messages();
      message->set_role("user");
      message->set_content(prompt);
    } else {
      request.mutable_prompt()->set_text(prompt);
    }
    first_target = 1;
  }
  for (size_t i = first_target; i < flags.texts.size(); ++i) {
    UNMASK_RETURN_IF_ERROR(CheckUtf8(flags.texts[i], "a target"));
    request.add_targets()->set_text(flags.texts[i]);
  }
  for (const auto& ids : flags.target_ids) SetIds(ids, request.add_targets());
  return request;
}

std::string TargetName(const v1::ScoreInput& target) {
  if (target.has_text()) return absl::StrCat("'", target.text(), "'");
  return absl::StrJoin(target.token_ids().ids(), ",");
}

absl::Status Score(const ScoreFlags& flags, Session* session) {
  UNMASK_ASSIGN_OR_RETURN(const v1::ScoreRequest request, Request(flags));
  session->client().SetTimeout(flags.timeout_s > 0 ? absl::Seconds(flags.timeout_s) : absl::InfiniteDuration());
  UNMASK_ASSIGN_OR_RETURN(const v1::ScoreResponse reply, session->client().Score(request));
  if (flags.json) return PrintOut(absl::StrCat(ToJson(reply), "\n"));
  std::vector<std::vector<std::string>> rows = {{"NATS", "ERROR", "TOKENS", "BITS/TOKEN", "GREEDY", "TARGET"}};
  for (int i = 0; i < reply.scores_size(); ++i) {
    const v1::TargetScore& score = reply.scores(i);
    const double bits = -score.log_likelihood() / std::log(2) / std::max(score.tokens(), 1);
    rows.push_back({absl::StrFormat("%.3f", score.log_likelihood()),
                    score.has_standard_error() ? absl::StrFormat("%.3f", score.standard_error()) : "-",
                    absl::StrCat(score.tokens()), absl::StrFormat("%.3f", bits),
                    !score.has_greedy_match() ? "-"
                    : score.greedy_match()    ? "yes"
                                              : "no",
                    i < request.targets_size() ? TargetName(request.targets(i)) : ""});
  }
  return PrintOut(FormatTable(rows));
}

int RunScore(const ScoreFlags& flags) {
  const size_t prompts = flags.has_prompt_ids ? 0 : 1;
  if (flags.texts.size() < prompts || flags.texts.size() - prompts + flags.target_ids.size() == 0) {
    std::fprintf(stderr, "unmask: score takes a PROMPT or --prompt-ids, and TARGETs or --target-ids\n");
    return kExitUsage;
  }
  const auto session = Session::Open(flags.connection);
  if (!session.ok()) return ReportError(session.status());
  const absl::Status status = Score(flags, session->get());
  return status.ok() ? kExitOk : (*session)->Fail(status);
}

template <typename Number>
void AddNumber(CLI::App* command, const std::string& flag, std::function<void(Number)> set, const std::string& help) {
  command
      ->add_option_function<std::string>(
          flag, [flag, set](const std::string& text) { set(ParseNumber<Number>(flag, text)); }, help)
      ->type_name("N");
}

}  // namespace

void AddScore(CLI::App* app, int* exit_code) {
  const auto flags = std::make_shared<ScoreFlags>();
  ScoreFlags* const raw = flags.get();  // The command's callback keeps it.
  v1::ScoreRequest* const request = &flags->request;
  CLI::App* command = app->add_subcommand("score", "Say how likely texts are after a prompt");
  command->add_option("PROMPT TARGET", flags->texts,
                      "The prompt, which may be empty (- reads it from standard input), and up to 64 targets");
  command
      ->add_option_function<std::string>(
          "--prompt-ids",
          [raw](const std::string& ids) {
            raw->has_prompt_ids = true;
            if (!ids.empty()) raw->prompt_ids = ParseIds("--prompt-ids", ids);
          },
          "The prompt as token ids; all texts are targets then")
      ->type_name("1,2,3");
  command
      ->add_option_function<std::vector<std::string>>(
          "--target-ids",
          [raw](const std::vector<std::string>& targets) {
            for (const std::string& ids : targets) raw->target_ids.push_back(ParseIds("--target-ids", ids));
          },
          "A target as token ids; may be repeated")
      ->allow_extra_args(false)
      ->type_name("1,2,3");
  command->add_flag("--chat", flags->chat, "The prompt as one user turn of the model's chat template");
  AddNumber<int32_t>(
      command, "--samples", [=](int32_t n) { request->set_samples(n); }, "Samples of each target (128)");
  AddNumber<int32_t>(
      command, "--strata", [=](int32_t n) { request->set_strata(n); },
      "Samples whose mask counts spread evenly; divides samples (16)");
  AddNumber<uint64_t>(
      command, "--seed", [=](uint64_t n) { request->set_seed(n); }, "Same seed, same numbers (drawn by the service)");
  AddNumber<float>(
      command, "--cfg-scale", [=](float x) { request->set_cfg_scale(x); }, "Classifier-free guidance; 0 is off (0)");
  AddNumber<double>(
      command, "--timeout", [=](double seconds) { raw->timeout_s = seconds; },
      "Give up after this many seconds (never)");
  command->add_flag_function(
      "--reference-parity", [=](int64_t n) { request->set_reference_parity(n > 0); },
      "Mask counts rounded as LLaDA's released code has it");
  command->add_flag_function(
      "--no-greedy-match", [=](int64_t n) { request->set_greedy_match(n <= 0); },
      "Do not find out whether greedy decoding gives the target");
  command->add_flag("--json", flags->json, "Print the reply as JSON");
  flags->connection.Register(command);
  command->callback([flags, exit_code] { *exit_code = RunScore(*flags); });
}

}  // namespace unmask
