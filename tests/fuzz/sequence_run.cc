#include "tests/fuzz/sequence_run.h"

#include <algorithm>
#include <cstdlib>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/scoring_sequence.h"
#include "tests/coordinator/scripted_model.h"
#include "tests/fuzz/fuzz.h"

namespace unmask::testing {
namespace {

using internal::v1::Candidates;
using internal::v1::Window;

constexpr int64_t kMaxRows = 10'000;  // Of all windows: what is run stays quick.
constexpr int kMaxDeaths = 5;

// Any token of the embedding: masks, ends and ids that the sampling forbids too. Confidences at the edges are common.
Candidates Answer(const Window& window, int32_t embedding_size, std::mt19937_64& random) {
  const auto figure = [&random](float scale) {
    const uint64_t draw = random();
    return draw % 4 == 0 ? scale * static_cast<float>(draw / 4 % 2)
                         : scale * static_cast<float>(draw >> 40) / (1 << 24);
  };
  Candidates candidates;
  for (int i = 0; i < window.sample_size(); ++i) {
    candidates.add_tokens(static_cast<int32_t>(random() % static_cast<uint64_t>(embedding_size)));
    candidates.add_confidences(figure(1));
    if (window.sampling().margin()) candidates.add_margins(figure(1));
    if (window.sampling().entropy()) candidates.add_entropies(figure(5));
    if (window.asked_size() > 0) candidates.add_log_probabilities(-figure(20));
  }
  return candidates;
}

// What a client that watches has learnt.
struct Watcher {
  std::string text;
  std::set<int32_t> revealed;

  void Hear(const std::vector<v1::GenerateStreamResponse>& events, const SequenceSpec& spec) {
    const int32_t begin = spec.options.reference_parity() ? 0 : spec.prompt_length;
    const int32_t end = static_cast<int32_t>(spec.canvas.size());
    for (const auto& event : events) {
      text += event.block().text_delta();
      for (const v1::Commit& commit : event.step().commits()) {
        Require(commit.position() >= begin && commit.position() < end, "a commit lies in the answer");
        if (commit.token_id() == spec.model->mask()) continue;  // Nothing was revealed.
        Require(revealed.insert(commit.position()).second, "a position is revealed once");
      }
    }
  }
};

void CheckResponse(const v1::GenerateResponse& response, const SequenceSpec& spec, const Watcher& watcher) {
  const int32_t mask = spec.model->mask();
  const auto masks = std::count(spec.canvas.begin() + spec.prompt_length, spec.canvas.end(), mask);
  if (response.token_ids_size() > 0 && !spec.options.reference_parity()) {
    Require(response.token_ids_size() == masks, "an answer has as many ids as masks were asked for");
  }
  Require(response.usage().steps() <= spec.options.steps(), "no more steps are run than were asked for");
  Require(response.text() == watcher.text, "the pieces of a stream make up its text");
  v1::GenerateResponse copy;
  Require(copy.ParseFromString(response.SerializeAsString()), "a response can be sent: its text is UTF-8");
}

std::shared_ptr<const ServedModel> MakeTextModel() {
  auto model = std::make_shared<ServedModel>();
  const char* root = std::getenv("UNMASK_SOURCE_DIR");
  model->tokenizer = Tokenizer::Load(std::string(root ? root : ".") + "/models/random").value();
  model->name = "tiny";
  model->shape = DescribeReplica("any", 1).shape();
  model->shape.set_vocab_size(model->tokenizer->size());
  model->shape.set_embedding_size(model->tokenizer->size() + 2);
  model->shape.set_mask_token_id(model->tokenizer->TokenId("<|mdm_mask|>").value());
  model->shape.set_eos_token_id(model->tokenizer->TokenId("<|endoftext|>").value());
  model->eot = model->tokenizer->TokenId("<|eot_id|>");
  return model;
}

}  // namespace

const std::shared_ptr<const ServedModel>& IdsModel() {
  static const auto model = TinyModel();
  return model;
}

const std::shared_ptr<const ServedModel>& TextModel() {
  static const auto model = MakeTextModel();
  return model;
}

void RunToItsEnd(SequenceSpec spec, uint64_t seed) {
  std::mt19937_64 random(seed);
  spec.events = true;
  const SequenceSpec kept = spec;
  DenoisingSequence sequence(1, std::move(spec));
  Watcher watcher;
  int64_t windows_left = int64_t{kept.options.steps()} + kMaxDeaths;
  int deaths = 0;
  while (!sequence.done()) {
    const Window window = sequence.PlanWindow();
    Require(sequence.NextRows() >= window.tokens_size(), "a window is as large as was said");
    if (kept.options.steps() * int64_t{window.length()} > kMaxRows) return;
    if (deaths < kMaxDeaths && random() % 16 == 0) {
      ++deaths;
      sequence.LoseKv();
      continue;
    }
    Require(--windows_left >= 0, "a sequence ends within its steps");
    auto outcome = sequence.Advance(Answer(window, kept.model->shape.embedding_size(), random));
    Require(outcome.ok(), "finite candidates are taken");
    watcher.Hear(outcome->events, kept);
  }
  CheckResponse(sequence.Response(), kept, watcher);
}

void RunToItsEnd(ScorePlan plan, uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto shared = std::make_shared<const ScorePlan>(std::move(plan));
  int64_t rows = 0;
  for (const ScoreTask& task : shared->tasks) {
    rows += shared->Windows(task) * static_cast<int64_t>(shared->Canvas(task.target).size());
    if (rows > kMaxRows) return;
  }
  std::vector<int> done(shared->tasks.size());
  for (const std::vector<int32_t>& tasks : DealTasks(*shared, 4)) {
    ScoringSequence sequence(1, shared, tasks);
    while (!sequence.done()) {
      const Window window = sequence.PlanWindow();
      const int64_t left = sequence.WindowsLeft();
      Require(sequence.NextRows() == window.tokens_size() + window.unconditional_tokens_size(), "rows are as was said");
      Require(window.tokens_size() <= window.length() && window.length() <= sequence.KvPositions(), "K/V suffices");
      Require(window.asked_size() == 0 || window.asked_size() == window.sample_size(), "each position asks or none");
      const auto outcome = sequence.Advance(Answer(window, shared->model->shape.embedding_size(), random));
      Require(outcome.ok(), "finite candidates are taken");
      if (outcome->score) ++done.at(outcome->score->task);
      Require(sequence.WindowsLeft() < left && sequence.WorkLeft() >= 0, "what is left grows less");
    }
    Require(sequence.WindowsLeft() == 0 && sequence.WorkLeft() == 0, "nothing is left at the end");
  }
  for (const int times : done) Require(times == 1, "each task is done once");
}

}  // namespace unmask::testing
