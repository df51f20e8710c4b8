// How far a long piece of work is: a bar that redraws itself on a terminal, a plain line every tenth elsewhere.
#ifndef UNMASK_CLI_PROGRESS_BAR_H_
#define UNMASK_CLI_PROGRESS_BAR_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace unmask {

class ProgressBar {
 public:
  // Draws on standard error. Without `plain_lines` it stays silent where that is no terminal.
  explicit ProgressBar(bool plain_lines);
  ~ProgressBar() { Clear(); }

  // `done` of `total` bytes; a total of 0 is not known yet.
  void Show(absl::string_view what, int64_t done, int64_t total);

  // Takes the bar away, so that a line can be printed; the next Show() draws it anew.
  void Clear();

 private:
  const bool terminal_;
  const bool plain_lines_;
  bool drawn_ = false;
  int last_tenth_ = 0;  // Reported by a plain line.
};

// "loading  [######........]  43 %  3.4 of 8.0 GB", `width` columns wide at most.
std::string ProgressLine(absl::string_view what, int64_t done, int64_t total, int width);

}  // namespace unmask

#endif  // UNMASK_CLI_PROGRESS_BAR_H_
