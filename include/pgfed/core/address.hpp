#pragma once

#include <string_view>

/// The syntax of addresses: what inet_pton accepts, without a system header or a locale.
namespace pgfed::core {

/// Four decimal numbers of 0 to 255 without leading zeros (which some read as octal).
bool is_ipv4(std::string_view text);

/// Eight groups of hexadecimal digits, one run of zero groups as "::", the last two groups perhaps
/// as an IPv4 address; no brackets. A zone may follow after '%' ("fe80::1%eth0").
bool is_ipv6(std::string_view text);

/// Whether a resolver's inet_aton would take the text for a number instead of a name: every label
/// between the dots is decimal, or hexadecimal with "0x" ("10.1", "2130706433", "0x7f.1").
bool is_numeric(std::string_view text);

}  // namespace pgfed::core
