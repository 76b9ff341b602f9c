#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pgfed::core {

/// A position in the WAL, in bytes from its beginning: XLogRecPtr. Zero is "invalid", as in
/// Postgres.
struct Lsn {
  std::uint64_t value = 0;

  constexpr auto operator<=>(const Lsn&) const = default;
  [[nodiscard]] constexpr bool valid() const { return value != 0; }
};

/// Bytes from `from` up to `to`; never negative, because a standby that reported after the primary
/// did may be ahead of the primary's older figure, which is no lag.
constexpr std::uint64_t bytes_between(Lsn from, Lsn to) {
  return to > from ? to.value - from.value : 0;
}

/// As Postgres prints a pg_lsn: two hexadecimal halves, `16/B374D848`.
std::string format(Lsn lsn);

/// Reads what pg_lsn accepts, and nothing else: 1 to 8 hexadecimal digits on either side of a
/// slash, in either case, without blanks.
std::optional<Lsn> parse_lsn(std::string_view text);

}  // namespace pgfed::core
