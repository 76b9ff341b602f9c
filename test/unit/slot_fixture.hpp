#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "pgfed/core/slot_memory.hpp"
#include "pgfed/core/slot_policy.hpp"
#include "pgfed/core/slot_situation.hpp"

/// One node, "a", that is a primary on timeline 1 at 1000 MB, with the nodes b and c, both heard,
/// and streaming from it; no slots yet.
namespace pgfed::core::slot_test {

constexpr Instant at(Duration since) { return Instant(std::chrono::hours(1000)) + since; }
constexpr Lsn mb(std::uint64_t megabytes) { return Lsn{megabytes << 20}; }

inline Incarnation incarnation(std::uint8_t number) {
  Incarnation result;
  result.bytes[0] = number;
  return result;
}

class SlotBed {
 public:
  SlotBed() {
    seen.now = at(seconds(0));
    seen.self = "a";
    seen.settled = true;
    seen.role = Role::primary;
    seen.history = TimelineHistory(1, {});
    seen.position = seen.wal_end = mb(1000);
    seen.checkpoint = {mb(990), mb(980), 1};
    seen.max_replication_slots = 20;
    add_node("a");
    add_node("b");
    add_node("c");
    hear("b", mb(1000));
    hear("c", mb(1000));
  }

  SlotSituation seen;
  SlotSettings settings;
  SlotMemory memory;

  void add_node(const char* name) { seen.nodes.emplace_back(name); }
  void remove_node(std::string_view name) { std::erase(seen.nodes, Name(name)); }
  /// The node says now that it streams from this one and has flushed and replayed this.
  SlotPeer& hear(std::string_view name, Lsn flush, std::uint32_t timeline = 1) {
    SlotPeer& known = peer(name);
    known.heard = seen.now;
    if (!known.incarnation.known()) known.incarnation = incarnation(1);
    known.role = Role::standby;
    known.timeline = timeline;
    known.flush = known.replay = flush;
    known.streaming = true;
    known.upstream = seen.self;
    return known;
  }
  /// The node says now that it streams from another one.
  SlotPeer& hear_elsewhere(std::string_view name, Lsn flush, std::uint32_t timeline = 1) {
    SlotPeer& known = hear(name, flush, timeline);
    known.upstream = "z";
    return known;
  }
  SlotPeer& peer(std::string_view name) {
    for (SlotPeer& known : seen.peers) {
      if (known.name == name) return known;
    }
    seen.peers.emplace_back().name = Name(name);
    return seen.peers.back();
  }
  void forget_peer(std::string_view name) {
    std::erase_if(seen.peers, [&](const SlotPeer& known) { return known.name == name; });
  }

  Slot& add_slot(std::string_view name, Lsn restart) {
    Slot& slot = seen.slots.emplace_back();
    slot.name = SlotName(name);
    slot.restart = restart;
    slot.wal_status = restart.valid() ? WalStatus::reserved : WalStatus::none;
    return slot;
  }
  Slot* slot(std::string_view name) {
    for (Slot& entry : seen.slots) {
      if (entry.name == name) return &entry;
    }
    return nullptr;
  }

  /// Time passes, with a look each ten seconds; nobody reports.
  void pass(Duration duration) {
    const Instant end = seen.now + duration;
    observe();
    while (seen.now < end) {
      seen.now = std::min(end, seen.now + seconds(10));
      observe();
    }
  }
  void observe() { memory.observe(settings, seen); }
  SlotPlan plan() {
    observe();
    return SlotPolicy(settings).plan(seen, memory);
  }
  /// Does to the slots what Postgres would do.
  void execute(const SlotPlan& plan) {
    for (const SlotAction& action : plan.actions) {
      if (action.planned) continue;
      switch (action.action) {
        case SlotVerb::none:
        case SlotVerb::touch:
          continue;
        case SlotVerb::create:
          add_slot(action.slot.view(), seen.checkpoint.redo);
          break;
        case SlotVerb::advance:
          slot(action.slot.view())->restart = action.lsn;
          break;
        case SlotVerb::drop:
          std::erase_if(seen.slots, [&](const Slot& entry) { return entry.name == action.slot; });
          break;
        case SlotVerb::clear_xmin:
          slot(action.slot.view())->xmin = false;
          break;
      }
      memory.done(action, seen.now);
    }
  }
  void cycle() { execute(plan()); }
};

/// A bed whose slots have been made, all inactive, the next cycle.
inline SlotBed settled_bed() {
  SlotBed bed;
  bed.cycle();
  bed.seen.now += seconds(10);
  return bed;
}

/// "verb slot" of each action that is not only an explanation.
inline std::vector<std::string> deeds(const SlotPlan& plan) {
  std::vector<std::string> result;
  for (const SlotAction& action : plan.actions) {
    if (action.action == SlotVerb::none) continue;
    result.push_back(std::string(word(action.action)) + " " + action.slot.str());
  }
  return result;
}

inline const SlotAction* find_action(const SlotPlan& plan, std::string_view slot,
                                     SlotVerb verb = SlotVerb::none) {
  for (const SlotAction& action : plan.actions) {
    if (action.slot == slot && action.action == verb) return &action;
  }
  return nullptr;
}

/// The explanation of this slot, empty where there is none.
inline std::string explanation(const SlotPlan& plan, std::string_view slot) {
  const SlotAction* action = find_action(plan, slot);
  return action == nullptr ? std::string() : action->reason.str();
}

}  // namespace pgfed::core::slot_test
