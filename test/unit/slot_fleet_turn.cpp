#include <algorithm>

#include "pgfed/core/node.hpp"

#include "slot_fleet.hpp"

namespace pgfed::core::slot_test {

namespace {

Incarnation life_of(const Server& server) {
  Incarnation result;
  result.bytes[0] = server.life;
  result.bytes[1] = 1;
  return result;
}

TimelineHistory history_of(const Server& server) {
  std::vector<TimelineEnd> ancestors;
  const std::size_t current = server.replayed_branch();
  for (std::size_t i = 0; i < current; ++i) {
    ancestors.push_back({server.branches[i].timeline, Lsn{server.branches[i + 1].start}});
  }
  return {server.branches[current].timeline, std::move(ancestors)};
}

std::string label(const Slot& slot, const Server& server) {
  return slot.name.str() + " on " + server.name.str();
}

}  // namespace

// ---- one turn ----------------------------------------------------------------------------------

void Fleet::turn(Duration duration) {
  now_ += duration;
  for (Server* server : all()) {
    for (FleetSlot& entry : server->slots) entry.slot.active = false;
  }
  for (Server* server : all()) {
    if (!server->running) continue;
    if (server->primary) {
      server->flush += pick(30);
      server->replay = server->flush;
    } else {
      stream(*server);
    }
    if (chance(20)) checkpoint(*server);
  }
  for (Server* server : all()) {
    if (server->running) exchange(*server);
  }
  for (Server* server : all()) {
    if (server->running) manage(*server, chance(60));
  }
  check();
}

void Fleet::stream(Server& server) {
  server.streaming = false;
  if (server.upstream < 0) return;
  Server& from = at(server.upstream);
  if (!from.running || &from == &server || diverged(server, from)) return;
  FleetSlot* slot = from.find(server.index);
  if (server.uses_slot && slot == nullptr) return;  // "replication slot does not exist"
  if (from.oldest > server.flush) {
    if (slot != nullptr && slot->covers) fail("no WAL for " + server.name.str());
    return;
  }
  server.streaming = true;
  const std::uint64_t had = server.flush;
  if (from.flush > had) server.flush += chance(50) ? from.flush - had : pick(from.flush - had + 1);
  for (std::size_t i = server.branches.size(); i < from.branches.size(); ++i) {
    if (from.branches[i].start < server.flush) server.branches.push_back(from.branches[i]);
  }
  std::size_t next = from.in_wal.size();
  while (next > 0 && from.in_wal[next - 1].record.value >= had) --next;
  for (; next < from.in_wal.size() && from.in_wal[next].record.value < server.flush; ++next) {
    server.in_wal.push_back(from.in_wal[next]);
  }
  if (chance(80)) {
    server.replay = server.flush - (chance(50) ? 0 : pick(server.flush - server.replay + 1));
  }
  if (server.uses_slot) {
    slot->slot.active = true;
    slot->busy_at = now_;
    slot->slot.restart = std::max(slot->slot.restart, Lsn{server.flush});
  }
}

void Fleet::exchange(Server& server) {
  for (Server* other : all()) {
    SlotPeer& peer = server.peers[static_cast<std::size_t>(other->index)];
    if (!other->member) peer = SlotPeer();
    if (server.cut || other->cut || other == &server) continue;
    if (!other->running || !other->member) continue;
    const Branch& replayed = other->branches[other->replayed_branch()];
    server.heard[static_cast<std::size_t>(other->index)] = other->copies;
    peer.name = other->name;
    peer.heard = now_;
    peer.incarnation = life_of(*other);
    peer.role = other->primary ? Role::primary : Role::standby;
    peer.timeline = replayed.timeline;
    peer.timeline_start = Lsn{replayed.start};
    peer.flush_timeline = other->branches.back().timeline;
    peer.flush_timeline_start = Lsn{other->branches.back().start};
    peer.flush = Lsn{other->flush};
    peer.replay = Lsn{other->replay};
    peer.streaming = other->streaming;
    peer.upstream = other->streaming ? at(other->upstream).name : Name();
  }
}

SlotSituation Fleet::look(const Server& server) const {
  SlotSituation seen;
  seen.now = now_;
  seen.self = server.name;
  seen.settled = true;
  seen.role = server.primary ? Role::primary : Role::standby;
  seen.history = history_of(server);
  seen.position = Lsn{server.primary ? server.flush : server.replay};
  seen.wal_end = Lsn{server.flush};
  seen.segment_size = 1;
  seen.checkpoint = server.control;
  seen.max_replication_slots = 20;
  seen.nodes.reserve(count_);
  seen.peers.reserve(count_);
  seen.slots.reserve(server.slots.size());
  for (Server* other : all()) {
    if (other->member) seen.nodes.push_back(other->name);
  }
  for (const SlotPeer& peer : server.peers) {
    if (!peer.name.empty()) seen.peers.push_back(peer);
  }
  for (const FleetSlot& entry : server.slots) seen.slots.push_back(entry.slot);
  const auto held = static_cast<std::int64_t>(server.flush - server.oldest);
  seen.wal = {held, std::max<std::int64_t>(1000 - held, 0), 1000};
  return seen;
}

/// A look each turn, a cycle of actions not each.
void Fleet::manage(Server& server, bool cycle) {
  const SlotSituation seen = look(server);
  server.memory.observe(settings_, seen);
  if (!cycle) return;
  const SlotPlan plan = SlotPolicy(settings_).plan(seen, server.memory);
  for (const SlotAction& action : plan.actions) {
    if (action.action == SlotVerb::none || chance(5)) continue;  // some fail
    execute(server, action);
  }
  if (plan.checkpoint_wanted) checkpoint(server);
  server.durable = server.memory.durable();
}

/// As Postgres does it, and with a look whether it is right.
void Fleet::execute(Server& server, const SlotAction& action) {
  const auto wrong = [&](const char* what) {
    fail(std::string(word(action.action)) + " " + action.slot.str() + " on " + server.name.str() +
         ": " + what);
  };
  const auto found =
      std::find_if(server.slots.begin(), server.slots.end(),
                   [&](const FleetSlot& entry) { return entry.slot.name == action.slot; });
  if (action.action == SlotVerb::create) {
    if (found != server.slots.end()) return wrong("there already");
    FleetSlot& entry = server.slots.emplace_back();
    entry.owner = kRewind;
    for (Server* other : all()) {
      if (other->slot == action.slot) entry.owner = other->index;
    }
    entry.slot.name = action.slot;
    entry.slot.restart = server.control.redo;
    entry.slot.wal_status = WalStatus::reserved;
    entry.saved = server.control.redo.value;
    entry.busy_at = now_;
    server.memory.done(action, now_);
    return;
  }
  if (found == server.slots.end()) return wrong("not there");
  Slot& slot = found->slot;
  if (!found->ours) return wrong("not pgfed's");
  if (slot.active) return wrong("in use");
  if (action.action == SlotVerb::advance) {
    const std::uint64_t position = server.primary ? server.flush : server.replay;
    if (action.lsn <= slot.restart || action.lsn.value > position) return wrong("where to?");
    slot.restart = action.lsn;
  } else if (action.action == SlotVerb::clear_xmin) {
    slot.xmin = false;
  } else if (action.action == SlotVerb::drop) {
    const bool wanted = server.member && found->owner != server.index &&
                        (found->owner == kRewind || at(found->owner).member);
    const std::uint64_t retained = server.flush - std::min(server.flush, slot.restart.value);
    const bool right = (action.cause == DropCause::unwanted && !wanted) ||
                       (action.cause == DropCause::retained && settings_.retained_limit >= 0 &&
                        retained >= static_cast<std::uint64_t>(settings_.retained_limit)) ||
                       (action.cause == DropCause::space && settings_.wal_free_limit > 0);
    if (!right) return wrong(std::string(word(action.cause)).c_str());
    if (age(found->busy_at, now_) < SlotPolicy::kDroppable) return wrong("too early");
    if (found->owner == kRewind) server.rewind_covers = {};
    server.slots.erase(found);
  }
  server.memory.done(action, now_);
}

// ---- the end -----------------------------------------------------------------------------------

void Fleet::settle() {
  Server* primary = any([](const Server& s) { return s.running && s.primary && s.member; });
  if (primary == nullptr) {
    primary = any([](const Server& s) { return s.primary && s.member; });
    if (primary == nullptr) primary = any([](const Server& s) { return s.member; });
    if (!primary->running) start(*primary);
    primary->primary = true;
    primary->streaming = false;
    primary->replay = primary->flush;
  }
  for (Server* server : all()) {
    std::erase_if(server->slots,
                  [](const FleetSlot& entry) { return entry.slot.kind == SlotKind::logical; });
    server->cut = false;
    if (!server->member) stop(*server, false);
    if (!server->member || server == primary) continue;
    if (!server->running) start(*server);
    if (server->primary || diverged(*server, *primary)) {
      if (!rewind(*server, *primary)) copy(*server, *primary, false);
    } else if (primary->oldest > server->flush) {
      const FleetSlot* slot = primary->find(server->index);
      if (slot != nullptr && slot->covers) fail("no WAL for " + server->name.str());
      copy(*server, *primary, false);
    }
    server->upstream = primary->index;
  }
  for (int i = 0; i < 12; ++i) turn(seconds(60));
  for (int i = 0; i < 3; ++i) {  // and nothing is written any more
    now_ += seconds(10);
    for (Server* server : all()) {
      if (!server->running) continue;
      server->flush = server->replay = primary->flush;
      server->branches = primary->branches;
      server->in_wal = primary->in_wal;
      if (i == 0) checkpoint(*server);
    }
    for (Server* server : all()) {
      if (server->running) exchange(*server);
    }
    for (Server* server : all()) {
      if (!server->running) continue;
      const SlotSituation seen = look(*server);
      server->memory.observe(settings_, seen);
      for (const SlotAction& action : SlotPolicy(settings_).plan(seen, server->memory).actions) {
        if (action.action != SlotVerb::none) execute(*server, action);
      }
    }
  }
}

/// What the policy itself says of the slot, for whoever reads a failure.
std::string Fleet::why(const Server& server, const SlotName& slot) const {
  std::string result;
  for (const SlotAction& action : SlotPolicy(settings_).plan(look(server), server.memory).actions) {
    if (action.slot != slot) continue;
    result += ": " + std::string(word(action.action)) + " (" + action.reason.str() + ")";
  }
  return result;
}

void Fleet::check_end() {
  const int count = members();
  for (Server* server : all()) {
    if (!server->member) continue;
    int slots = 0;
    for (const FleetSlot& entry : server->slots) {
      if (!entry.ours) continue;
      ++slots;
      const bool rewind = entry.owner == kRewind;
      if (!rewind && (entry.owner == server->index || !at(entry.owner).member)) {
        fail(label(entry.slot, *server) + " leaked" + why(*server, entry.slot.name));
      }
      const std::uint64_t end = rewind ? server->control.redo.value : server->flush;
      // One that is not in use is where its owner is, but for the last checkpoint's record.
      if (!entry.slot.active && end > entry.slot.restart.value + (rewind ? 200 : 1)) {
        fail(label(entry.slot, *server) + " stayed behind" + why(*server, entry.slot.name));
      }
    }
    if (slots == count) continue;  // the others' and pgfed__rewind
    for (Server* other : all()) {
      if (other->member && other != server && server->find(other->index) == nullptr) {
        fail(other->slot.str() + " is missing on " + server->name.str() +
             why(*server, other->slot));
      }
    }
    fail("there are " + std::to_string(slots) + " slots on " + server->name.str());
  }
}

}  // namespace pgfed::core::slot_test
