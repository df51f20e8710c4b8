#include "tests/cli/recording.h"

#include <algorithm>
#include <utility>

namespace unmask {
namespace {

bool IsEnd(const std::string& token) { return token == "<eos>"; }

int32_t IdOf(const Recording& recording, int i) { return IsEnd(recording.tokens[i]) ? kEosId : 10 + i; }

v1::GenerateResponse Completed(const Recording& recording) {
  v1::GenerateResponse response;
  const int end = std::find_if(recording.tokens.begin(), recording.tokens.end(), IsEnd) - recording.tokens.begin();
  const int count = recording.tokens.size();
  if (recording.text.empty()) {
    for (int i = 0; i < end; ++i) response.mutable_text()->append(recording.tokens[i]);
  } else {
    response.set_text(recording.text);
  }
  for (int i = 0; i < count; ++i) response.add_token_ids(IdOf(recording, i));
  response.set_finish_reason(end < count ? v1::FINISH_REASON_EOS : v1::FINISH_REASON_LENGTH);
  response.mutable_usage()->set_prompt_tokens(recording.prompt_length);
  response.mutable_usage()->set_completion_tokens(std::min(end + 1, count));
  response.mutable_usage()->set_steps(recording.reveals.size());
  response.mutable_usage()->set_forward_passes(recording.reveals.size());
  response.mutable_options()->set_gen_length(count);
  response.mutable_options()->set_seed(42);
  response.mutable_exactness()->set_exact(true);
  response.set_model("demo");
  response.mutable_timing()->mutable_total()->set_seconds(2);
  response.mutable_timing()->mutable_total()->set_nanos(300000000);
  return response;
}

}  // namespace

std::vector<v1::GenerateStreamResponse> Recording::Events() const {
  const int count = tokens.size();
  const int block = block_length > 0 ? block_length : count;
  std::vector<v1::GenerateStreamResponse> events(1);
  v1::Accepted* accepted = events[0].mutable_accepted();
  accepted->set_prompt_length(prompt_length);
  accepted->set_canvas_length(prompt_length + count);
  accepted->set_blocks((count + block - 1) / block);
  accepted->mutable_options()->set_gen_length(count);
  accepted->mutable_options()->set_block_length(block);
  accepted->mutable_options()->set_steps(reveals.size());
  for (int i = 0; i < prompt_length; ++i) accepted->add_canvas(1 + i);
  for (int i = 0; i < count; ++i) accepted->add_canvas(kMaskId);

  std::vector<bool> revealed(count);
  int left = count, in_block = 0, current = 0;
  for (const std::vector<int>& reveal : reveals) {
    v1::StepEvent* step = events.emplace_back().mutable_step();
    const int b = reveal.empty() ? current : reveal[0] / block;
    in_block = b == current ? in_block : 0;
    current = b;
    step->set_block(b);
    step->set_step(in_block++);
    step->set_merged(1);
    for (const int i : reveal) {
      v1::Commit* commit = step->add_commits();
      commit->set_position(prompt_length + i);
      commit->set_token_id(IdOf(*this, i));
      commit->set_text(tokens[i]);
      commit->set_confidence(0.9f);
      commit->set_kind(v1::COMMIT_KIND_UNMASKED);
      revealed[i] = true;
      --left;
    }
    step->set_masks_left(left);
    const int end = std::min((b + 1) * block, count);
    for (int i = b * block; proposals && i < end; ++i) {
      if (revealed[i]) continue;
      v1::Proposal* proposal = step->add_proposals();
      proposal->set_position(prompt_length + i);
      proposal->set_token_id(IdOf(*this, i));
      proposal->set_text(tokens[i]);
      proposal->set_confidence(0.3f);
    }
    if (!std::all_of(revealed.begin() + b * block, revealed.begin() + end, [](bool r) { return r; })) continue;
    v1::BlockEvent* done = events.emplace_back().mutable_block();
    done->set_block(b);
    if (!text.empty()) continue;  // A text that is not its tokens' has no simple deltas.
    for (int i = b * block; i < end && !IsEnd(tokens[i]); ++i) done->mutable_text_delta()->append(tokens[i]);
  }
  *events.emplace_back().mutable_completed() = Completed(*this);
  return events;
}

Recording Denoise(const std::vector<std::string>& tokens, int block_length, int per_step) {
  Recording recording;
  recording.tokens = tokens;
  recording.block_length = block_length;
  const int count = tokens.size();
  uint32_t state = 12345;
  for (int begin = 0; begin < count; begin += block_length) {
    const int end = std::min(begin + block_length, count);
    std::vector<std::pair<uint32_t, int>> order;  // Mostly from left to right, as models do.
    for (int i = begin; i < end; ++i) {
      state = state * 1664525 + 1013904223;
      order.emplace_back((i - begin) * 40 + (state >> 16) % 700, i);
    }
    std::sort(order.begin(), order.end());
    for (size_t i = 0; i < order.size(); i += per_step) {
      std::vector<int>& reveal = recording.reveals.emplace_back();
      for (size_t k = i; k < std::min(order.size(), i + per_step); ++k) reveal.push_back(order[k].second);
    }
  }
  return recording;
}

CanvasLayout LayoutWithPrompt(const std::string& prompt) {
  CanvasLayout layout{.prompt = prompt};
  layout.mask_id = kMaskId;
  layout.end_ids = {kEosId, kEotId};
  return layout;
}

v1::Model SomeModel() {
  v1::Model model;
  model.set_name("demo");
  model.set_architecture("LLaDAModelLM");
  model.set_parameters(8015581184);
  model.set_layers(32);
  model.set_hidden_size(4096);
  model.set_heads(32);
  model.set_kv_heads(32);
  model.set_vocab_size(126349);
  model.set_embedding_size(126464);
  model.set_max_sequence_length(4096);
  model.mutable_special_tokens()->set_mask(kMaskId);
  model.mutable_special_tokens()->set_eos(kEosId);
  model.mutable_special_tokens()->set_eot(kEotId);
  model.set_has_tokenizer(true);
  model.set_has_chat_template(true);
  model.set_dtype("bf16");
  model.set_tensor_parallel(2);
  model.set_ready(true);
  return model;
}

CanvasState Play(const CanvasLayout& layout, const std::vector<v1::GenerateStreamResponse>& events, int count) {
  CanvasState state(layout);
  for (int i = 0; i < static_cast<int>(events.size()) && (count < 0 || i < count); ++i) state.Apply(events[i]);
  return state;
}

}  // namespace unmask
