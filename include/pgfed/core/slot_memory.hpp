#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "pgfed/core/checkpoint_log.hpp"
#include "pgfed/core/slot.hpp"
#include "pgfed/core/slot_situation.hpp"

namespace pgfed::core {

/// What is remembered of one slot, or of the place where a node's slot would be. Instants are on
/// this server's boot clock; kNever: has not happened.
struct SlotRecord {
  Instant known_since{};     ///< since when the owner is in pgfed.nodes
  Instant first_seen{};      ///< since when the slot is seen there without a gap
  Instant inactive_since{};  ///< since when it is inactive without a break
  Instant created_at{};      ///< when pgfed made it; kNever: it was there before
  Lsn position;              ///< where it was last seen
  Lsn moved;                 ///< how far pgfed itself moved it
  Instant dropped_at{};      ///< when pgfed dropped it
  /// pgfed__rewind: the redo of this node's newest checkpoint when the slot was last given up
  /// (lost, or dropped at a limit).
  Lsn given_up;
  /// What the owner had replayed when that was last on a timeline of this node's history.
  TimelinePoint replayed;
  Instant clone_asked{};     ///< when a copy for its owner last asked for it
  Incarnation incarnation;   ///< of the owner's server, as last looked at
  Incarnation before_clone;  ///< the owner's server as it was when the copy was asked for
  SlotName slot;
  /// The node whose slot it is, or was before that node was removed. Empty: not one of pgfed's.
  Name owner;
  DropCause dropped_for = DropCause::none;
  bool used = false;  ///< its owner streamed through it, or was heard
  /// pgfed__rewind does not wait for the owner: that had not got so far when the slot was given up,
  /// and has not since.
  bool not_waited_for = false;
  bool clone_over = false;  ///< another server of the owner has been heard since

  bool operator==(const SlotRecord&) const = default;
  [[nodiscard]] bool exists() const { return happened(first_seen); }
};

/// What must outlive this server for nothing to leak: which slots pgfed made, and for whom.
/// Standard layout.
struct DurableSlot {
  SlotName slot;
  Name owner;
  bool created = false;  ///< by pgfed
  bool used = false;
  bool operator==(const DurableSlot&) const = default;
};

/// What slot management remembers between two looks: clocks of its own, who owns what, and its own
/// checkpoints. Bounded: kMaxRecords. Usage, each turn: observe(); at each cycle besides: plan,
/// execute, and done() for each action that succeeded.
class SlotMemory {
 public:
  static constexpr std::size_t kMaxRecords = 1024;
  /// A copy that has not come to life by then is given up, and so is a slot that was never used.
  static constexpr Duration kNeverUsed = std::chrono::hours(24);
  /// How long dropping is tried after slot management was switched off.
  static constexpr Duration kLeaving = seconds(60);

  /// Takes what was written down before a restart. Clocks start at `now`.
  void restore(const std::vector<DurableSlot>& durable, bool managing, Instant now);
  /// What to write down; changes rarely.
  [[nodiscard]] std::vector<DurableSlot> durable() const;

  /// Looks, once a turn of the worker (a second) rather than once a cycle: a break in a slot's
  /// inactivity is only known where it was seen, or where the slot was moved meanwhile.
  void observe(const SlotSettings& settings, const SlotSituation& seen);
  /// The action was carried out; of `advance`, `lsn` is where Postgres says that the slot is now.
  void done(const SlotAction& action, Instant now);

  [[nodiscard]] const SlotRecord* find(std::string_view slot) const;
  /// Sorted by slot.
  [[nodiscard]] const std::vector<SlotRecord>& records() const { return records_; }
  [[nodiscard]] const CheckpointLog& checkpoints() const { return checkpoints_; }
  /// Slots are managed, or were until a moment ago.
  [[nodiscard]] bool managing() const { return managing_; }
  /// This node was seen in pgfed.nodes.
  [[nodiscard]] bool was_member() const { return was_member_; }
  /// When a slot was last dropped for want of space, and this node's newest checkpoint then.
  [[nodiscard]] Instant space_drop_at() const { return space_drop_at_; }
  [[nodiscard]] Lsn space_drop_redo() const { return space_drop_redo_; }

 private:
  SlotRecord* find_or_add(std::string_view slot);
  void observe_nodes(const SlotSituation& seen);
  void observe_slots(const SlotSituation& seen);
  void observe_peers(const SlotSituation& seen);
  void observe_leaving(const SlotSettings& settings, const SlotSituation& seen);
  void forget(const SlotSituation& seen);

  std::vector<SlotRecord> records_;
  CheckpointLog checkpoints_;
  bool managing_ = false;
  bool was_member_ = false;
  Instant leaving_since_{};
  Instant space_drop_at_{};
  Lsn space_drop_redo_;
};

}  // namespace pgfed::core
