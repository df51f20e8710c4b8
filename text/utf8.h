// UTF-8 out of bytes that may be cut or broken anywhere.
#ifndef UNMASK_TEXT_UTF8_H_
#define UNMASK_TEXT_UTF8_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace unmask {

// Appends `bytes` to *text with U+FFFD for each maximal ill-formed part (Unicode 15, section 3.9, "substitution of
// maximal subparts"; what Python's errors="replace" and Rust's from_utf8_lossy do). Returns how many bytes that took:
// all of them but an unfinished, so far well-formed character at the very end (at most 3 bytes).
size_t AppendUtf8(absl::string_view bytes, std::string* text);

constexpr absl::string_view kReplacementCharacter = "\xEF\xBF\xBD";

}  // namespace unmask

#endif  // UNMASK_TEXT_UTF8_H_
