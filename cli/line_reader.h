// Lines from a file descriptor, with Ctrl-C seen between them.
#ifndef UNMASK_CLI_LINE_READER_H_
#define UNMASK_CLI_LINE_READER_H_

#include <string>

namespace unmask {

class LineReader {
 public:
  enum class Result { kLine, kEnd, kInterrupted };

  explicit LineReader(int fd) : fd_(fd) {}

  // The next line without its newline; the last one needs none. kInterrupted: a signal came while it waited, and what
  // had been read of the line is dropped.
  Result Read(std::string* line);

 private:
  const int fd_;
  std::string buffer_;
};

}  // namespace unmask

#endif  // UNMASK_CLI_LINE_READER_H_
