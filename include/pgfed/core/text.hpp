#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace pgfed::core {

/// Writes `text` to `out` as printable, valid UTF-8 of at most `limit` bytes: control characters
/// (C0, DEL, C1) and the invisible ones that reorder or hide text (bidirectional and zero-width
/// controls, line separators) become a blank, each byte that is no UTF-8 becomes '?', so that
/// nothing a peer sends reaches a terminal or a log raw. What is too long is cut at the border of a
/// character. Printing what was printed changes nothing. Returns the number of bytes written.
std::size_t copy_printable(std::string_view text, char* out, std::size_t limit);

/// `text` as an error message shows it: printable, in double quotes, cut with "..." where long.
std::string in_quotes(std::string_view text);

/// A short text of at most N - 1 bytes in place, NUL-terminated: trivially copyable and of standard
/// layout, so that it may lie in shared memory and in structs that a longjmp discards.
/// Holds printable UTF-8 only (see copy_printable); a longer text is cut.
template <std::size_t N>
struct Text {
  std::array<char, N> bytes{};

  Text() = default;
  // A value type: texts become one without ceremony.
  // NOLINTBEGIN(google-explicit-constructor)
  Text(std::string_view text) { assign(text); }
  Text(const std::string& text) { assign(text); }
  Text(const char* text) { assign(text); }
  // NOLINTEND(google-explicit-constructor)

  void assign(std::string_view text) {
    const std::size_t length = copy_printable(text, bytes.data(), N - 1);
    // What follows is cleared, so that equal texts are equal bytes.
    for (std::size_t i = length; i < N; ++i) bytes[i] = '\0';
  }
  [[nodiscard]] std::string_view view() const { return {bytes.data()}; }
  [[nodiscard]] std::string str() const { return std::string(view()); }
  [[nodiscard]] const char* c_str() const { return bytes.data(); }
  [[nodiscard]] bool empty() const { return bytes[0] == '\0'; }
  void clear() { bytes.fill('\0'); }

  bool operator==(const Text& other) const { return view() == other.view(); }
  bool operator==(std::string_view other) const { return view() == other; }
  bool operator==(const std::string& other) const { return view() == other; }
  bool operator==(const char* other) const { return view() == other; }
};

inline constexpr std::size_t kMaxNameLength = 50;

/// The name of a node: at most 50 bytes, so that its slot's name fits into 63.
using Name = Text<kMaxNameLength + 1>;
using HostText = Text<256>;
using SiteText = Text<64>;
using OptionsText = Text<512>;
using PathText = Text<256>;
using ErrorText = Text<256>;
using DetailText = Text<256>;
using VersionText = Text<32>;

}  // namespace pgfed::core
