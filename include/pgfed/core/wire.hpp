#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pgfed/core/report.hpp"
#include "pgfed/core/result.hpp"

/// The bytes of pgfed.exchange(bytea): "pgfd", a 16-bit protocol version, then records of a 16-bit
/// tag, a 32-bit length and a payload, all big-endian; a list is the same tag again, and a record
/// may hold records. A reader skips tags it does not know and fields that a known tag has at its
/// end beyond what it understands, and takes defaults for those that are missing: so a newer peer
/// may say more, an older one less, and neither breaks. Only what makes a report one at all (node,
/// federation, incarnation, role) must be there.
namespace pgfed::core {

/// At most kMaxReport bytes; links that would not fit are left out, and so is an inventory.
std::vector<std::uint8_t> encode(const Report& report);

/// Adds `known_inventory` to an encoded report, so that one report serves all peers, of each of which
/// something else is known. encode() leaves room for it.
void append_known_inventory(std::vector<std::uint8_t>& bytes, std::uint64_t digest);

/// An inventory as it is kept until somebody asks for it.
inline constexpr std::size_t kMaxEncodedInventory = 96 * 1024;

/// At most kMaxEncodedInventory bytes: the problems, then certificates as long as they fit. Names
/// beyond kMaxShownNames of one certificate are left out, longer texts than 255 bytes cut, all of
/// them made printable.
std::vector<std::uint8_t> encode_inventory(const Inventory& inventory);

/// Adds what encode_inventory() returned to an encoded report, if the whole of it fits.
void append_inventory(std::vector<std::uint8_t>& bytes, std::span<const std::uint8_t> encoded);

/// Errors (08P01): too large, not a report, cut short, a required field missing. Texts come out
/// printable (see Text), numbers out of range of their enumeration as `unknown`, more than kMaxLinks
/// links are dropped, and so are more certificates, names and problems than an inventory may have.
/// Never throws anything but std::bad_alloc.
Result<Report> decode(std::span<const std::uint8_t> bytes);

}  // namespace pgfed::core
