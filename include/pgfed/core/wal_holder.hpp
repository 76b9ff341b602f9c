#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "pgfed/core/lsn.hpp"
#include "pgfed/core/slot.hpp"
#include "pgfed/core/timeline_history.hpp"

namespace pgfed::core {

/// What may keep a WAL segment on the disk.
enum class Holder : std::uint8_t { checkpoint = 0, wal_keep_size, summarizer, archiver, slot };

constexpr std::string_view word(Holder value) {
  return detail::lookup(std::array<std::string_view, 5>{"checkpoint", "wal_keep_size", "summarizer",
                                                        "archiver", "slot"},
                        value);
}

/// All that holds WAL on one server. Zero where it does not apply or is not known.
struct WalHolders {
  std::uint64_t segment_size = std::uint64_t{16} << 20;
  Lsn oldest;  ///< start of the oldest segment in pg_wal
  Lsn end;     ///< end of WAL
  Lsn redo;    ///< of the newest checkpoint, on a standby: restart point
  std::int64_t wal_keep_bytes = 0;
  Lsn unarchived;    ///< start of the oldest segment that archive_status says is ready
  Lsn unsummarized;  ///< 17+, summarize_wal: up to where WAL is summarized
  std::vector<Slot> slots;
};

/// pgfed.wal.held_by
struct WalHolder {
  Holder holder = Holder::checkpoint;
  SlotName slot;  ///< where it is a slot
  Lsn from;       ///< the oldest position that it needs
};

/// Who keeps the oldest segment. `checkpoint` also where nobody needs it any more: the next
/// checkpoint removes it.
WalHolder held_by(const WalHolders& wal);
/// The lowest position that wal_keep_size, the archiver or the summarizer needs; zero where they
/// need nothing: SlotSituation::held_otherwise.
Lsn held_otherwise(const WalHolders& wal);

/// Where a node could get WAL from.
struct WalSource {
  bool known = false;  ///< it has said what it has; else nothing can be ruled out
  TimelineHistory history;
  Lsn oldest;  ///< start of the oldest segment in pg_wal there
};

/// True where a node that has flushed this can be brought up only by a new copy: none of the other
/// nodes has the WAL that it needs next, and it has no restore_command.
bool needs_new_copy(const TimelinePoint& flushed, bool restore_command, std::uint64_t segment_size,
                    const std::vector<WalSource>& sources);

}  // namespace pgfed::core
