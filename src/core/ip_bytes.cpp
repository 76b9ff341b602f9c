#include "pgfed/core/ip_bytes.hpp"

#include <charconv>

#include "pgfed/core/address.hpp"

namespace pgfed::core {
namespace {

constexpr std::size_t kIpv4Bytes = 4;
constexpr std::size_t kIpv6Bytes = 16;
constexpr std::size_t kMaxPart = 32;  ///< characters of one number; leading zeros are allowed

/// A number as C writes it: decimal, "0x" hexadecimal, "0" octal.
bool parse_number(std::string_view text, std::uint32_t& number) {
  if (text.empty() || text.size() > kMaxPart || text[0] < '0' || text[0] > '9') return false;
  int base = 10;
  if (text.size() > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
    base = 16;
    text.remove_prefix(2);
  } else if (text[0] == '0') {
    base = 8;
  }
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  return error == std::errc() && end == text.data() + text.size();
}

/// Up to four numbers between dots, of which the last fills all the bytes that are left.
IpBytes ipv4_bytes(std::string_view text) {
  std::array<std::uint32_t, kIpv4Bytes> parts{};
  std::size_t count = 0;
  while (true) {
    const std::size_t dot = text.find('.');
    if (count == parts.size() || !parse_number(text.substr(0, dot), parts[count++])) return {};
    if (dot == std::string_view::npos) break;
    text.remove_prefix(dot + 1);
  }
  std::uint32_t value = 0;
  for (std::size_t i = 0; i + 1 < count; ++i) {
    if (parts[i] > 0xFFU) return {};
    value |= parts[i] << (24U - 8U * i);
  }
  const std::uint32_t last = parts[count - 1];
  if (last > 0xFFFFFFFFU >> (8U * (count - 1))) return {};
  value |= last;

  IpBytes result;
  result.length = kIpv4Bytes;
  for (std::size_t i = 0; i < kIpv4Bytes; ++i) {
    result.bytes[i] = static_cast<std::uint8_t>(value >> (24U - 8U * i));
  }
  return result;
}

/// The bytes of groups between colons, the last of them perhaps an IPv4 address. The text is known
/// to be right.
IpBytes group_bytes(std::string_view text) {
  IpBytes result;
  while (!text.empty() && result.length + 2 <= kIpv6Bytes) {
    const std::size_t colon = text.find(':');
    const std::string_view group = text.substr(0, colon);
    if (group.find('.') != std::string_view::npos) {
      const IpBytes tail = ipv4_bytes(group);
      for (std::size_t i = 0; i < kIpv4Bytes && result.length < kIpv6Bytes; ++i) {
        result.bytes[result.length++] = tail.bytes[i];
      }
    } else {
      std::uint16_t number = 0;
      std::from_chars(group.data(), group.data() + group.size(), number, 16);
      result.bytes[result.length++] = static_cast<std::uint8_t>(number >> 8U);
      result.bytes[result.length++] = static_cast<std::uint8_t>(number & 0xFFU);
    }
    if (colon == std::string_view::npos) break;
    text.remove_prefix(colon + 1);
  }
  return result;
}

IpBytes ipv6_bytes(std::string_view text) {
  const std::size_t gap = text.find("::");
  if (gap == std::string_view::npos) return group_bytes(text);
  IpBytes result = group_bytes(text.substr(0, gap));
  const IpBytes after = group_bytes(text.substr(gap + 2));
  for (std::size_t i = 0; i < after.length; ++i) {
    result.bytes[kIpv6Bytes - after.length + i] = after.bytes[i];
  }
  result.length = kIpv6Bytes;
  return result;
}

}  // namespace

IpBytes ip_bytes(std::string_view text) {
  if (text.find(':') == std::string_view::npos) return ipv4_bytes(text);
  if (text.find('%') != std::string_view::npos || !is_ipv6(text)) return {};
  return ipv6_bytes(text);
}

}  // namespace pgfed::core
