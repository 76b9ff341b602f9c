#pragma once

#include <cstddef>
#include <cstdint>

#include "pgfed/core/event.hpp"
#include "pgfed/core/picture.hpp"
#include "pgfed/core/report.hpp"
#include "pgfed/core/wire.hpp"
#include "pgfed/pg/postgres_api.hpp"
#include "pgfed/pg/setup_section.hpp"

/// What pgfed keeps in shared memory: fixed-size standard-layout structs, sized once by
/// pgfed.max_nodes; one LWLock for each section. Readers copy out under the lock and format after
/// it; nothing of Postgres that could block or throw, and nothing of libpq, is called under one.
namespace pgfed::pg {

/// Of this library, whatever extension version it serves.
inline constexpr const char* kLibraryVersion = "0.1";

inline constexpr std::size_t kEventCapacity = 1000;

/// Rows of pgfed.nodes beyond pgfed.max_nodes, or wrong in themselves, that are passed on all the
/// same, after the good ones, so that the federation worker knows that it leaves some out.
inline constexpr std::size_t kSpareNodes = 8;

enum class Section : int {
  nodes = 0,
  federation,
  links,
  checks,
  tls,
  certificates,
  setup,
  events,
  own,
  mail,
  count
};

/// Written by the postmaster once, and by the workers with atomics; no lock.
struct ControlBlock {
  core::Incarnation incarnation;  ///< drawn when shared memory was made
  pg_atomic_uint64 beat;          ///< boot clock (us) of the federation worker's last turn
  pg_atomic_uint64 started;       ///< boot clock (us) of its start, 0: not running
  pg_atomic_uint32 worker_pid;    ///< 0: not running
  pg_atomic_uint32 worker_proc;   ///< its PGPROC number + 1, for SetLatch; 0: none
  pg_atomic_uint32 catalog_pid;
  pg_atomic_uint32 catalog_proc;   ///< likewise, + 1
  pg_atomic_uint32 catalog_holds;  ///< commands that need pgfed.database alone right now
  pg_atomic_uint32 database;       ///< OID of pgfed.database, 0: to be looked up
  pg_atomic_uint32 identity;       ///< core::Identity
  pg_atomic_uint64 turns;          ///< of the federation worker since its start
  pg_atomic_uint64 mail_dropped;
};

/// catalog worker → federation worker, and the functions on nodes.
struct NodesSection {
  std::uint64_t generation;  ///< raised at every change
  core::CatalogState state;
  std::uint64_t table_system_identifier;
  core::VersionText extension_version;
  std::uint32_t count;
  core::NodeSpec nodes[FLEXIBLE_ARRAY_MEMBER];  // pgfed.max_nodes and kSpareNodes of them
};

/// One entry a node; the row of pgfed.federation and that of pgfed.peers side by side.
struct NodeEntry {
  core::FederationRow row;
  core::PeerRow peer;
};
struct FederationSection {
  std::uint32_t count;
  NodeEntry entries[FLEXIBLE_ARRAY_MEMBER];
};
struct LinksSection {
  std::uint32_t count;
  core::LinkRow rows[FLEXIBLE_ARRAY_MEMBER];  // max_nodes squared
};
struct ChecksSection {
  std::uint32_t count;
  core::CheckRow rows[FLEXIBLE_ARRAY_MEMBER];  // check_capacity(max_nodes)
};

struct TlsSection {
  std::uint32_t count;
  core::TlsRow rows[FLEXIBLE_ARRAY_MEMBER];  // max_nodes
};
struct CertificatesSection {
  std::uint32_t count;
  core::CertificateRow rows[FLEXIBLE_ARRAY_MEMBER];  // certificate_capacity(max_nodes)
};

struct EventEntry {
  std::int64_t id;  ///< 1, 2, 3 …; 0: empty place
  TimestampTz at;
  core::Name observer;
  core::Name node;
  core::Severity severity;
  core::Text<32> event;
  core::DetailText detail;
  core::Text<64> actor;  ///< role, or `pgfed` for the workers
};
struct EventsSection {
  std::int64_t last_id;
  EventEntry ring[kEventCapacity];  ///< id modulo capacity
};

/// What this node says of itself, but for what a backend reads afresh at each exchange (Facts).
struct OwnLink {
  core::LinkReport link;  ///< `age` unused
  core::Instant observed_at;
};
struct OwnSection {
  core::Identity identity;
  core::JudgedBy judged_by;
  core::TlsPaths paths;
  core::VersionText extension_version;
  std::uint64_t inventory_digest;  ///< 0: nothing has been read yet
  std::uint32_t inventory_length;
  std::uint8_t inventory[core::kMaxEncodedInventory];  ///< as core::encode_inventory() makes it
  std::uint32_t count;
  OwnLink links[FLEXIBLE_ARRAY_MEMBER];
};

/// Hearsay on its way from the backends of pgfed.exchange() to the federation worker: a byte ring of
/// {MailHeader, encoded report}, each entry contiguous or wrapped as the ring's writer likes.
struct MailHeader {
  std::uint32_t length;  ///< of the encoded report that follows
  core::Name certificate_node;
};
struct MailSection {
  std::uint64_t head;  ///< bytes ever written
  std::uint64_t tail;  ///< bytes ever read
  std::uint64_t capacity;
  std::uint8_t ring[FLEXIBLE_ARRAY_MEMBER];
};

/// Pointers into shared memory; all null where pgfed was not preloaded.
struct Shared {
  ControlBlock* control = nullptr;
  NodesSection* nodes = nullptr;
  FederationSection* federation = nullptr;
  LinksSection* links = nullptr;
  ChecksSection* checks = nullptr;
  TlsSection* tls = nullptr;
  CertificatesSection* certificates = nullptr;
  SetupSection* setup = nullptr;
  EventsSection* events = nullptr;
  OwnSection* own = nullptr;
  MailSection* mail = nullptr;
  pg_atomic_uint32* exchangers = nullptr;  ///< see exchange_sessions.hpp
  LWLockPadded* locks = nullptr;           ///< one for each Section
};
extern Shared shared;

inline LWLock* section_lock(Section section) {
  return &shared.locks[static_cast<int>(section)].lock;
}
inline constexpr std::size_t check_capacity(std::size_t max_nodes) { return 32 + 16 * max_nodes; }
inline constexpr std::size_t certificate_capacity(std::size_t max_nodes) {
  return max_nodes * core::kMaxCertificateRows;
}

/// Installs the hooks that request the memory and make it; from _PG_init in the postmaster.
void install_shared_memory();

/// ereport(ERROR) 55000 with the line to add to postgresql.conf where pgfed was not preloaded.
void require_preload();

/// CLOCK_BOOTTIME in microseconds.
core::Instant boot_now();

/// Appends to the ring of events and writes one stable line to the server log:
/// `pgfed: event=state node=ait severity=critical detail="…"`. Postgres regime.
void record_event(const core::Record& record, const char* actor);

/// Sets the latch of a worker; does nothing where it is not running.
void wake_federation_worker();
void wake_catalog_worker();

/// Puts hearsay into the mail and sees to it that the federation worker reads it soon; drops the
/// oldest where it is full (counted in control->mail_dropped). At most core::kMaxReport bytes.
void post_mail(const core::Name& certificate_node, const void* bytes, std::size_t length);

/// Takes the oldest letter: its length and its bytes, up to core::kMaxReport of them; false where
/// there is none.
bool take_mail(MailHeader& header, std::uint8_t* bytes);

/// Keep the events over a clean restart, in pg_stat/pgfed.events. Called by the postmaster, when it
/// makes shared memory and when it has shut down cleanly.
void load_events();
void save_events();

/// The state of this server's WAL, read from shared memory: needs no database. Postgres regime;
/// never blocks.
core::Facts take_facts();

}  // namespace pgfed::pg
