#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "pgfed/core/lsn.hpp"
#include "pgfed/core/terms.hpp"
#include "pgfed/core/text.hpp"
#include "pgfed/core/time.hpp"

/// Replication slots as a node sees its own, and what may be done to one.
namespace pgfed::core {

/// As long as Postgres allows a slot's name to be.
using SlotName = Text<64>;

/// What every slot that pgfed makes is called: this and the owner's name.
inline constexpr std::string_view kSlotPrefix = "pgfed_";
/// The slot that keeps WAL for pg_rewind. No node's slot is called so, since names of nodes start
/// with a letter.
inline constexpr std::string_view kRewindSlot = "pgfed__rewind";

inline constexpr std::int64_t kNoBytes = -1;  ///< a size that is not known, or has no limit

enum class SlotKind : std::uint8_t { physical = 0, logical = 1 };

/// pg_replication_slots.wal_status; `none` is its NULL: the slot has never reserved WAL.
enum class WalStatus : std::uint8_t { none = 0, reserved, extended, unreserved, lost };

enum class SlotVerb : std::uint8_t {
  none = 0,    ///< a row that only explains
  create,      ///< pg_create_physical_replication_slot(slot, immediately_reserve => true)
  advance,     ///< pg_replication_slot_advance(slot, lsn)
  touch,       ///< acquire and release, so that idle_replication_slot_timeout starts anew
  drop,        ///< pg_drop_replication_slot(slot)
  clear_xmin,  ///< forget the xmin that the owner's hot_standby_feedback left
};

/// Why a slot is dropped: decides the event.
enum class DropCause : std::uint8_t {
  none = 0,
  unwanted,    ///< of a removed node, or this node's own
  lost,        ///< invalidated: holds nothing
  unreserved,  ///< never reserved WAL: made anew
  retained,    ///< pgfed.slot_retained_limit
  space,       ///< pgfed.wal_free_limit
  never_used,  ///< made, and its owner never came
  leaving,     ///< pgfed no longer manages slots here, or was asked to drop them
};

constexpr std::string_view word(SlotKind value) {
  return detail::lookup(std::array<std::string_view, 2>{"physical", "logical"}, value);
}
/// Empty where the column is NULL.
constexpr std::string_view word(WalStatus value) {
  return detail::lookup(
      std::array<std::string_view, 5>{"", "reserved", "extended", "unreserved", "lost"}, value);
}
constexpr std::string_view word(SlotVerb value) {
  return detail::lookup(
      std::array<std::string_view, 6>{"none", "create", "advance", "touch", "drop", "clear_xmin"},
      value);
}
constexpr std::string_view word(DropCause value) {
  return detail::lookup(
      std::array<std::string_view, 8>{"none", "unwanted", "lost", "unreserved", "retained", "space",
                                      "never_used", "leaving"},
      value);
}

/// One row of pg_replication_slots. Standard layout.
struct Slot {
  SlotName name;
  SlotKind kind = SlotKind::physical;
  bool temporary = false;
  bool active = false;  ///< some process has acquired it
  Lsn restart;          ///< zero: has never reserved WAL, or its WAL is gone
  WalStatus wal_status = WalStatus::none;
  std::int64_t safe_bytes = kNoBytes;  ///< safe_wal_size; kNoBytes: NULL
  bool xmin = false;                   ///< xmin or catalog_xmin is set
  bool invalidated = false;            ///< 16: conflicting; 17+: invalidation_reason is not NULL
  bool failover = false;               ///< logical, 17+
  bool synced = false;                 ///< logical, 17+: a copy of the primary's

  bool operator==(const Slot&) const = default;
  /// Nobody will ever stream through it again.
  [[nodiscard]] bool lost() const { return invalidated || wal_status == WalStatus::lost; }
};

/// Where pg_wal lies. Bytes; kNoBytes where not known.
struct WalDirectory {
  std::int64_t wal_bytes = kNoBytes;   ///< of the files in pg_wal
  std::int64_t free_bytes = kNoBytes;  ///< that an unprivileged process may still use
  std::int64_t total_bytes = kNoBytes;

  bool operator==(const WalDirectory&) const = default;
  [[nodiscard]] bool known() const { return free_bytes >= 0 && total_bytes > 0; }
  /// Less than `percent` of the file system is free. False where that is not known.
  [[nodiscard]] bool below(int percent) const {
    return known() && static_cast<double>(free_bytes) * 100.0 <
                          static_cast<double>(total_bytes) * static_cast<double>(percent);
  }
};

/// One row of pgfed.slot_plan(), and one thing to do, in a transaction of its own. Standard layout.
struct SlotAction {
  SlotVerb action = SlotVerb::none;
  SlotName slot;
  Name owner;  ///< empty: of no node (pgfed__rewind, or a slot that is not pgfed's)
  Lsn lsn;     ///< of advance and touch: where it will be afterwards
  DropCause cause = DropCause::none;
  bool planned = false;  ///< to be shown only, not to be done (mode = observe)
  DetailText reason;

  bool operator==(const SlotAction&) const = default;
};

}  // namespace pgfed::core
