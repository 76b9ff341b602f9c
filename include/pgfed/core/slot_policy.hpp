#pragma once

#include <vector>

#include "pgfed/core/slot.hpp"
#include "pgfed/core/slot_memory.hpp"
#include "pgfed/core/slot_situation.hpp"

namespace pgfed::core {

struct SlotPlan {
  /// To be done in this order, each in a transaction of its own: what fails (another process has
  /// acquired the slot, no room) is logged, the rest is done all the same, and the next cycle plans
  /// anew. First what frees, then what is made, then what moves, last what is only explained.
  std::vector<SlotAction> actions;
  /// A slot goes for want of space: WAL is freed only by a checkpoint (on a standby: restart
  /// point).
  bool checkpoint_wanted = false;
};

/// What becomes of the slots of one node. Pure: the same situation and memory give the same plan,
/// and planning changes nothing, so that pgfed.slot_plan() may ask at any time.
///
/// Wanted are one physical slot for each other node of pgfed.nodes and pgfed__rewind. Nothing else
/// is ever touched; of what pgfed manages, nothing that is active.
class SlotPolicy {
 public:
  /// How often the plan is carried out.
  static constexpr Duration kCycle = seconds(10);
  /// How long a slot must have been inactive, without a break, to be dropped.
  static constexpr Duration kDroppable = std::chrono::minutes(5);
  /// What a node said longer ago says no longer whom it streams from, nor that it is there.
  static constexpr Duration kFresh = seconds(60);
  /// How long a checkpoint is waited for before a second slot goes for want of space.
  static constexpr Duration kSpaceWait = std::chrono::minutes(5);

  explicit SlotPolicy(const SlotSettings& settings) : settings_(settings) {}

  [[nodiscard]] SlotPlan plan(const SlotSituation& seen, const SlotMemory& memory) const;
  /// Drops for every managed slot that is inactive: pgfed.drop_slots() and DROP EXTENSION, in any
  /// mode; plan() gives the same while slot management is being left.
  [[nodiscard]] static SlotPlan release(const SlotSituation& seen, const SlotMemory& memory);

 private:
  SlotSettings settings_;
};

}  // namespace pgfed::core
