#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "pgfed/core/checkpoint_log.hpp"
#include "pgfed/core/lsn.hpp"
#include "pgfed/core/report.hpp"
#include "pgfed/core/slot.hpp"
#include "pgfed/core/terms.hpp"
#include "pgfed/core/time.hpp"
#include "pgfed/core/timeline_history.hpp"

/// What slot management decides from: all that the shell has to collect.
namespace pgfed::core {

inline constexpr std::int64_t kGigabyte = std::int64_t{1} << 30;

struct SlotSettings {
  Mode mode = Mode::active;
  bool manage = true;                             ///< pgfed.manage_slots
  std::int64_t retained_warning = 4 * kGigabyte;  ///< bytes; kNoBytes: never
  std::int64_t retained_limit = kNoBytes;         ///< bytes; kNoBytes: none
  int wal_free_warning = 20;                      ///< percent
  int wal_free_limit = 10;                        ///< percent; 0: none

  bool operator==(const SlotSettings&) const = default;
  /// Whether slots are made, moved and dropped here.
  [[nodiscard]] bool manages() const { return mode == Mode::active && manage; }
};

/// What another node last said of itself, in a session that this node dialled: never hearsay, and
/// nothing of a node that is there twice.
struct SlotPeer {
  Name name;
  Instant heard{};  ///< when it said so; kNever: it has not been heard since this server started
  Incarnation incarnation;
  Role role = Role::unknown;
  /// A primary's own; a standby's: that it replays.
  std::uint32_t timeline = 0;
  Lsn timeline_start;  ///< where that left its parent; zero: not known, or it has none
  /// A standby whose walreceiver is already on a later timeline: the one that `flush` is on, and
  /// where that left its parent; 0: the same as `timeline`.
  std::uint32_t flush_timeline = 0;
  Lsn flush_timeline_start;
  Lsn flush;
  Lsn replay;              ///< a primary: same as flush
  bool streaming = false;  ///< a standby whose walreceiver streams
  Name upstream;           ///< from this node; empty: none, or no known node
  SlotName slot;           ///< through this slot there; empty: none
  Instant clone_asked{};   ///< when a copy for this node asked for its slot here; kNever: none has

  /// How much of another history it has flushed; nothing where that cannot be said.
  [[nodiscard]] std::optional<Lsn> flushed(const TimelineHistory& history) const {
    if (flush_timeline == 0 || flush_timeline == timeline) {
      return history.reach({timeline, timeline_start, flush});
    }
    return history.reach({flush_timeline, flush_timeline_start, flush});
  }
  [[nodiscard]] TimelinePoint replayed_point() const { return {timeline, timeline_start, replay}; }
  [[nodiscard]] std::optional<Lsn> replayed(const TimelineHistory& history) const {
    return history.reach(replayed_point());
  }
};

/// One moment, as this node sees it. Nodes, peers and slots in any order.
struct SlotSituation {
  Instant now{};
  Name self;
  /// This node is who it says (Identity::confirmed) and pgfed.nodes has been read and is this
  /// cluster's. Otherwise nothing is planned.
  bool settled = false;
  Role role = Role::unknown;
  TimelineHistory history;  ///< of the timeline that this node is on, a standby: replays
  Lsn position;             ///< a primary: flushed; a standby: replayed
  Lsn wal_end;              ///< the end of the WAL on the disk: written, a standby: received
  std::uint64_t segment_size = std::uint64_t{16} << 20;
  Checkpoint checkpoint;    ///< pg_control_checkpoint()
  std::vector<Name> nodes;  ///< pgfed.nodes
  std::vector<SlotPeer> peers;
  std::vector<Slot> slots;
  WalDirectory wal;
  std::int64_t max_replication_slots = 10;
  bool wal_level_suffices = true;  ///< replica or logical
  /// The lowest position that something other than a slot keeps (wal_keep_size, the archiver);
  /// zero: nothing does. Keeps a slot from being sacrificed where that frees nothing.
  Lsn held_otherwise;
};

}  // namespace pgfed::core
