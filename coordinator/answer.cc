#include "coordinator/answer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"

namespace unmask {

Answer::Answer(const ServedModel* model, bool ends, std::vector<std::string> stops)
    : model_(model), ends_(ends), stops_(std::move(stops)) {
  if (model_->tokenizer) stream_.emplace(model_->tokenizer.get());
}

void Answer::Follow(absl::Span<const int32_t> tokens) {
  while (!ended_ && tokens_read_ < static_cast<int32_t>(tokens.size()) && tokens[tokens_read_] != model_->mask()) {
    Read(tokens[tokens_read_]);
  }
}

void Answer::Finish(absl::Span<const int32_t> tokens) {
  while (!ended_ && tokens_read_ < static_cast<int32_t>(tokens.size())) Read(tokens[tokens_read_]);
  if (stream_ && ended_ != v1::FINISH_REASON_STOP) AppendText(stream_->Flush());
  finished_ = true;
}

void Answer::Read(int32_t token) {
  ++tokens_read_;
  if (ends_ && (token == model_->eos() || token == model_->eot)) {
    ended_ = v1::FINISH_REASON_EOS;
  } else if (stream_) {
    AppendText(stream_->Append({token}));
  }
}

void Answer::AppendText(const std::string& piece) {
  const size_t old_size = text_.size();
  text_ += piece;
  if (!ends_) return;
  size_t cut = std::string::npos;
  for (const std::string& stop : stops_) {
    // A match must end in the new piece; anything earlier would have been found before.
    const size_t from = old_size > stop.size() ? old_size - stop.size() : 0;
    cut = std::min(cut, text_.find(stop, from));
  }
  if (cut == std::string::npos) return;
  text_.resize(cut);
  ended_ = v1::FINISH_REASON_STOP;
}

std::string Answer::TakeDelta() {
  size_t certain = text_.size();
  if (!ended_ && !finished_) {
    for (const std::string& stop : stops_) {
      for (size_t length = std::min(stop.size() - 1, text_.size()); length > 0; --length) {
        if (absl::EndsWith(text_, absl::string_view(stop).substr(0, length))) {
          certain = std::min(certain, text_.size() - length);
          break;  // The longest held-back start of this stop.
        }
      }
    }
    // A stop may begin inside a character; hand out whole ones only.
    while (certain > taken_ && certain < text_.size() && (text_[certain] & 0xC0) == 0x80) --certain;
  }
  certain = std::max(certain, taken_);
  std::string delta = text_.substr(taken_, certain - taken_);
  taken_ = certain;
  return delta;
}

}  // namespace unmask
