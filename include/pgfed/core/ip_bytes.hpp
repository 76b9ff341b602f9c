#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pgfed::core {

/// An address by value, in network order.
struct IpBytes {
  std::array<std::uint8_t, 16> bytes{};
  std::size_t length = 0;  ///< 4, 16, or 0: the text was no address
  bool operator==(const IpBytes&) const = default;
  [[nodiscard]] bool known() const { return length != 0; }
};

/// What inet_aton takes for an IPv4 address ("10.0.0.1", but "10.1" and "0x0a000001" too) or
/// inet_pton for one of IPv6 (so without a zone): that is how libpq tells an address from a name.
IpBytes ip_bytes(std::string_view text);

}  // namespace pgfed::core
