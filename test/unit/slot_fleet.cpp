#include "slot_fleet.hpp"

#include <algorithm>

#include "pgfed/core/node.hpp"

namespace pgfed::core::slot_test {

namespace {

std::string label(const Slot& slot, const Server& server) {
  return slot.name.str() + " on " + server.name.str();
}

}  // namespace

Fleet::Fleet(std::uint64_t seed, Limits limits) : random_(seed) {
  if (limits == Limits::retained) settings_.retained_limit = 300;
  settings_.wal_free_limit = limits == Limits::space ? 10 : 0;
  Server& first = create();
  first.member = first.running = first.primary = true;
  for (int i = 0; i < 3; ++i) add();
}

Server& Fleet::create() {
  Server& server = servers_[count_];
  list_[count_] = &server;
  server.index = static_cast<int>(count_++);
  server.name = "n" + std::to_string(server.index);
  server.slot = slot_name(server.name.view());
  return server;
}

int Fleet::members() const {
  int count = 0;
  for (const Server* server : all()) count += server->member ? 1 : 0;
  return count;
}

void Fleet::fail(const std::string& what) {
  if (trouble.empty()) trouble = what;
}

Server* Fleet::any(bool (*which)(const Server&)) {
  std::array<Server*, kMostServers> found{};
  std::size_t count = 0;
  for (Server* server : all()) {
    if (which(*server)) found[count++] = server;
  }
  return count == 0 ? nullptr : found[pick(count)];
}

// ---- the truth ---------------------------------------------------------------------------------

/// Up to where two servers have the same WAL.
std::uint64_t Fleet::common(const Server& a, const Server& b) {
  std::size_t last = 0;
  while (last + 1 < a.branches.size() && last + 1 < b.branches.size() &&
         a.branches[last + 1].id == b.branches[last + 1].id) {
    ++last;
  }
  const auto end = [&](const Server& server) {
    return last + 1 < server.branches.size() ? server.branches[last + 1].start : server.flush;
  };
  return std::min(end(a), end(b));
}

bool Fleet::diverged(const Server& server, const Server& from) {
  return common(server, from) < server.flush;
}

/// The redo that pg_rewind of one to the other would need WAL from.
std::uint64_t Fleet::common_redo(const Server& a, const Server& b) {
  const std::uint64_t up_to = common(a, b);
  for (std::size_t i = a.in_wal.size(); i > 0; --i) {
    if (a.in_wal[i - 1].record.value < up_to) return a.in_wal[i - 1].redo.value;
  }
  return 0;
}

void Fleet::forget_cover(const Server& server) {
  for (Server* other : all()) {
    other->rewind_covers[static_cast<std::size_t>(server.index)] = false;
    if (FleetSlot* slot = other->find(server.index)) slot->covers = false;
  }
}

/// What must hold at any time: a slot never leaves its owner behind.
void Fleet::check() {
  for (Server* a : all()) {
    for (const FleetSlot& entry : a->slots) {
      if (a->oldest > entry.slot.restart.value) fail("WAL is gone of " + label(entry.slot, *a));
    }
    const FleetSlot* rewind = a->find(kRewind);
    for (Server* b : all()) {
      if (a == b || !a->member || !b->member) continue;
      const auto index = static_cast<std::size_t>(b->index);
      // Of one that was rewound or copied anew, its last word from before says nothing.
      const bool heard = a->heard[index] == b->copies;
      if (FleetSlot* entry = a->find(b->index)) {
        const bool covers = entry->slot.restart.value <= std::min(b->flush, common(*a, *b));
        if (entry->covers && !covers) fail(label(entry->slot, *a) + " left its owner behind");
        entry->covers = covers && heard;
      }
      if (rewind == nullptr) continue;
      // Whom it was given up for, when a limit was reached, it waits for no longer.
      const SlotRecord* record = a->memory.find(b->slot.view());
      const bool waits = heard && record != nullptr && !record->not_waited_for;
      const bool covers = rewind->slot.restart.value <= common_redo(*a, *b);
      if (a->rewind_covers[index] && !covers && waits) {
        fail(label(rewind->slot, *a) + " went beyond what " + b->name.str() + " shares");
      }
      a->rewind_covers[index] = covers && waits;
    }
  }
}

// ---- what happens ------------------------------------------------------------------------------

void Fleet::step() {
  Server* primary = any([](const Server& s) { return s.running && s.primary && s.member; });
  Server* running = any([](const Server& s) { return s.running; });
  Server* stopped = any([](const Server& s) { return !s.running; });
  Server* standby = any([](const Server& s) { return s.running && !s.primary; });
  switch (pick(16)) {
    case 0:
      add();
      break;
    case 1:
      remove();
      break;
    case 2:
    case 3:
      if (running != nullptr && chance(60)) stop(*running, chance(70));
      break;
    case 4:
    case 5:
    case 6:
      if (stopped != nullptr) start(*stopped);
      break;
    case 7:
      if (standby == nullptr || !standby->member) break;
      if (primary != nullptr && chance(70)) stop(*primary, chance(50));
      promote(*standby);
      break;
    case 8:
    case 9:
      if (standby != nullptr) {  // follow another one, most often the primary
        const Server* target = chance(70) ? primary : running;
        if (target != standby) standby->upstream = target == nullptr ? -1 : target->index;
      }
      break;
    case 10:
      if (primary != nullptr && running != primary &&
          (running->primary || diverged(*running, *primary))) {
        rewind(*running, *primary);
      }
      break;
    case 11:
      if (standby != nullptr && running != standby && chance(40)) {
        copy(*standby, *running, chance(50));
      }
      break;
    case 12:
      if (running != nullptr) running->cut = !running->cut;
      break;
    case 13:
      if (running != nullptr) meddle(*running);
      break;
    case 14:
      if (standby != nullptr) standby->upstream = -1;
      break;
    default:
      break;
  }
  const std::array<Duration, 5> waits = {seconds(1), seconds(10), seconds(10), seconds(60),
                                         seconds(200)};
  const std::uint64_t turns = 1 + pick(2);
  for (std::uint64_t i = 0; i < turns; ++i) turn(waits[pick(5)]);
}

void Fleet::add() {
  Server* primary = any([](const Server& s) { return s.running && s.primary && s.member; });
  if (primary == nullptr) return;
  Server* server = any([](const Server& s) { return !s.member; });
  // A removed one comes back, or there is a new one.
  if (server == nullptr || chance(50)) {
    if (count_ >= kMostServers) return;
    server = &create();
  }
  server->member = true;
  copy(*server, *primary, chance(30));
  server->uses_slot = chance(70);
}

void Fleet::remove() {
  const int count = members();
  Server* victim = any([](const Server& s) { return s.member && !s.primary; });
  if (victim == nullptr || count <= 2) return;
  victim->member = false;
  victim->rewind_covers = {};
  forget_cover(*victim);
}

void Fleet::checkpoint(Server& server) {
  if (server.primary) {
    const std::uint32_t timeline = server.branches.back().timeline;
    server.control = {Lsn{server.flush}, Lsn{server.flush}, timeline};
    server.in_wal.push_back(server.control);
    server.replay = ++server.flush;
  } else {
    for (std::size_t i = server.in_wal.size(); i > 0; --i) {
      const Checkpoint& entry = server.in_wal[i - 1];
      if (entry.record.value >= server.replay) continue;
      if (entry.record > server.control.record) server.control = entry;
      break;
    }
  }
  std::uint64_t keep = server.control.redo.value;
  for (FleetSlot& entry : server.slots) {
    entry.saved = entry.slot.restart.value;
    keep = std::min(keep, entry.saved);
  }
  server.oldest = std::max(server.oldest, keep);
}

void Fleet::stop(Server& server, bool crash) {
  server.running = server.streaming = false;
  for (FleetSlot& entry : server.slots) {
    entry.slot.active = false;
    // What was moved since the last checkpoint is moved back.
    if (crash) entry.slot.restart = Lsn{entry.saved};
  }
  if (!server.primary) server.replay = std::max(server.control.record.value + 1, server.replay / 2);
}

void Fleet::start(Server& server) {
  server.running = true;
  ++server.life;
  server.peers = {};
  server.heard = {};
  server.memory = SlotMemory();
  server.memory.restore(server.durable, true, now_);
  for (FleetSlot& entry : server.slots) entry.busy_at = now_;
}

void Fleet::promote(Server& server) {
  const std::uint32_t timeline = server.branches.back().timeline + 1;
  for (Server* other : all()) {
    for (const Branch& branch : other->branches) {
      // Two promotions at the very same position cannot be told apart.
      if (branch.timeline == timeline && branch.start == server.flush) return;
    }
  }
  server.replay = server.flush;
  server.branches.push_back({timeline, next_branch_++, server.flush});
  server.primary = true;
  server.streaming = false;
  server.upstream = -1;
  checkpoint(server);
}

/// False where the WAL for it is gone.
bool Fleet::rewind(Server& target, const Server& source) {
  const std::uint64_t redo = common_redo(target, source);
  if (redo == 0 || target.oldest > redo || source.oldest > redo) {
    if (target.rewind_covers[static_cast<std::size_t>(source.index)] &&
        source.rewind_covers[static_cast<std::size_t>(target.index)]) {
      fail("no WAL to rewind " + target.name.str() + " to " + source.name.str());
    }
    return false;
  }
  forget_cover(target);
  become(target, source);
  target.oldest = std::max(target.oldest, source.oldest);
  target.replay = target.flush;
  start(target);
  return true;
}

void Fleet::copy(Server& target, Server& source, bool snapshot) {
  forget_cover(target);
  // The copy asks for its slot, of a source that knows the node.
  SlotPeer& known = source.peers[static_cast<std::size_t>(target.index)];
  if (!known.name.empty()) known.clone_asked = now_;
  become(target, source);
  target.replay = source.replay;
  target.oldest = source.oldest;
  target.cut = false;
  target.durable.clear();
  if (snapshot) {  // of the whole data directory
    target.slots = source.slots;
    target.durable = source.durable;
    for (FleetSlot& entry : target.slots) entry.slot.active = entry.covers = false;
  }
  target.upstream = source.index;
  start(target);
}

/// Takes the WAL of another, and nothing else of it.
void Fleet::become(Server& target, const Server& source) {
  target.branches = source.branches;
  target.flush = source.flush;
  target.in_wal = source.in_wal;
  target.control = source.control;
  target.primary = target.streaming = false;
  target.slots.clear();
  target.rewind_covers = {};
  ++target.copies;
}

/// What administrators do.
void Fleet::meddle(Server& server) {
  switch (pick(4)) {
    case 0:
      for (std::size_t i = 0; i < server.slots.size(); ++i) {
        if (!server.slots[i].ours || server.slots[i].slot.active) continue;
        if (server.slots[i].owner == kRewind) server.rewind_covers = {};
        server.slots.erase(server.slots.begin() + static_cast<std::ptrdiff_t>(i));
        return;
      }
      break;
    case 1: {
      FleetSlot entry;
      entry.ours = false;
      entry.slot.name = chance(50) ? "pgfed_stranger" : "pgfed_n" + std::to_string(pick(6));
      if (entry.slot.name != "pgfed_stranger") entry.slot.kind = SlotKind::logical;
      entry.slot.restart = Lsn{server.flush};
      entry.saved = server.flush;
      for (const FleetSlot& other : server.slots) {
        if (other.slot.name == entry.slot.name) return;
      }
      server.slots.push_back(entry);
      break;
    }
    case 2:
      server.uses_slot = !server.uses_slot;
      break;
    default:
      for (FleetSlot& entry : server.slots) entry.slot.xmin = true;
      break;
  }
}

}  // namespace pgfed::core::slot_test
