#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "pgfed/core/certificate.hpp"
#include "pgfed/core/lsn.hpp"
#include "pgfed/core/report.hpp"
#include "pgfed/core/terms.hpp"
#include "pgfed/core/text.hpp"
#include "pgfed/core/time.hpp"

/// What the bytes of pgfed.exchange() are made of (see wire.hpp for what they mean): for the sources
/// wire*.cpp only.
namespace pgfed::core::wire {

using Bytes = std::vector<std::uint8_t>;
using View = std::span<const std::uint8_t>;

inline constexpr std::size_t kTagSize = 2;
inline constexpr std::size_t kLengthSize = 4;
inline constexpr std::size_t kHeaderSize = kTagSize + kLengthSize;

/// Texts that are std::string in the core have at most so many bytes here.
inline constexpr std::size_t kMaxText = 255;

inline constexpr Duration kMaxDuration = std::chrono::hours(24 * 3653);  // ten years

// ---- writing ---------------------------------------------------------------------------------

template <typename Unsigned>
void put_unsigned(Bytes& out, Unsigned value) {
  for (std::size_t i = sizeof value; i-- > 0;) {
    out.push_back(static_cast<std::uint8_t>(static_cast<std::uint64_t>(value) >> (8U * i)));
  }
}

template <typename AnyTag>
void put_header(Bytes& out, AnyTag tag, std::size_t length) {
  put_unsigned(out, static_cast<std::uint16_t>(tag));
  put_unsigned(out, static_cast<std::uint32_t>(length));
}

template <typename AnyTag>
void put_bytes(Bytes& out, AnyTag tag, View payload) {
  put_header(out, tag, payload.size());
  out.insert(out.end(), payload.begin(), payload.end());
}

template <typename AnyTag>
void put_text(Bytes& out, AnyTag tag, std::string_view text) {
  put_header(out, tag, text.size());
  out.insert(out.end(), text.begin(), text.end());
}

template <typename AnyTag, std::size_t N>
void put(Bytes& out, AnyTag tag, const Text<N>& text) {
  put_text(out, tag, text.view());
}

/// Printable, and cut where it is long.
template <typename AnyTag>
void put(Bytes& out, AnyTag tag, const std::string& text) {
  put(out, tag, Text<kMaxText + 1>(text));
}

template <typename AnyTag>
void put(Bytes& out, AnyTag tag, const Incarnation& incarnation) {
  put_bytes(out, tag, incarnation.bytes);
}

template <typename AnyTag>
void put(Bytes& out, AnyTag tag, const Fingerprint& fingerprint) {
  put_bytes(out, tag, fingerprint.bytes);
}

template <typename AnyTag>
void put(Bytes& out, AnyTag tag, Duration duration) {
  put_header(out, tag, sizeof(std::uint64_t));
  put_unsigned(out, static_cast<std::uint64_t>(duration.count()));
}

template <typename AnyTag>
void put(Bytes& out, AnyTag tag, Lsn lsn) {
  put_header(out, tag, sizeof lsn.value);
  put_unsigned(out, lsn.value);
}

template <typename AnyTag, typename Number>
requires(std::is_integral_v<Number> || std::is_enum_v<Number>) void put(Bytes& out, AnyTag tag,
                                                                        Number value) {
  put_header(out, tag, sizeof value);
  if constexpr (std::is_enum_v<Number>) {
    put_unsigned(out, static_cast<std::underlying_type_t<Number>>(value));
  } else {
    put_unsigned(out, value);
  }
}

// ---- reading ---------------------------------------------------------------------------------

/// The first bytes of a payload as a big-endian number; what follows is for newer readers. Nothing
/// where there are too few.
template <typename Unsigned>
std::optional<Unsigned> get_unsigned(View payload) {
  if (payload.size() < sizeof(Unsigned)) return std::nullopt;
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < sizeof(Unsigned); ++i) value = (value << 8U) | payload[i];
  return static_cast<Unsigned>(value);
}

// Each get() takes a payload into a field, or says that the payload is too short for it.

template <std::size_t N>
bool get(View payload, Text<N>& text) {
  // Text cuts at its own limit, and the payload is no larger than a report.
  text.assign({reinterpret_cast<const char*>(payload.data()), payload.size()});
  return true;
}

inline bool get(View payload, std::string& text) {
  Text<kMaxText + 1> cut;
  get(payload, cut);
  text = cut.view();
  return true;
}

template <std::size_t N>
bool get_array(View payload, std::array<std::uint8_t, N>& bytes) {
  if (payload.size() < N) return false;
  std::copy_n(payload.begin(), N, bytes.begin());
  return true;
}

inline bool get(View payload, Incarnation& incarnation) {
  return get_array(payload, incarnation.bytes);
}

inline bool get(View payload, Fingerprint& fingerprint) {
  return get_array(payload, fingerprint.bytes);
}

template <typename Unsigned>
requires std::is_unsigned_v<Unsigned>
bool get(View payload, Unsigned& number) {
  const auto value = get_unsigned<Unsigned>(payload);
  if (value) number = *value;
  return value.has_value();
}

inline bool get(View payload, bool& flag) {
  const auto value = get_unsigned<std::uint8_t>(payload);
  if (value) flag = *value != 0;
  return value.has_value();
}

inline bool get(View payload, Lsn& lsn) { return get(payload, lsn.value); }

/// Clamped, so that whoever adds it to a clock cannot overflow.
inline bool get(View payload, Duration& duration) {
  const auto value = get_unsigned<std::uint64_t>(payload);
  if (!value) return false;
  duration =
      std::clamp(Duration(static_cast<std::int64_t>(*value)), Duration::zero(), kMaxDuration);
  return true;
}

/// A signed number; clamped likewise.
inline bool get_clamped(View payload, std::int64_t& number, std::int64_t least, std::int64_t most) {
  const auto value = get_unsigned<std::uint64_t>(payload);
  if (!value) return false;
  number = std::clamp(static_cast<std::int64_t>(*value), least, most);
  return true;
}

/// A number that this version has no word for becomes `otherwise`.
template <typename Enum>
bool get_enum(View payload, Enum& value, Enum last, Enum otherwise) {
  const auto number = get_unsigned<std::uint8_t>(payload);
  if (!number) return false;
  value = *number <= static_cast<std::uint8_t>(last) ? static_cast<Enum>(*number) : otherwise;
  return true;
}

struct RawRecord {
  std::uint16_t tag = 0;
  View payload;
};

/// Takes the first record off `rest`, which is not empty; nothing where it is cut short.
inline std::optional<RawRecord> take_record(View& rest) {
  if (rest.size() < kHeaderSize) return std::nullopt;
  const std::uint16_t tag = *get_unsigned<std::uint16_t>(rest);
  const std::size_t length = *get_unsigned<std::uint32_t>(rest.subspan(kTagSize));
  rest = rest.subspan(kHeaderSize);
  if (length > rest.size()) return std::nullopt;
  const RawRecord record{tag, rest.first(length)};
  rest = rest.subspan(length);
  return record;
}

/// Takes every record of a payload into `into` by `get_field(record, into)`; false where one of
/// them is too short.
template <typename Into, typename GetField>
bool get_records(View payload, Into& into, GetField get_field) {
  while (!payload.empty()) {
    const auto record = take_record(payload);
    if (!record || !get_field(*record, into)) return false;
  }
  return true;
}

/// Takes the payload of a report's inventory (wire_inventory.cpp); false where it is cut short.
bool get_inventory(View payload, Inventory& inventory);

}  // namespace pgfed::core::wire
