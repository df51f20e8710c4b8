// Frames on a terminal, redrawn in place below what stands there already.
#ifndef UNMASK_CLI_SCREEN_H_
#define UNMASK_CLI_SCREEN_H_

#include <string>
#include <vector>

#include "cli/ansi.h"
#include "cli/cell.h"

namespace unmask {

struct ScreenSize {
  int width = 80;
  int height = 24;
};

// Writes to a file descriptor: one write a frame, no scrolling, no flicker. Not thread-safe.
class Screen {
 public:
  Screen(int fd, ColorDepth depth) : fd_(fd), depth_(depth) {}
  ~Screen();  // Gives the cursor back.
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  // As the terminal is now, at least 2 x 2.
  ScreenSize size() const;

  // Replaces the last frame. `lines` fit size().
  void Draw(const std::vector<Line>& lines);

  // Replaces the last frame by lines that stay; the next frame starts below them.
  void Print(const std::vector<Line>& lines);

 private:
  std::string Rewind() const;

  const int fd_;
  const ColorDepth depth_;
  std::vector<int> drawn_;  // Widths of the last frame's lines.
  bool cursor_hidden_ = false;
};

// Writes all of it, whatever signals come; false on an error.
bool WriteAll(int fd, const std::string& bytes);

// Puts the terminal back in order from inside a signal handler.
void RestoreTerminalNow();

}  // namespace unmask

#endif  // UNMASK_CLI_SCREEN_H_
