#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pgfed/core/slot.hpp"
#include "pgfed/core/slot_memory.hpp"
#include "pgfed/core/slot_situation.hpp"
#include "pgfed/core/wal_holder.hpp"

namespace pgfed::core {

/// More names of checks; stable, see check_book.hpp.
namespace check {
inline constexpr const char* kSlots = "slots";  ///< the managed slots are as they should be
inline constexpr const char* kSlotLimit = "slot_limit";      ///< max_slot_wal_keep_size
inline constexpr const char* kWalSpace = "wal_space";        ///< free space where pg_wal lies
inline constexpr const char* kSlotRestart = "slot_restart";  ///< slots do not keep it from starting
inline constexpr const char* kLogicalSlots = "logical_slots";  ///< survive a change of primary
/// The line in postgresql.conf, 17+
inline constexpr const char* kSynchronizedSlots = "synchronized_standby_slots";
}  // namespace check

enum class WalLevel : std::uint8_t { minimal = 0, replica = 1, logical = 2 };

/// How the server is set up, as far as slots are concerned. `next`: as the configuration files
/// would have it after a restart (pg_file_settings); the same as now where nothing else is written
/// there.
struct SlotServer {
  std::uint32_t server_version = 0;  ///< server_version_num
  WalLevel wal_level = WalLevel::replica;
  WalLevel wal_level_next = WalLevel::replica;
  std::int64_t max_replication_slots_next = 10;
  std::int64_t max_slot_wal_keep_bytes = kNoBytes;  ///< max_slot_wal_keep_size; kNoBytes: -1
  /// 17+: synchronized_standby_slots, split.
  std::vector<SlotName> synchronized_slots;
  bool sync_replication_slots = false;  ///< 17+
  bool hot_standby_feedback = false;
  bool primary_slot_name = false;    ///< is set
  bool primary_dbname = false;       ///< primary_conninfo has a dbname
  bool failover_extension = false;   ///< pg_failover_slots is loaded
  bool upstream_is_primary = true;   ///< a standby: it streams from the primary itself
  bool primary_slots_known = false;  ///< a standby: the primary has reported its slots
  std::vector<Slot> primary_slots;
};

/// One check about this node; `ok` ones too, without words.
struct SlotFinding {
  const char* check = "";
  Status status = Status::ok;
  std::string detail;
  std::string hint;
};

/// Status and detail of one row of pgfed.slots. `retained_warning` applies to managed ones only.
struct SlotJudgement {
  Status status = Status::ok;
  std::string detail;
  std::string hint;
};
SlotJudgement judge_slot(const Slot& slot, bool managed, Lsn wal_end,
                         std::int64_t retained_warning);

/// Each check once, in a fixed order; where several things are wrong with one, the worst is told
/// and the others are counted.
std::vector<SlotFinding> check_slots(const SlotSettings& settings, const SlotSituation& seen,
                                     const SlotMemory& memory, const SlotServer& server,
                                     const WalHolder& holder);

/// The value that synchronized_standby_slots should have on this node while it is the primary: the
/// managed slots that standbys stream through.
std::string synchronized_slots_line(const SlotSituation& seen, const SlotMemory& memory);

}  // namespace pgfed::core
