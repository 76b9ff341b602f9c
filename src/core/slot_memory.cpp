#include "pgfed/core/slot_memory.hpp"

#include <algorithm>

#include "pgfed/core/node.hpp"

namespace pgfed::core {

namespace {

template <typename Range, typename Member>
bool names(const Range& range, Member member, std::string_view name) {
  return std::any_of(range.begin(), range.end(),
                     [&](const auto& entry) { return (entry.*member).view() == name; });
}

/// A new life of the slot: nothing that was seen before counts.
void begin_life(SlotRecord& record, const Slot& slot, Instant now) {
  record.first_seen = now;
  record.inactive_since = slot.active ? kNever : now;
  record.position = slot.restart;
  record.moved = Lsn{};
}

void end_life(SlotRecord& record) {
  record.first_seen = kNever;
  record.inactive_since = kNever;
  record.created_at = kNever;
  record.used = false;
  record.position = Lsn{};
  record.moved = Lsn{};
}

}  // namespace

const SlotRecord* SlotMemory::find(std::string_view slot) const {
  const auto at = std::lower_bound(
      records_.begin(), records_.end(), slot,
      [](const SlotRecord& record, std::string_view name) { return record.slot.view() < name; });
  return at != records_.end() && at->slot.view() == slot ? &*at : nullptr;
}

SlotRecord* SlotMemory::find_or_add(std::string_view slot) {
  const auto at = std::lower_bound(
      records_.begin(), records_.end(), slot,
      [](const SlotRecord& record, std::string_view name) { return record.slot.view() < name; });
  if (at != records_.end() && at->slot.view() == slot) return &*at;
  if (records_.size() >= kMaxRecords) return nullptr;
  SlotRecord record;
  record.slot = SlotName(slot);
  return &*records_.insert(at, record);
}

void SlotMemory::restore(const std::vector<DurableSlot>& durable, bool managing, Instant now) {
  for (const DurableSlot& entry : durable) {
    SlotRecord* record = find_or_add(entry.slot.view());
    if (record == nullptr) return;
    record->owner = entry.owner;
    record->created_at = entry.created ? now : kNever;
    record->used = entry.used;
  }
  managing_ = managing;
}

std::vector<DurableSlot> SlotMemory::durable() const {
  std::vector<DurableSlot> result;
  for (const SlotRecord& record : records_) {
    const bool ours = !record.owner.empty() || record.slot == kRewindSlot;
    if (!ours || (!record.exists() && !happened(record.created_at))) continue;
    result.push_back({record.slot, record.owner, happened(record.created_at), record.used});
  }
  return result;
}

void SlotMemory::observe(const SlotSettings& settings, const SlotSituation& seen) {
  if (seen.settled) observe_nodes(seen);
  observe_slots(seen);
  observe_peers(seen);
  observe_leaving(settings, seen);
  forget(seen);
  checkpoints_.note(seen.checkpoint);
}

void SlotMemory::observe_nodes(const SlotSituation& seen) {
  for (const Name& node : seen.nodes) {
    SlotRecord* record = find_or_add(slot_name(node.view()));
    if (record == nullptr) continue;
    record->owner = node;
    if (!happened(record->known_since)) record->known_since = seen.now;
    if (node == seen.self) was_member_ = true;
  }
  // A node's own slot is its own also where it is no longer in the table.
  if (seen.self.empty()) return;
  if (SlotRecord* own = find_or_add(slot_name(seen.self.view()))) own->owner = seen.self;
}

void SlotMemory::observe_slots(const SlotSituation& seen) {
  for (const Slot& slot : seen.slots) {
    SlotRecord* record = find_or_add(slot.name.view());
    if (record == nullptr) continue;
    if (!record->exists()) {
      begin_life(*record, slot, seen.now);
      // What pgfed did not make may have been used for years.
      if (!happened(record->created_at)) record->used = true;
      continue;
    }
    // Backwards: made anew behind our back.
    if (slot.restart.valid() && slot.restart < record->position) {
      begin_life(*record, slot, seen.now);
      continue;
    }
    const bool moved_by_others = slot.restart > std::max(record->position, record->moved);
    if (slot.active || moved_by_others) {
      record->inactive_since = slot.active ? kNever : seen.now;
      record->used = true;
    } else if (!happened(record->inactive_since)) {
      record->inactive_since = seen.now;
    }
    if (slot.restart.valid()) record->position = slot.restart;
  }
  for (SlotRecord& record : records_) {
    if (record.exists() && !names(seen.slots, &Slot::name, record.slot.view())) end_life(record);
  }
}

void SlotMemory::observe_peers(const SlotSituation& seen) {
  const SlotRecord* rewind = find(kRewindSlot);
  const Lsn given_up = rewind == nullptr ? Lsn{} : rewind->given_up;
  for (const SlotPeer& peer : seen.peers) {
    const std::string slot = slot_name(peer.name.view());
    if (find(slot) == nullptr) continue;
    SlotRecord& record = *find_or_add(slot);
    if (peer.clone_asked > record.clone_asked) {
      record.clone_asked = peer.clone_asked;
      // What was heard after the asking may be the copy already.
      record.before_clone = peer.heard > peer.clone_asked ? record.incarnation : peer.incarnation;
      record.clone_over = false;
    }
    if (happened(record.clone_asked) && peer.heard > record.clone_asked &&
        peer.incarnation.known() && peer.incarnation != record.before_clone) {
      record.clone_over = true;
    }
    // A server that was started anew may have been rewound, or copied from another, meanwhile.
    if (peer.incarnation != record.incarnation) record.replayed = {};
    record.incarnation = peer.incarnation;
    if (const auto replayed = peer.replayed(seen.history)) {
      record.replayed = peer.replayed_point();
      if (*replayed > given_up) record.not_waited_for = false;
    }
    // Whoever was heard is no mistyped name.
    if (record.exists() && happened(peer.heard)) record.used = true;
  }
}

void SlotMemory::observe_leaving(const SlotSettings& settings, const SlotSituation& seen) {
  if (settings.manages()) {
    managing_ = true;
    leaving_since_ = kNever;
    return;
  }
  if (!managing_) return;
  if (!happened(leaving_since_)) leaving_since_ = seen.now;
  const bool left = std::none_of(seen.slots.begin(), seen.slots.end(), [&](const Slot& slot) {
    const SlotRecord* record = find(slot.name.view());
    return slot.kind == SlotKind::physical && !slot.temporary && !slot.active &&
           record != nullptr && (!record->owner.empty() || slot.name == kRewindSlot);
  });
  if (left || age(leaving_since_, seen.now) > kLeaving) managing_ = false;
}

void SlotMemory::forget(const SlotSituation& seen) {
  std::erase_if(records_, [&](const SlotRecord& record) {
    // What pgfed made a moment ago may not have been seen yet.
    if (record.exists() || happened(record.created_at) || record.slot == kRewindSlot) return false;
    if (record.owner.empty()) return true;
    return seen.settled &&
           std::find(seen.nodes.begin(), seen.nodes.end(), record.owner) == seen.nodes.end();
  });
}

void SlotMemory::done(const SlotAction& action, Instant now) {
  SlotRecord* record = find_or_add(action.slot.view());
  if (record == nullptr) return;
  switch (action.action) {
    case SlotVerb::create:
      end_life(*record);
      record->owner = action.owner;
      record->created_at = now;
      record->dropped_at = kNever;
      record->dropped_for = DropCause::none;
      break;
    case SlotVerb::advance:
      record->moved = std::max(record->moved, action.lsn);
      break;
    case SlotVerb::drop:
      end_life(*record);
      record->dropped_at = now;
      record->dropped_for = action.cause;
      if (action.slot == kRewindSlot &&
          (action.cause == DropCause::retained || action.cause == DropCause::space ||
           action.cause == DropCause::lost)) {
        record->given_up = checkpoints_.newest().redo;
        for (SlotRecord& other : records_) other.not_waited_for = true;
      }
      if (action.cause == DropCause::space) {
        space_drop_at_ = now;
        space_drop_redo_ = checkpoints_.newest().redo;
      }
      break;
    default:
      break;
  }
}

}  // namespace pgfed::core
