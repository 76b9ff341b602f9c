#include "pgfed/pg/shared_state.hpp"

#include "pgfed/pg/compat.hpp"
#include "pgfed/pg/entry.hpp"
#include "pgfed/pg/exchange_sessions.hpp"
#include "pgfed/pg/settings.hpp"

namespace pgfed::pg {

Shared shared;

namespace {

constexpr const char* kTranche = "pgfed";
constexpr int kSections = static_cast<int>(Section::count);

/// Room for some twenty reports of the largest kind, or thousands of usual ones.
constexpr std::size_t kMailCapacity = 20 * core::kMaxReport;

shmem_request_hook_type previous_request_hook = nullptr;
shmem_startup_hook_type previous_startup_hook = nullptr;

/// Hands out places in the one piece of memory, or just counts, with `base` null.
struct Carver {
  char* base = nullptr;
  Size used = 0;

  void* take(Size size) {
    void* place = base != nullptr ? base + used : nullptr;
    used = add_size(used, CACHELINEALIGN(size));
    return place;
  }
  template <typename T>
  void take(T*& pointer, Size size) {
    pointer = static_cast<T*>(take(size));
  }
};

template <typename T, typename Element>
Size section_size(Size count) {
  return add_size(sizeof(T), mul_size(sizeof(Element), count));
}

Size carve(Shared& out, char* base) {
  const Size nodes = static_cast<Size>(setting::max_nodes);
  Carver carver{base, 0};
  carver.take(out.control, sizeof(ControlBlock));
  carver.take(out.nodes, section_size<NodesSection, core::NodeSpec>(add_size(nodes, kSpareNodes)));
  carver.take(out.federation, section_size<FederationSection, NodeEntry>(nodes));
  carver.take(out.links, section_size<LinksSection, core::LinkRow>(mul_size(nodes, nodes)));
  carver.take(out.checks, section_size<ChecksSection, core::CheckRow>(check_capacity(nodes)));
  carver.take(out.tls, section_size<TlsSection, core::TlsRow>(nodes));
  carver.take(out.certificates,
              section_size<CertificatesSection, core::CertificateRow>(certificate_capacity(nodes)));
  carver.take(out.setup, sizeof(SetupSection));
  carver.take(out.events, sizeof(EventsSection));
  carver.take(out.own, section_size<OwnSection, OwnLink>(nodes));
  carver.take(out.mail, add_size(sizeof(MailSection), kMailCapacity));
  carver.take(out.exchangers, exchange_sessions_size());
  return carver.used;
}

/// All zero is the empty state of every section; what is not zero follows.
void fill_new_memory() {
  ControlBlock* control = shared.control;
  if (!pg_strong_random(control->incarnation.bytes.data(), control->incarnation.bytes.size())) {
    ereport(FATAL, (errcode(ERRCODE_INTERNAL_ERROR),
                    errmsg("pgfed could not generate a random incarnation")));
  }
  pg_atomic_init_u64(&control->beat, 0);
  pg_atomic_init_u64(&control->started, 0);
  pg_atomic_init_u32(&control->worker_pid, 0);
  pg_atomic_init_u32(&control->worker_proc, 0);
  pg_atomic_init_u32(&control->catalog_pid, 0);
  pg_atomic_init_u32(&control->catalog_proc, 0);
  pg_atomic_init_u32(&control->catalog_holds, 0);
  pg_atomic_init_u32(&control->database, 0);
  pg_atomic_init_u32(&control->identity, static_cast<uint32>(core::Identity::checking));
  pg_atomic_init_u64(&control->turns, 0);
  pg_atomic_init_u64(&control->mail_dropped, 0);
  for (int i = 0; i < MaxBackends; ++i) pg_atomic_init_u32(&shared.exchangers[i], 0);
  shared.mail->capacity = kMailCapacity;
  // Peers may ask before the worker has said anything.
  const core::Settings settings = setting::core_settings();
  shared.own->judged_by =
      core::JudgedBy{settings.lag_warning, settings.lag_critical, settings.peer_interval,
                     settings.mode, settings.certificate};
  shared.own->paths = settings.paths;
}

void wake(pg_atomic_uint32* place) {
  const uint32 proc = pg_atomic_read_u32(place);
  if (proc == 0 || static_cast<int>(proc) > compat::proc_count()) return;
  SetLatch(compat::latch_of(static_cast<int>(proc) - 1));
}

}  // namespace

PGFED_CALLBACK(void, request_memory, ()) {
  if (previous_request_hook != nullptr) previous_request_hook();
  Shared counted;
  RequestAddinShmemSpace(carve(counted, nullptr));
  RequestNamedLWLockTranche(kTranche, kSections);
}

PGFED_CALLBACK(void, save_at_exit, (int code, Datum)) {
  if (code == 0) save_events();
}

PGFED_CALLBACK(void, make_memory, ()) {
  if (previous_startup_hook != nullptr) previous_startup_hook();
  shared = Shared{};

  LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
  Shared counted;
  const Size size = carve(counted, nullptr);
  bool found = false;
  char* base = static_cast<char*>(ShmemInitStruct("pgfed", size, &found));
  carve(shared, base);
  shared.locks = GetNamedLWLockTranche(kTranche);
  if (!found) {
    memset(base, 0, size);
    fill_new_memory();
  }
  LWLockRelease(AddinShmemInitLock);

  if (IsUnderPostmaster) return;
  on_shmem_exit(save_at_exit, 0);
  if (!found) load_events();
}

void install_shared_memory() {
  previous_request_hook = shmem_request_hook;
  shmem_request_hook = request_memory;
  previous_startup_hook = shmem_startup_hook;
  shmem_startup_hook = make_memory;
}

void require_preload() {
  if (shared.control != nullptr) return;
  ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                  errmsg("pgfed must be loaded when the server starts"),
                  errhint("Add to postgresql.conf: shared_preload_libraries = 'pgfed' (after what "
                          "is listed there already), and restart the server.")));
}

core::Instant boot_now() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return core::Instant(core::seconds(now.tv_sec) + core::microseconds(now.tv_nsec / 1000));
}

void wake_federation_worker() {
  if (shared.control != nullptr) wake(&shared.control->worker_proc);
}

void wake_catalog_worker() {
  if (shared.control != nullptr) wake(&shared.control->catalog_proc);
}

}  // namespace pgfed::pg
