#include "pgfed/core/slot_checks.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

#include "pgfed/core/slot_targets.hpp"

namespace pgfed::core {

namespace {

using std::string;

constexpr std::uint32_t kFailoverSlots = 170000;  ///< since this version

string megabytes(std::uint64_t bytes) {
  if (bytes >= (std::uint64_t{10} << 30)) return std::to_string(bytes >> 30) + " GB";
  return std::to_string(bytes >> 20) + " MB";
}

string quoted(std::string_view name) { return "\"" + string(name) + "\""; }

/// Collects what is wrong under one name, and tells the worst.
class Worst {
 public:
  explicit Worst(const char* name) : name_(name) {}

  void add(Status status, string detail, string hint) {
    if (status == Status::ok) return;
    ++count_;
    if (count_ > 1 && status <= worst_.status) return;
    worst_ = {name_, status, std::move(detail), std::move(hint)};
  }
  [[nodiscard]] SlotFinding result() const {
    if (count_ == 0) return {name_, Status::ok, {}, {}};
    SlotFinding finding = worst_;
    if (count_ > 1) finding.detail += " (and " + std::to_string(count_ - 1) + " more)";
    return finding;
  }

 private:
  const char* name_;
  std::size_t count_ = 0;
  SlotFinding worst_;
};

const Slot* find_slot(const std::vector<Slot>& slots, std::string_view name) {
  const auto found = std::find_if(slots.begin(), slots.end(),
                                  [&](const Slot& slot) { return slot.name.view() == name; });
  return found == slots.end() ? nullptr : &*found;
}

string drop_hint(const Slot& slot) {
  return "If nobody needs it: SELECT pg_drop_replication_slot('" + slot.name.str() + "').";
}

/// A setting's line, and how it takes effect.
string set_line(const string& name, const string& value) {
  return "ALTER SYSTEM SET " + name + " = " + value + "; SELECT pg_reload_conf();";
}

class Checker {
 public:
  Checker(const SlotSettings& settings, const SlotSituation& seen, const SlotMemory& memory,
          const SlotServer& server, const WalHolder& holder)
      : settings_(settings),
        seen_(seen),
        server_(server),
        holder_(holder),
        memory_(memory),
        targets_(seen, memory) {}

  std::vector<SlotFinding> run() {
    return {slots(), limit(), space(), restart(), logical(), synchronized()};
  }

 private:
  [[nodiscard]] SlotFinding slots() const;
  [[nodiscard]] SlotFinding limit() const;
  [[nodiscard]] SlotFinding space() const;
  [[nodiscard]] SlotFinding restart() const;
  [[nodiscard]] SlotFinding logical() const;
  [[nodiscard]] SlotFinding synchronized() const;
  void stale_slots(Worst& finding) const;
  void unsynchronized_slots(Worst& finding) const;

  [[nodiscard]] bool has_failover_slots() const { return server_.server_version >= kFailoverSlots; }
  [[nodiscard]] std::int64_t wanted_slots() const {
    return targets_.member() && targets_.has_others()
               ? static_cast<std::int64_t>(seen_.nodes.size() - 1) + 1
               : 0;
  }

  const SlotSettings& settings_;
  const SlotSituation& seen_;
  const SlotServer& server_;
  const WalHolder& holder_;
  const SlotMemory& memory_;
  SlotTargets targets_;
};

SlotFinding Checker::slots() const {
  Worst finding(check::kSlots);
  for (const Slot& slot : seen_.slots) {
    const SlotOwnership ownership = targets_.ownership(slot);
    SlotJudgement judged =
        judge_slot(slot, ownership.managed, seen_.wal_end, settings_.retained_warning);
    if (slot.kind == SlotKind::physical) {
      finding.add(judged.status, std::move(judged.detail), std::move(judged.hint));
    }
    if (!settings_.manages() || slot.name.view().substr(0, kSlotPrefix.size()) != kSlotPrefix) {
      continue;
    }
    if (!ownership.managed && (targets_.is_node(ownership.owner.view()) || ownership.rewind)) {
      finding.add(
          Status::warning,
          "slot " + quoted(slot.name.view()) + " is " +
              (slot.kind == SlotKind::logical ? "logical" : "temporary") +
              (ownership.rewind
                   ? ", and in the way of pgfed's own"
                   : ", and in the way of that of node " + quoted(ownership.owner.view())),
          "Rename what made it, and: SELECT pg_drop_replication_slot('" + slot.name.str() + "').");
    } else if (!ownership.managed && slot.kind == SlotKind::physical && !slot.temporary &&
               ownership.owner.empty()) {
      finding.add(
          Status::warning,
          "slot " + quoted(slot.name.view()) + " is named as one of pgfed's, but no node has it",
          drop_hint(slot));
    } else if (ownership.managed && slot.active && !ownership.rewind &&
               targets_.elsewhere(targets_.peer(ownership.owner.view()), slot)) {
      finding.add(
          Status::warning,
          "slot " + quoted(slot.name.view()) + " is in use, but not by node " +
              quoted(ownership.owner.view()),
          "Look who uses it: SELECT * FROM pg_stat_replication JOIN pg_replication_slots ON "
          "active_pid = pid WHERE slot_name = '" +
              slot.name.str() + "'.");
    }
  }
  return finding.result();
}

SlotFinding Checker::limit() const {
  Worst finding(check::kSlotLimit);
  const bool known = seen_.wal.known() && seen_.wal.wal_bytes >= 0;
  std::int64_t room = 0;
  if (known) {
    // All that pg_wal may take before free space falls below the limit.
    room = seen_.wal.wal_bytes + seen_.wal.free_bytes -
           seen_.wal.total_bytes / 100 * std::max(settings_.wal_free_limit, 1);
  }
  const std::int64_t whole = std::max<std::int64_t>(room / kGigabyte, 1);
  const string hint = set_line("max_slot_wal_keep_size", "'" + std::to_string(whole) + "GB'");
  if (server_.max_slot_wal_keep_bytes < 0) {
    finding.add(Status::warning,
                "max_slot_wal_keep_size is not set: a slot in use whose standby falls behind may "
                "fill the disk",
                hint);
  } else if (known && server_.max_slot_wal_keep_bytes > seen_.wal.total_bytes) {
    finding.add(Status::warning,
                "max_slot_wal_keep_size is more than the disk holds, and so no limit", hint);
  }
  return finding.result();
}

SlotFinding Checker::space() const {
  Worst finding(check::kWalSpace);
  if (!seen_.wal.known()) return {check::kWalSpace, Status::unknown, "free space is not known", {}};
  const bool critical = seen_.wal.below(settings_.wal_free_limit);
  if (!critical && !seen_.wal.below(settings_.wal_free_warning)) return finding.result();
  const auto percent = static_cast<std::int64_t>(static_cast<double>(seen_.wal.free_bytes) * 100.0 /
                                                 static_cast<double>(seen_.wal.total_bytes));
  string detail = std::to_string(percent) + " % (" +
                  megabytes(static_cast<std::uint64_t>(seen_.wal.free_bytes)) +
                  ") free where pg_wal lies; the oldest WAL is held by ";
  string hint;
  switch (holder_.holder) {
    case Holder::slot: {
      detail += "slot " + quoted(holder_.slot.view());
      const Slot* slot = find_slot(seen_.slots, holder_.slot.view());
      const bool managed = slot != nullptr && targets_.ownership(*slot).managed;
      hint = managed ? "See who is behind: SELECT * FROM pgfed.slots; pgfed drops it at the limit "
                       "where nobody uses it. At once: SELECT pgfed.drop_slots()."
                     : "Not one of pgfed's. If nobody needs it: SELECT pg_drop_replication_slot('" +
                           holder_.slot.str() + "').";
      break;
    }
    case Holder::archiver:
      detail += "the archiver";
      hint = "Archiving fails or is slow: SELECT * FROM pg_stat_archiver, and the server's log.";
      break;
    case Holder::wal_keep_size:
      detail += "wal_keep_size";
      hint = "Slots keep what is needed: " + set_line("wal_keep_size", "0");
      break;
    case Holder::summarizer:
      detail += "the WAL summarizer";
      hint = "See why it is behind: SELECT * FROM pg_get_wal_summarizer_state().";
      break;
    case Holder::checkpoint:
      detail += "the last checkpoint";
      hint =
          "CHECKPOINT frees what is no longer needed; if it comes back, lower max_wal_size or "
          "give pg_wal more space.";
      break;
  }
  finding.add(critical ? Status::critical : Status::warning, std::move(detail), std::move(hint));
  return finding.result();
}

SlotFinding Checker::restart() const {
  Worst finding(check::kSlotRestart);
  const Slot* logical = nullptr;
  const Slot* any = nullptr;
  std::int64_t persistent = 0;
  std::int64_t foreign = 0;
  for (const Slot& slot : seen_.slots) {
    const SlotOwnership ownership = targets_.ownership(slot);
    if (!(ownership.managed && ownership.wanted)) ++foreign;
    if (slot.temporary) continue;
    ++persistent;
    any = &slot;
    if (slot.kind == SlotKind::logical) logical = &slot;
  }
  if (any != nullptr && server_.wal_level_next < WalLevel::replica) {
    finding.add(Status::critical,
                "the server will not start with wal_level = minimal while there are replication "
                "slots",
                "ALTER SYSTEM SET wal_level = 'replica'; or first pgfed.manage_slots = off, SELECT "
                "pgfed.drop_slots(), and drop the others.");
  } else if (logical != nullptr && server_.wal_level_next < WalLevel::logical) {
    finding.add(
        Status::critical,
        "the server will not start with wal_level below logical while there is logical slot " +
            quoted(logical->name.view()),
        "ALTER SYSTEM SET wal_level = 'logical'; or " + drop_hint(*logical));
  }
  if (persistent > server_.max_replication_slots_next) {
    finding.add(Status::critical,
                "the server will not start with max_replication_slots = " +
                    std::to_string(server_.max_replication_slots_next) + ": there are " +
                    std::to_string(persistent) + " slots",
                "ALTER SYSTEM SET max_replication_slots = " +
                    std::to_string(std::max(persistent, foreign + wanted_slots()) + 2) +
                    "; or first pgfed.manage_slots = off and SELECT pgfed.drop_slots().");
  }
  if (!settings_.manages()) return finding.result();
  if (wanted_slots() > 0 && !seen_.wal_level_suffices) {
    finding.add(Status::warning, "wal_level is minimal: no node can stream from this one",
                "ALTER SYSTEM SET wal_level = 'replica', and restart the server.");
  } else if (foreign + wanted_slots() > seen_.max_replication_slots) {
    finding.add(Status::warning,
                "max_replication_slots = " + std::to_string(seen_.max_replication_slots) +
                    " leaves no room: " + std::to_string(wanted_slots()) +
                    " for the federation and " + std::to_string(foreign) + " others",
                "ALTER SYSTEM SET max_replication_slots = " +
                    std::to_string(foreign + wanted_slots() + 2) + ", and restart the server.");
  }
  return finding.result();
}

/// A slot of a former primary that bears the name of one to be synchronised ends synchronisation.
void Checker::stale_slots(Worst& finding) const {
  for (const Slot& slot : seen_.slots) {
    if (slot.kind != SlotKind::logical || slot.synced || slot.temporary) continue;
    const Slot* there = find_slot(server_.primary_slots, slot.name.view());
    const bool same = there != nullptr && there->kind == SlotKind::logical && there->failover;
    if (!same && !slot.failover) continue;
    finding.add(Status::warning,
                "logical slot " + quoted(slot.name.view()) +
                    " is stale, from when this node was the primary" +
                    (same || !server_.primary_slots_known
                         ? ": no slot is synchronised to this node while it is there"
                         : ""),
                "SELECT pg_drop_replication_slot('" + slot.name.str() + "') on this node.");
  }
}

void Checker::unsynchronized_slots(Worst& finding) const {
  if (!server_.primary_slots_known || !server_.upstream_is_primary) return;
  for (const Slot& there : server_.primary_slots) {
    if (there.kind != SlotKind::logical || !there.failover || there.temporary || there.lost()) {
      continue;
    }
    const Slot* here = find_slot(seen_.slots, there.name.view());
    if (here != nullptr && !here->synced) continue;  // stale: said above
    if (here != nullptr && !here->temporary && !here->lost()) continue;
    string hint;
    if (!server_.sync_replication_slots) {
      hint = "On this node: " + set_line("sync_replication_slots", "on");
    } else if (!server_.hot_standby_feedback) {
      hint = "On this node: " + set_line("hot_standby_feedback", "on");
    } else if (!server_.primary_slot_name) {
      hint = "Set primary_slot_name on this node: SELECT * FROM pgfed.standby_settings('" +
             seen_.self.str() + "').";
    } else if (!server_.primary_dbname) {
      hint = "Add dbname to primary_conninfo of this node.";
    } else {
      hint =
          "Look in this server's log for the slot sync worker; a slot is ready once its consumer "
          "has moved on.";
    }
    finding.add(Status::warning,
                "logical slot " + quoted(there.name.view()) + " of the primary is not " +
                    (here == nullptr ? "synchronised to this node"
                     : here->lost()  ? "usable on this node: its copy is lost"
                                     : "yet ready on this node"),
                std::move(hint));
  }
}

SlotFinding Checker::logical() const {
  Worst finding(check::kLogicalSlots);
  for (const Slot& slot : seen_.slots) {
    if (slot.kind != SlotKind::logical || slot.temporary || slot.synced) continue;
    SlotJudgement judged = judge_slot(slot, false, seen_.wal_end, kNoBytes);
    finding.add(judged.status, std::move(judged.detail), std::move(judged.hint));
    if (seen_.role == Role::primary && !has_failover_slots() && !server_.failover_extension &&
        targets_.has_others()) {
      finding.add(
          Status::warning,
          "logical slot " + quoted(slot.name.view()) +
              " does not survive a change of primary on this version of Postgres",
          "Load pg_failover_slots on every node, or use Postgres 17, where slots can be made "
          "with failover => true.");
    }
  }
  if (has_failover_slots() && seen_.role == Role::standby) {
    stale_slots(finding);
    unsynchronized_slots(finding);
  }
  return finding.result();
}

SlotFinding Checker::synchronized() const {
  Worst finding(check::kSynchronizedSlots);
  const bool failover = std::any_of(seen_.slots.begin(), seen_.slots.end(), [](const Slot& slot) {
    return slot.kind == SlotKind::logical && slot.failover && !slot.synced;
  });
  if (!has_failover_slots() || seen_.role != Role::primary || !failover) return finding.result();
  const string line = synchronized_slots_line(seen_, memory_);
  const string hint = set_line("synchronized_standby_slots", "'" + line + "'");
  for (const SlotName& name : server_.synchronized_slots) {
    const Slot* slot = find_slot(seen_.slots, name.view());
    if (slot == nullptr || slot->kind != SlotKind::physical || slot->lost()) {
      finding.add(Status::critical,
                  "synchronized_standby_slots names " + quoted(name.view()) + ", which is " +
                      (slot == nullptr                    ? "not there"
                       : slot->kind != SlotKind::physical ? "no physical slot"
                                                          : "lost") +
                      ": logical replication waits for it",
                  hint);
    } else if (!slot->active) {
      finding.add(Status::warning,
                  "synchronized_standby_slots names " + quoted(name.view()) +
                      ", through which nobody streams: logical replication may wait for it",
                  hint);
    }
  }
  for (const Slot& slot : seen_.slots) {
    const SlotOwnership ownership = targets_.ownership(slot);
    if (!ownership.managed || !ownership.wanted || ownership.rewind || !slot.active) continue;
    if (std::find(server_.synchronized_slots.begin(), server_.synchronized_slots.end(),
                  slot.name) == server_.synchronized_slots.end()) {
      finding.add(Status::warning,
                  "synchronized_standby_slots does not name " + quoted(slot.name.view()) +
                      ": after a change of primary to node " + quoted(ownership.owner.view()) +
                      " subscribers may be ahead of it",
                  hint);
    }
  }
  return finding.result();
}

}  // namespace

SlotJudgement judge_slot(const Slot& slot, bool managed, Lsn wal_end,
                         std::int64_t retained_warning) {
  const string what = "slot " + quoted(slot.name.view());
  if (slot.lost()) {
    return {Status::warning, what + " is lost: its WAL is gone, or it was invalidated",
            managed ? "pgfed makes it anew; nothing need be typed." : drop_hint(slot)};
  }
  if (slot.wal_status == WalStatus::unreserved) {
    return {Status::critical,
            what + " is about to be lost: the next checkpoint removes WAL that it needs",
            "Let its consumer catch up, or raise max_slot_wal_keep_size and reload."};
  }
  const std::uint64_t retained = slot.restart.valid() ? bytes_between(slot.restart, wal_end) : 0;
  if (managed && retained_warning >= 0 &&
      retained >= static_cast<std::uint64_t>(retained_warning)) {
    return {Status::warning, what + " holds " + megabytes(retained) + " of WAL",
            slot.active ? "Its standby streams, but is behind: SELECT * FROM pgfed.lag."
                        : "Its node is away or behind. If it never comes back: SELECT "
                          "pgfed.remove_node('…'); a limit: pgfed.slot_retained_limit."};
  }
  return {};
}

std::vector<SlotFinding> check_slots(const SlotSettings& settings, const SlotSituation& seen,
                                     const SlotMemory& memory, const SlotServer& server,
                                     const WalHolder& holder) {
  return Checker(settings, seen, memory, server, holder).run();
}

std::string synchronized_slots_line(const SlotSituation& seen, const SlotMemory& memory) {
  const SlotTargets targets(seen, memory);
  std::vector<string> names;
  for (const Slot& slot : seen.slots) {
    const SlotOwnership ownership = targets.ownership(slot);
    if (ownership.managed && ownership.wanted && !ownership.rewind && slot.active) {
      names.push_back(slot.name.str());
    }
  }
  std::sort(names.begin(), names.end());
  string line;
  for (const string& name : names) line += (line.empty() ? "" : ", ") + name;
  return line;
}

}  // namespace pgfed::core
