#include "pgfed/core/slot_targets.hpp"

#include <algorithm>

#include "pgfed/core/node.hpp"
#include "pgfed/core/slot_policy.hpp"

namespace pgfed::core {

namespace {

using std::string;

bool at_a_limit(DropCause cause) {
  return cause == DropCause::retained || cause == DropCause::space;
}

}  // namespace

SlotTargets::SlotTargets(const SlotSituation& seen, const SlotMemory& memory)
    : seen_(seen), memory_(memory) {
  nodes_.reserve(seen.nodes.size());
  for (const Name& node : seen.nodes) nodes_.push_back(node.view());
  std::sort(nodes_.begin(), nodes_.end());
  peers_.reserve(seen.peers.size());
  for (const SlotPeer& peer : seen.peers) peers_.push_back(&peer);
  std::sort(peers_.begin(), peers_.end(),
            [](const SlotPeer* a, const SlotPeer* b) { return a->name.view() < b->name.view(); });
  member_ = is_node(seen.self.view());
}

bool SlotTargets::left() const {
  return !member_ && memory_.was_member() && seen_.role == Role::standby;
}

bool SlotTargets::is_node(std::string_view name) const {
  return std::binary_search(nodes_.begin(), nodes_.end(), name);
}

bool SlotTargets::has_heard_others() const {
  return std::any_of(peers_.begin(), peers_.end(), [&](const SlotPeer* peer) {
    return happened(peer->heard) && peer->name != seen_.self && is_node(peer->name.view());
  });
}

const SlotPeer* SlotTargets::peer(std::string_view name) const {
  const auto at = std::lower_bound(
      peers_.begin(), peers_.end(), name,
      [](const SlotPeer* peer, std::string_view wanted) { return peer->name.view() < wanted; });
  return at != peers_.end() && (*at)->name.view() == name ? *at : nullptr;
}

SlotOwnership SlotTargets::ownership(const Slot& slot) const {
  SlotOwnership result;
  result.rewind = slot.name == kRewindSlot;
  const SlotRecord* record = memory_.find(slot.name.view());
  if (record == nullptr) return result;
  result.owner = record->owner;
  result.managed = slot.kind == SlotKind::physical && !slot.temporary &&
                   (result.rewind || !result.owner.empty());
  if (!result.managed || !member_) return result;
  result.wanted =
      result.rewind ? has_others() : result.owner != seen_.self && is_node(result.owner.view());
  return result;
}

bool SlotTargets::fresh(const SlotPeer* peer) const {
  return peer != nullptr && happened(peer->heard) &&
         age(peer->heard, seen_.now) <= SlotPolicy::kFresh;
}

bool SlotTargets::streams_here(const SlotPeer* peer) const {
  return fresh(peer) && peer->streaming && peer->upstream == seen_.self;
}

bool SlotTargets::elsewhere(const SlotPeer* peer, const Slot& slot) const {
  if (!fresh(peer)) return false;
  if (peer->role == Role::primary) return true;
  if (!peer->streaming || peer->upstream.empty()) return false;
  return peer->upstream != seen_.self || (!peer->slot.empty() && peer->slot != slot.name);
}

bool SlotTargets::copying(const SlotRecord& record) const {
  return happened(record.clone_asked) && !record.clone_over &&
         age(record.clone_asked, seen_.now) < SlotMemory::kNeverUsed;
}

bool SlotTargets::may_create(const SlotRecord* record, const SlotPeer* peer) const {
  if (record != nullptr && copying(*record) && record->clone_asked > record->dropped_at)
    return true;
  if (!fresh(peer)) return false;
  if (record == nullptr || !happened(record->dropped_at)) return true;
  if (peer->heard <= record->dropped_at) return false;
  if (!at_a_limit(record->dropped_for)) return true;
  const auto has = peer->flushed(seen_.history);
  return has && *has >= memory_.checkpoints().newest().redo;
}

SlotTarget SlotTargets::of_node(const SlotRecord& record, const SlotPeer* peer) const {
  const string who = record.owner.str();
  if (copying(record)) return {Lsn{}, "a copy for " + who + " is being made"};
  if (peer == nullptr || !happened(peer->heard)) return {Lsn{}, who + " has not been heard"};
  if (peer->heard <= record.first_seen || peer->heard <= record.clone_asked) {
    return {Lsn{}, who + " has not been heard since"};
  }
  const auto has = peer->flushed(seen_.history);
  const std::uint32_t timeline = peer->flush_timeline != 0 ? peer->flush_timeline : peer->timeline;
  if (!has) {
    return {Lsn{}, who + " is on timeline " + std::to_string(timeline) +
                       ", which is no part of this node's history"};
  }
  const Lsn lsn = std::min(*has, seen_.position);
  string reason = who + " has flushed " + format(peer->flush);
  if (*has < peer->flush) {
    reason += ", of which timeline " + std::to_string(timeline) + " counts up to " + format(*has);
  }
  if (lsn < *has) {
    reason += seen_.role == Role::primary ? ", this node up to " : ", this node has replayed ";
    reason += format(lsn);
  }
  return {lsn, std::move(reason)};
}

SlotTarget SlotTargets::of_rewind() const {
  Lsn lowest = seen_.position;
  for (const std::string_view name : nodes_) {
    if (name == seen_.self.view()) continue;
    const SlotPeer* other = peer(name);
    const SlotRecord* record = memory_.find(slot_name(name));
    if (record != nullptr && record->not_waited_for) continue;
    if (other == nullptr || !happened(other->heard)) {
      // A mistyped name must not hold WAL for ever.
      const bool never_came = record != nullptr && happened(record->known_since) &&
                              age(record->known_since, seen_.now) >= SlotMemory::kNeverUsed;
      if (never_came) continue;
      return {Lsn{}, string(name) + " has not been heard"};
    }
    // On a timeline that this node does not know it still has what it had before.
    auto replayed = other->replayed(seen_.history);
    if (!replayed && record != nullptr) replayed = seen_.history.reach(record->replayed);
    const Lsn has = replayed.value_or(Lsn{});
    if (!has.valid()) {
      return {Lsn{}, string(name) + " is on timeline " + std::to_string(other->timeline) +
                         ", which is no part of this node's history"};
    }
    lowest = std::min(lowest, has);
  }
  const auto& checkpoints = memory_.checkpoints().entries();
  const auto found =
      std::find_if(checkpoints.rbegin(), checkpoints.rend(), [&](const Checkpoint& checkpoint) {
        // What is replayed ends behind its record's start.
        return checkpoint.record < lowest &&
               seen_.history.reach({checkpoint.timeline, Lsn{}, checkpoint.record}) ==
                   checkpoint.record;
      });
  if (found == checkpoints.rend()) return {Lsn{}, "no later checkpoint is replayed by every node"};
  return {found->redo, "every node has replayed the checkpoint at " + format(found->record)};
}

}  // namespace pgfed::core
