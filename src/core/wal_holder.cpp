#include "pgfed/core/wal_holder.hpp"

#include <algorithm>

namespace pgfed::core {

namespace {

Lsn segment_start(Lsn lsn, std::uint64_t segment_size) {
  return Lsn{lsn.value - lsn.value % segment_size};
}

/// Where wal_keep_size starts to hold: whole segments back from the current one.
Lsn kept_from(const WalHolders& wal) {
  const auto bytes = static_cast<std::uint64_t>(std::max<std::int64_t>(wal.wal_keep_bytes, 0));
  const std::uint64_t segments = bytes / wal.segment_size;
  if (segments == 0 || !wal.end.valid()) return Lsn{};
  const std::uint64_t current = wal.end.value / wal.segment_size;
  // As in Postgres: the first segment is number 1.
  return Lsn{(current > segments ? current - segments : 1) * wal.segment_size};
}

}  // namespace

WalHolder held_by(const WalHolders& wal) {
  WalHolder lowest{Holder::checkpoint, {}, wal.redo.valid() ? wal.redo : wal.end};
  // On equal terms the one that an administrator can do more about is named.
  const auto consider = [&](Holder holder, Lsn from, const SlotName& slot) {
    if (!from.valid()) return;
    const Lsn at = segment_start(from, wal.segment_size);
    const Lsn now = segment_start(lowest.from, wal.segment_size);
    if (at < now || (at == now &&
                     (holder > lowest.holder || (holder == lowest.holder && from < lowest.from)))) {
      lowest = {holder, slot, from};
    }
  };
  consider(Holder::wal_keep_size, kept_from(wal), {});
  consider(Holder::summarizer, wal.unsummarized, {});
  consider(Holder::archiver, wal.unarchived, {});
  for (const Slot& slot : wal.slots) {
    if (!slot.lost()) consider(Holder::slot, slot.restart, slot.name);
  }
  if (wal.oldest.valid() && segment_start(lowest.from, wal.segment_size) > wal.oldest) {
    return {Holder::checkpoint, {}, wal.redo};
  }
  return lowest;
}

Lsn held_otherwise(const WalHolders& wal) {
  Lsn lowest;
  for (const Lsn from : {kept_from(wal), wal.unsummarized, wal.unarchived}) {
    if (from.valid() && (!lowest.valid() || from < lowest)) lowest = from;
  }
  // What is no longer there is not held.
  return lowest.valid() && wal.oldest.valid() ? std::max(lowest, wal.oldest) : lowest;
}

bool needs_new_copy(const TimelinePoint& flushed, bool restore_command, std::uint64_t segment_size,
                    const std::vector<WalSource>& sources) {
  if (restore_command || sources.empty() || flushed.timeline == 0 || !flushed.lsn.valid()) {
    return false;
  }
  return std::none_of(sources.begin(), sources.end(), [&](const WalSource& source) {
    if (!source.known || !source.oldest.valid()) return true;
    const auto has = source.history.reach(flushed);
    // A standby asks for WAL from the start of the segment that it is in. One whose timeline is not
    // known there needs pg_rewind, or that server does: no copy is called for.
    return !has || source.oldest <= segment_start(*has, segment_size);
  });
}

}  // namespace pgfed::core
