#include "pgfed/pg/shared_copy.hpp"

#include "pgfed/pg/settings.hpp"

namespace pgfed::pg {
namespace {

template <typename Element>
Element* allocate(std::uint32_t count) {
  return static_cast<Element*>(
      palloc_extended(std::max<Size>(count, 1) * sizeof(Element), MCXT_ALLOC_HUGE));
}

/// Copies a counted array out of a section. Memory cannot be had under the lock, so it is sized
/// first, and again where the array has grown in between. `beside` copies under the same lock what
/// must be of the same moment; it calls nothing of Postgres.
template <typename Element, typename Step>
Copied<Element> copy_array(Section section, const std::uint32_t& count, const Element* source,
                           Step beside) {
  static_assert(std::is_trivially_copyable_v<Element>);
  LWLock* lock = section_lock(section);
  LWLockAcquire(lock, LW_SHARED);
  std::uint32_t capacity = count;
  LWLockRelease(lock);

  while (true) {
    Copied<Element> copy;
    copy.rows = allocate<Element>(capacity);
    LWLockAcquire(lock, LW_SHARED);
    copy.count = count;
    if (copy.count <= capacity) {
      memcpy(static_cast<void*>(copy.rows), source, copy.count * sizeof(Element));
      beside();
    }
    LWLockRelease(lock);
    if (copy.count <= capacity) return copy;
    pfree(copy.rows);
    capacity = copy.count;
  }
}

template <typename Element>
Copied<Element> copy_array(Section section, const std::uint32_t& count, const Element* source) {
  return copy_array(section, count, source, [] {});
}

}  // namespace

Copied<NodeEntry> copy_federation() {
  return copy_array(Section::federation, shared.federation->count, shared.federation->entries);
}

Copied<core::LinkRow> copy_links() {
  return copy_array(Section::links, shared.links->count, shared.links->rows);
}

Copied<core::CheckRow> copy_checks() {
  return copy_array(Section::checks, shared.checks->count, shared.checks->rows);
}

Copied<core::TlsRow> copy_tls() {
  return copy_array(Section::tls, shared.tls->count, shared.tls->rows);
}

Copied<core::CertificateRow> copy_certificates() {
  return copy_array(Section::certificates, shared.certificates->count, shared.certificates->rows);
}

Copied<EventEntry> copy_events() {
  Copied<EventEntry> copy;
  copy.rows = allocate<EventEntry>(kEventCapacity);
  LWLock* lock = section_lock(Section::events);
  LWLockAcquire(lock, LW_SHARED);
  const EventsSection& events = *shared.events;
  const auto capacity = static_cast<std::int64_t>(kEventCapacity);
  for (std::int64_t id = std::max<std::int64_t>(1, events.last_id - capacity + 1);
       id <= events.last_id; ++id) {
    const EventEntry& entry = events.ring[id % capacity];
    if (entry.id != id) continue;
    memcpy(static_cast<void*>(&copy.rows[copy.count++]), &entry, sizeof entry);
  }
  LWLockRelease(lock);
  return copy;
}

NodesCopy copy_nodes() {
  NodesCopy copy;
  copy.nodes = copy_array(Section::nodes, shared.nodes->count, shared.nodes->nodes,
                          [&copy] { copy.state = shared.nodes->state; });
  return copy;
}

OwnCopy copy_own(std::uint64_t known_inventory) {
  OwnCopy copy;
  copy.links = copy_array(Section::own, shared.own->count, shared.own->links, [&copy] {
    copy.identity = shared.own->identity;
    copy.judged_by = shared.own->judged_by;
    copy.paths = shared.own->paths;
    copy.extension_version = shared.own->extension_version;
    copy.inventory_digest = shared.own->inventory_digest;
  });
  if (copy.inventory_digest != 0 && copy.inventory_digest != known_inventory) {
    copy.inventory = copy_array(Section::own, shared.own->inventory_length, shared.own->inventory,
                                [&copy] { copy.inventory_digest = shared.own->inventory_digest; });
  }
  return copy;
}

std::int64_t worker_silence() {
  const core::Instant beat{
      core::Duration(static_cast<std::int64_t>(pg_atomic_read_u64(&shared.control->beat)))};
  const std::int64_t silence = core::age(beat, boot_now()).count();
  constexpr std::int64_t kIntervals = 3;
  // At very short intervals, a busy machine alone makes it late.
  constexpr std::int64_t kLeast = 250000;
  const std::int64_t most = std::max(kIntervals * setting::peer_interval * 1000, kLeast);
  return silence >= most ? silence : 0;
}

}  // namespace pgfed::pg
