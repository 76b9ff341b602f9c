#include "pgfed/core/text.hpp"

#include <cstdint>

namespace pgfed::core {
namespace {

struct Character {
  std::uint32_t code = 0;
  std::size_t length = 0;  ///< bytes of it; zero where the bytes are no UTF-8
};

bool is_continuation(unsigned char byte) { return (byte & 0xC0U) == 0x80U; }

/// The first character of `text`, which is not empty. Refuses what RFC 3629 refuses: stray and
/// missing continuation bytes, overlong forms, surrogates and what lies beyond U+10FFFF.
Character first_character(std::string_view text) {
  const auto byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80U) return {lead, 1};

  std::size_t length = 0;
  std::uint32_t code = 0;
  std::uint32_t smallest = 0;  // anything below it would have fitted into fewer bytes
  if ((lead & 0xE0U) == 0xC0U) {
    length = 2;
    code = lead & 0x1FU;
    smallest = 0x80;
  } else if ((lead & 0xF0U) == 0xE0U) {
    length = 3;
    code = lead & 0x0FU;
    smallest = 0x800;
  } else if ((lead & 0xF8U) == 0xF0U) {
    length = 4;
    code = lead & 0x07U;
    smallest = 0x10000;
  } else {
    return {};
  }
  if (text.size() < length) return {};
  for (std::size_t i = 1; i < length; ++i) {
    if (!is_continuation(byte(i))) return {};
    code = (code << 6U) | (byte(i) & 0x3FU);
  }
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  if (code < smallest || code > 0x10FFFF || surrogate) return {};
  return {code, length};
}

/// Characters that steer a terminal or a reader's eye instead of showing something: C0 (with NUL,
/// line feed and escape), DEL and C1; line and paragraph separators, which forge lines in a log;
/// and the invisible and bidirectional controls, which show one text and hold another ("Trojan
/// source"): a peer could make its own error read as somebody else's, or two names look the same.
bool is_control(std::uint32_t code) {
  return code < 0x20 || (code >= 0x7F && code <= 0x9F) ||  // C0, DEL, C1
         code == 0xAD ||                                   // soft hyphen
         code == 0x61C ||                                  // Arabic letter mark
         code == 0x180E ||                                 // Mongolian vowel separator
         (code >= 0x200B && code <= 0x200F) ||             // zero width, directional marks
         (code >= 0x2028 && code <= 0x202E) ||             // separators, bidi embeddings, overrides
         (code >= 0x2060 && code <= 0x206F) ||             // invisible operators, bidi isolates
         code == 0xFEFF ||                                 // byte order mark
         (code >= 0xFFF9 && code <= 0xFFFB) ||             // interlinear annotation
         (code >= 0xE0000 && code <= 0xE007F);             // tags
}

}  // namespace

std::size_t copy_printable(std::string_view text, char* out, std::size_t limit) {
  std::size_t written = 0;
  while (!text.empty()) {
    const Character character = first_character(text);
    if (character.length == 0 || is_control(character.code)) {
      if (written == limit) break;
      out[written++] = character.length == 0 ? '?' : ' ';
      text.remove_prefix(character.length == 0 ? 1 : character.length);
      continue;
    }
    if (character.length > limit - written) break;
    for (std::size_t i = 0; i < character.length; ++i) out[written++] = text[i];
    text.remove_prefix(character.length);
  }
  return written;
}

std::string in_quotes(std::string_view text) {
  constexpr std::size_t kShown = 64;
  std::array<char, kShown + 4> buffer{};  // one character more, to know whether all fitted
  std::size_t length = copy_printable(text, buffer.data(), buffer.size());
  const bool cut = length > kShown;
  if (cut) length = copy_printable({buffer.data(), length}, buffer.data(), kShown);
  std::string result = "\"";
  result.append(buffer.data(), length);
  result += cut ? "...\"" : "\"";
  return result;
}

}  // namespace pgfed::core
