#include "pgfed/core/lsn.hpp"

#include <charconv>

namespace pgfed::core {
namespace {

constexpr std::size_t kMaxHalf = 8;
constexpr int kHexadecimal = 16;

std::string format_half(std::uint32_t half) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string digits;
  do {
    digits.insert(digits.begin(), kDigits[half & 0xFU]);
    half >>= 4U;
  } while (half != 0);
  return digits;
}

std::optional<std::uint32_t> parse_half(std::string_view text) {
  if (text.size() > kMaxHalf) return std::nullopt;
  std::uint32_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, value, kHexadecimal);
  if (error != std::errc{} || stopped != end) return std::nullopt;
  return value;
}

}  // namespace

std::string format(Lsn lsn) {
  return format_half(static_cast<std::uint32_t>(lsn.value >> 32U)) + '/' +
         format_half(static_cast<std::uint32_t>(lsn.value));
}

std::optional<Lsn> parse_lsn(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto high = parse_half(text.substr(0, slash));
  const auto low = parse_half(text.substr(slash + 1));
  if (!high || !low) return std::nullopt;
  return Lsn{(std::uint64_t{*high} << 32U) | *low};
}

}  // namespace pgfed::core
