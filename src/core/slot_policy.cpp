#include "pgfed/core/slot_policy.hpp"

#include <algorithm>
#include <string>
#include <string_view>

#include "pgfed/core/node.hpp"
#include "pgfed/core/slot_targets.hpp"

namespace pgfed::core {

namespace {

using std::string;

SlotAction make(SlotVerb verb, const SlotName& slot, const Name& owner, const string& reason,
                DropCause cause = DropCause::none, Lsn lsn = Lsn{}) {
  SlotAction action;
  action.action = verb;
  action.slot = slot;
  action.owner = owner;
  action.lsn = lsn;
  action.cause = cause;
  action.reason = reason;
  return action;
}

string minutes_text(Duration duration) {
  const auto whole = std::chrono::duration_cast<seconds>(duration).count();
  return whole < 120 ? std::to_string(whole) + " s" : std::to_string(whole / 60) + " min";
}

string megabytes(std::uint64_t bytes) { return std::to_string(bytes >> 20) + " MB"; }

/// A managed physical slot that is there, and what is to become of it.
struct Managed {
  const Slot* slot = nullptr;
  const SlotRecord* record = nullptr;
  const SlotPeer* peer = nullptr;  ///< its owner, where something was heard of it
  SlotOwnership ownership;
  SlotTarget target;
  Lsn after;               ///< where it will be when this plan is done
  bool droppable = false;  ///< inactive for long enough, owner not streaming here
  bool kept = true;
  bool dropped = false;  ///< by this plan
};

/// One planning.
class Planner {
 public:
  Planner(const SlotSettings& settings, const SlotSituation& seen, const SlotMemory& memory)
      : settings_(settings), seen_(seen), memory_(memory), targets_(seen, memory) {}

  SlotPlan run();

 private:
  void collect();
  void take_stranger(const Slot& slot, const SlotOwnership& ownership);
  void decide(Managed& managed);
  void decide_lost(Managed& managed, const string& why, DropCause cause);
  void make_space();
  void keep(const Managed& managed);
  void create_missing();
  void create(const SlotName& slot, const Name& owner);
  void drop(Managed& managed, DropCause cause, const string& reason);
  void explain(const Managed& managed, const string& reason) {
    notes_.push_back(make(SlotVerb::none, managed.slot->name, managed.ownership.owner, reason));
  }

  [[nodiscard]] Lsn floor_of_kept() const;

  const SlotSettings& settings_;
  const SlotSituation& seen_;
  const SlotMemory& memory_;
  SlotTargets targets_;
  std::vector<Managed> managed_;
  std::vector<SlotName> remade_;  ///< dropped by this plan, to be made anew
  std::vector<SlotAction> drops_, creates_, moves_, notes_;
  bool checkpoint_wanted_ = false;
};

void Planner::collect() {
  managed_.reserve(seen_.slots.size());
  for (const Slot& slot : seen_.slots) {
    const SlotOwnership ownership = targets_.ownership(slot);
    if (!ownership.managed) {
      take_stranger(slot, ownership);
      continue;
    }
    Managed managed;
    managed.slot = &slot;
    managed.record = memory_.find(slot.name.view());
    managed.ownership = ownership;
    managed.after = slot.restart;
    if (!ownership.rewind) managed.peer = targets_.peer(ownership.owner.view());
    if (ownership.wanted && !slot.active && !slot.lost() && slot.restart.valid()) {
      managed.target =
          ownership.rewind ? targets_.of_rewind() : targets_.of_node(*managed.record, managed.peer);
      managed.after = std::max(slot.restart, managed.target.lsn);
    }
    const Duration idle = age(managed.record->inactive_since, seen_.now);
    managed.droppable = !slot.active && happened(managed.record->inactive_since) &&
                        idle >= SlotPolicy::kDroppable && !targets_.streams_here(managed.peer);
    managed_.push_back(managed);
  }
  std::sort(managed_.begin(), managed_.end(), [](const Managed& a, const Managed& b) {
    return a.slot->name.view() < b.slot->name.view();
  });
}

/// Not pgfed's: left alone, and said where its name looks as if it were.
void Planner::take_stranger(const Slot& slot, const SlotOwnership& ownership) {
  if (slot.name.view().substr(0, kSlotPrefix.size()) != kSlotPrefix) return;
  string reason;
  if (slot.kind == SlotKind::logical) {
    reason = "a logical slot: not pgfed's, never touched";
  } else if (slot.temporary) {
    reason = "a temporary slot of somebody's session: never touched";
  } else {
    reason = "no node that pgfed knows, or knew, has this slot: never touched";
  }
  notes_.push_back(make(SlotVerb::none, slot.name, ownership.owner, reason));
}

void Planner::drop(Managed& managed, DropCause cause, const string& reason) {
  drops_.push_back(
      make(SlotVerb::drop, managed.slot->name, managed.ownership.owner, reason, cause));
  managed.kept = false;
  managed.dropped = true;
}

/// A slot that holds nothing goes at once; it is made anew as soon as its owner is there.
void Planner::decide_lost(Managed& managed, const string& why, DropCause cause) {
  const bool anew = managed.ownership.wanted &&
                    (managed.ownership.rewind ? targets_.has_heard_others()
                                              : targets_.may_create(managed.record, managed.peer));
  if (!anew && cause == DropCause::unreserved) {
    explain(managed, why + "; made anew when its owner is heard");
    managed.kept = false;
    return;
  }
  drop(managed, cause, why + (anew ? ": made anew" : ""));
  if (anew) remade_.push_back(managed.slot->name);
}

void Planner::decide(Managed& managed) {
  const Slot& slot = *managed.slot;
  const Name& owner = managed.ownership.owner;
  if (slot.active) {
    managed.kept = false;
    if (!managed.ownership.wanted) {
      explain(managed, managed.ownership.owner == seen_.self
                           ? "this node's own, but in use: dropped once it is released"
                           : "its node was removed, but it is in use: dropped once it is released");
    } else if (targets_.elsewhere(managed.peer, slot)) {
      const SlotPeer& peer = *managed.peer;
      explain(managed, "in use, but not by " + owner.str() + ", which " +
                           (peer.role == Role::primary    ? "is a primary"
                            : peer.upstream == seen_.self ? "streams through " + peer.slot.str()
                                                          : "streams from " + peer.upstream.str()));
    } else {
      explain(managed, "in use");
    }
    return;
  }
  if (slot.lost()) return decide_lost(managed, "its WAL is lost", DropCause::lost);
  if (!managed.ownership.wanted) {
    managed.kept = false;
    const string why = managed.ownership.rewind ? "there is no other node"
                       : owner == seen_.self    ? "a node keeps no slot for itself"
                                                : "its node was removed";
    if (managed.droppable) return drop(managed, DropCause::unwanted, why);
    return explain(managed, why + ": dropped after " + minutes_text(SlotPolicy::kDroppable) +
                                " of inactivity");
  }
  if (!slot.restart.valid()) {
    managed.kept = false;
    if (!managed.droppable) {
      return explain(managed, "reserves no WAL: made anew after " +
                                  minutes_text(SlotPolicy::kDroppable) + " of inactivity");
    }
    return decide_lost(managed, "it reserves no WAL", DropCause::unreserved);
  }
  if (!managed.droppable) return;
  const SlotRecord& record = *managed.record;
  const Instant unused_since = std::max(record.created_at, record.clone_asked);
  if (!managed.ownership.rewind && happened(record.created_at) && !record.used &&
      age(unused_since, seen_.now) >= SlotMemory::kNeverUsed) {
    return drop(managed, DropCause::never_used,
                "never used: " + owner.str() + " has not come since it was made");
  }
  const std::uint64_t retained = bytes_between(managed.after, seen_.wal_end);
  // From the last checkpoint on WAL is there anyhow: dropping the slot would free nothing.
  const Lsn redo = memory_.checkpoints().newest().redo;
  const bool holds = !redo.valid() || managed.after < redo;
  if (settings_.retained_limit >= 0 && holds &&
      retained >= static_cast<std::uint64_t>(settings_.retained_limit)) {
    drop(managed, DropCause::retained,
         "holds " + megabytes(retained) + ", pgfed.slot_retained_limit is " +
             megabytes(static_cast<std::uint64_t>(settings_.retained_limit)));
  }
}

/// The lowest position that stays held whatever is dropped.
Lsn Planner::floor_of_kept() const {
  Lsn floor = seen_.wal_end;
  const auto lower = [&](Lsn lsn) {
    if (lsn.valid()) floor = std::min(floor, lsn);
  };
  lower(memory_.checkpoints().newest().redo);
  lower(seen_.held_otherwise);
  for (const Slot& slot : seen_.slots) {
    if (slot.lost()) continue;
    const auto found = std::find_if(managed_.begin(), managed_.end(),
                                    [&](const Managed& entry) { return entry.slot == &slot; });
    if (found == managed_.end()) {
      lower(slot.restart);
    } else if (!found->dropped && !(found->kept && found->droppable)) {
      lower(found->after);
    }
  }
  return floor;
}

/// Below pgfed.wal_free_limit: the droppable slot that holds most goes, one a checkpoint.
void Planner::make_space() {
  if (!seen_.wal.below(settings_.wal_free_limit)) return;
  Managed* most = nullptr;
  for (Managed& managed : managed_) {
    if (!managed.kept || !managed.droppable) continue;
    if (most == nullptr || managed.after < most->after) most = &managed;
  }
  if (most == nullptr) return;
  // What has been dropped frees nothing before a checkpoint. Where less than half of the limit is
  // left there is no time to wait for one.
  const bool urgent = seen_.wal.below((settings_.wal_free_limit + 1) / 2);
  const bool waits = happened(memory_.space_drop_at()) &&
                     age(memory_.space_drop_at(), seen_.now) < SlotPolicy::kSpaceWait &&
                     memory_.checkpoints().newest().redo == memory_.space_drop_redo();
  if (!urgent && (waits || !drops_.empty())) {
    explain(*most,
            "free space is below pgfed.wal_free_limit; waiting for the checkpoint that frees "
            "what was dropped");
    return;
  }
  const Lsn floor = floor_of_kept();
  if (bytes_between(most->after, floor) < seen_.segment_size) {
    explain(*most,
            "free space is below pgfed.wal_free_limit, but dropping this would free nothing: "
            "something else holds as much");
    return;
  }
  drop(*most, DropCause::space,
       "free space is below " + std::to_string(settings_.wal_free_limit) +
           " % (pgfed.wal_free_limit) and this holds most: " +
           megabytes(bytes_between(most->after, seen_.wal_end)));
  checkpoint_wanted_ = true;
}

void Planner::keep(const Managed& managed) {
  const Slot& slot = *managed.slot;
  const Name& owner = managed.ownership.owner;
  if (slot.xmin && (managed.droppable || targets_.elsewhere(managed.peer, slot))) {
    moves_.push_back(make(SlotVerb::clear_xmin, slot.name, owner,
                          "its xmin is stale and holds up vacuum: nobody streams through it"));
  }
  if (managed.target.lsn > slot.restart) {
    moves_.push_back(make(SlotVerb::advance, slot.name, owner, managed.target.reason,
                          DropCause::none, managed.target.lsn));
  } else {
    moves_.push_back(make(SlotVerb::touch, slot.name, owner, "kept: " + managed.target.reason,
                          DropCause::none, slot.restart));
  }
}

void Planner::create(const SlotName& slot, const Name& owner) {
  const auto in_use = static_cast<std::int64_t>(seen_.slots.size() + creates_.size());
  const auto freed = std::count_if(drops_.begin(), drops_.end(), [](const SlotAction& action) {
    return action.action == SlotVerb::drop;
  });
  if (!seen_.wal_level_suffices) {
    notes_.push_back(
        make(SlotVerb::none, slot, owner, "cannot be made: wal_level is not replica or logical"));
  } else if (in_use - freed >= seen_.max_replication_slots) {
    notes_.push_back(make(SlotVerb::none, slot, owner,
                          "cannot be made: all " + std::to_string(seen_.max_replication_slots) +
                              " replication slots (max_replication_slots) are in use"));
  } else {
    creates_.push_back(make(
        SlotVerb::create, slot, owner,
        owner.empty() ? "keeps WAL for pg_rewind" : owner.str() + " may stream from this node"));
  }
}

void Planner::create_missing() {
  std::vector<Name> nodes = seen_.nodes;
  std::sort(nodes.begin(), nodes.end(),
            [](const Name& a, const Name& b) { return a.view() < b.view(); });
  const auto there = [&](std::string_view name) {
    return std::any_of(seen_.slots.begin(), seen_.slots.end(),
                       [&](const Slot& slot) { return slot.name.view() == name; });
  };
  const auto remade = [&](std::string_view name) {
    return std::any_of(remade_.begin(), remade_.end(),
                       [&](const SlotName& slot) { return slot.view() == name; });
  };
  if (targets_.member()) {
    for (const Name& node : nodes) {
      if (node == seen_.self) continue;
      const SlotName slot(slot_name(node.view()));
      if (remade(slot.view())) {
        create(slot, node);
        continue;
      }
      if (there(slot.view())) continue;
      const SlotPeer* peer = targets_.peer(node.view());
      if (targets_.may_create(memory_.find(slot.view()), peer)) {
        create(slot, node);
      } else {
        notes_.push_back(make(
            SlotVerb::none, slot, node,
            peer == nullptr || !happened(peer->heard)
                ? "made when " + node.str() + " has reported"
                : "made when " + node.str() + " is heard again, with what can be streamed to it"));
      }
    }
    if (targets_.has_heard_others() && (!there(kRewindSlot) || remade(kRewindSlot)))
      create(kRewindSlot, Name());
  }
}

SlotPlan Planner::run() {
  collect();
  for (Managed& managed : managed_) decide(managed);
  make_space();
  for (const Managed& managed : managed_) {
    if (managed.kept) keep(managed);
  }
  create_missing();
  SlotPlan plan;
  plan.checkpoint_wanted = checkpoint_wanted_;
  for (auto* part : {&drops_, &creates_, &moves_, &notes_}) {
    plan.actions.insert(plan.actions.end(), part->begin(), part->end());
  }
  return plan;
}

SlotPlan explanation(const string& reason) {
  SlotPlan plan;
  plan.actions.push_back(make(SlotVerb::none, SlotName(), Name(), reason));
  return plan;
}

}  // namespace

SlotPlan SlotPolicy::plan(const SlotSituation& seen, const SlotMemory& memory) const {
  if (!settings_.manages() && memory.managing()) return release(seen, memory);
  if (settings_.mode == Mode::off) return explanation("pgfed.mode is off");
  if (!settings_.manage) return explanation("pgfed.manage_slots is off");
  if (!seen.settled) {
    return explanation(
        "it is not certain yet that this server is the node it says, or which nodes "
        "there are");
  }
  const SlotTargets targets(seen, memory);
  if (!targets.member() && !targets.left()) {
    return explanation("this node is not in pgfed.nodes");
  }
  SlotPlan plan = Planner(settings_, seen, memory).run();
  if (settings_.mode != Mode::active) {
    for (SlotAction& action : plan.actions) action.planned = true;
    plan.checkpoint_wanted = false;
  }
  return plan;
}

SlotPlan SlotPolicy::release(const SlotSituation& seen, const SlotMemory& memory) {
  SlotPlan plan;
  const SlotTargets targets(seen, memory);
  for (const Slot& slot : seen.slots) {
    const SlotOwnership ownership = targets.ownership(slot);
    if (!ownership.managed) continue;
    if (slot.active) {
      plan.actions.push_back(make(SlotVerb::none, slot.name, ownership.owner, "in use: stays"));
    } else {
      plan.actions.push_back(make(SlotVerb::drop, slot.name, ownership.owner,
                                  "pgfed manages no slots here any more, and nobody uses this one",
                                  DropCause::leaving));
    }
  }
  std::stable_sort(plan.actions.begin(), plan.actions.end(),
                   [](const SlotAction& a, const SlotAction& b) {
                     const bool a_explains = a.action == SlotVerb::none;
                     const bool b_explains = b.action == SlotVerb::none;
                     return a_explains != b_explains ? b_explains : a.slot.view() < b.slot.view();
                   });
  return plan;
}

}  // namespace pgfed::core
