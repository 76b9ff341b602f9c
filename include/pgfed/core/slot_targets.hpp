#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pgfed/core/slot.hpp"
#include "pgfed/core/slot_memory.hpp"
#include "pgfed/core/slot_situation.hpp"

namespace pgfed::core {

/// Whose slot one is, as pgfed.slots shows it.
struct SlotOwnership {
  bool managed = false;
  bool wanted = false;  ///< else of a removed node, or this node's own
  bool rewind = false;
  Name owner;
};

/// Where a slot should be.
struct SlotTarget {
  Lsn lsn;  ///< zero: where it is
  std::string reason;
};

/// What the other nodes' words mean for this node's slots: who is there, who streams from where,
/// and how far each slot may go. Refers to the situation and the memory that it is made of.
class SlotTargets {
 public:
  SlotTargets(const SlotSituation& seen, const SlotMemory& memory);

  /// This node is in pgfed.nodes.
  [[nodiscard]] bool member() const { return member_; }
  /// This node was removed from pgfed.nodes. (Not said of a primary, nor of a node whose name was
  /// never there: others may well stream from a server whose name is mistyped.)
  [[nodiscard]] bool left() const;
  [[nodiscard]] bool is_node(std::string_view name) const;
  /// There are other nodes than this one.
  [[nodiscard]] bool has_others() const { return nodes_.size() > (member_ ? 1U : 0U); }
  /// Others than this one have been heard.
  [[nodiscard]] bool has_heard_others() const;
  /// Null where nothing is known of it.
  [[nodiscard]] const SlotPeer* peer(std::string_view name) const;
  [[nodiscard]] SlotOwnership ownership(const Slot& slot) const;

  [[nodiscard]] bool streams_here(const SlotPeer* peer) const;
  /// It certainly does not stream through this slot here: it is a primary, or streams from another
  /// node, or through another slot.
  [[nodiscard]] bool elsewhere(const SlotPeer* peer, const Slot& slot) const;
  /// Its slot may be made: it has reported or a copy for it asks; after a drop at a limit only once
  /// what it needs can be streamed from here again.
  [[nodiscard]] bool may_create(const SlotRecord* record, const SlotPeer* peer) const;

  /// What the owner has flushed, no further than this node's position, on this node's history.
  [[nodiscard]] SlotTarget of_node(const SlotRecord& record, const SlotPeer* peer) const;
  /// The redo of the newest checkpoint that every member has replayed.
  [[nodiscard]] SlotTarget of_rewind() const;

 private:
  [[nodiscard]] bool fresh(const SlotPeer* peer) const;
  /// A copy for the owner is being made: what the owner says is not yet the copy's word.
  [[nodiscard]] bool copying(const SlotRecord& record) const;

  const SlotSituation& seen_;
  const SlotMemory& memory_;
  std::vector<std::string_view> nodes_;  ///< sorted
  std::vector<const SlotPeer*> peers_;   ///< sorted by name
  bool member_ = false;
};

}  // namespace pgfed::core
