#include "text/utf8.h"

#include <cstdint>

namespace unmask {
namespace {

// The bytes a character starting with `lead` has, and the range of its second one (Unicode 15, table 3-7).
struct Form {
  size_t length;  // 0: no character starts so.
  uint8_t second_low = 0x80;
  uint8_t second_high = 0xBF;
};

Form FormOf(uint8_t lead) {
  if (lead < 0x80) return {1};
  if (lead < 0xC2) return {0};
  if (lead < 0xE0) return {2};
  if (lead == 0xE0) return {3, 0xA0, 0xBF};
  if (lead == 0xED) return {3, 0x80, 0x9F};
  if (lead < 0xF0) return {3};
  if (lead == 0xF0) return {4, 0x90, 0xBF};
  if (lead < 0xF4) return {4};
  if (lead == 0xF4) return {4, 0x80, 0x8F};
  return {0};
}

}  // namespace

size_t AppendUtf8(absl::string_view bytes, std::string* text) {
  size_t begin = 0;
  while (begin < bytes.size()) {
    const Form form = FormOf(static_cast<uint8_t>(bytes[begin]));
    size_t end = begin + 1;
    while (end < bytes.size() && end < begin + form.length) {
      const uint8_t byte = static_cast<uint8_t>(bytes[end]);
      const bool second = end == begin + 1;
      if (byte < (second ? form.second_low : 0x80) || byte > (second ? form.second_high : 0xBF)) break;
      ++end;
    }
    if (end - begin == form.length) {
      text->append(bytes.data() + begin, end - begin);
    } else if (end == bytes.size() && form.length > 0) {
      return begin;
    } else {
      text->append(kReplacementCharacter.data(), kReplacementCharacter.size());
    }
    begin = end;
  }
  return begin;
}

}  // namespace unmask
