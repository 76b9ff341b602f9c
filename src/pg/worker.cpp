#include "pgfed/net/environment.hpp"
#include "pgfed/pg/boundary.hpp"
#include "pgfed/pg/catalog_launcher.hpp"
#include "pgfed/pg/compat.hpp"
#include "pgfed/pg/entry.hpp"
#include "pgfed/pg/publish.hpp"
#include "pgfed/pg/server_tls.hpp"
#include "pgfed/pg/settings.hpp"
#include "pgfed/pg/setup_section.hpp"
#include "pgfed/pg/shared_state.hpp"
#include "pgfed/pg/worker_engine.hpp"

/// The worker `pgfed`: shared memory and network, no database. This is its Postgres half; core and
/// transport live in the engine (worker_engine.cpp), reached by a pointer, so that an error that
/// longjmps out of here skips no destructor that matters: the process ends.
namespace pgfed::pg {
namespace {

/// Ages and LSNs change all the time: unless something else did, they are published so many times an
/// interval, within limits.
constexpr int kPicturesPerInterval = 8;
constexpr core::Duration kShortestPictureInterval = core::milliseconds(5);
constexpr core::Duration kLongestPictureInterval = core::milliseconds(250);
/// Links are many, and show how old they are: once a second, and large federations less often.
constexpr core::Duration kLinksInterval = core::seconds(1);
constexpr std::size_t kLinksPerSecond = 2500;
/// Certificates change rarely, but their validity runs out without an event.
constexpr core::Duration kTrustInterval = core::seconds(30);
/// How often it is looked at how this server does TLS, beside after each reload.
constexpr core::Duration kServerTlsInterval = core::seconds(1);
/// At most so many letters a turn, so that a flood of them delays nobody.
constexpr int kMaxLetters = 64;

struct Publication {
  core::Instant at{};
  std::uint64_t revision = 0;

  [[nodiscard]] bool due(std::uint64_t now_revision, core::Instant now,
                         core::Duration interval) const {
    return now_revision != revision || core::age(at, now) >= interval;
  }
};

struct Loop {
  WorkerEngine* engine = nullptr;
  WaitEventSet* wait_set = nullptr;
  uint32 wait_event = 0;
  MemoryContext turn_context = nullptr;
  std::uint8_t* letter = nullptr;   ///< kMaxReport bytes
  core::NodeSpec* nodes = nullptr;  ///< as many as the section holds
  TakenNodes taken;
  core::Problem* problems = nullptr;  ///< core::kMaxProblems
  TakenSetup taken_setup;
  core::Instant server_tls_at{};
  int reserved = 0;  ///< descriptors that Postgres was told of
  CatalogLauncher launcher;
  Publication picture;
  Publication links;
  std::size_t link_count = 0;  ///< as published last
  Publication own;
  Publication trust;
};

PGFED_CALLBACK(void, forget_worker, (int, Datum)) {
  ControlBlock* control = shared.control;
  pg_atomic_write_u32(&control->worker_proc, 0);
  pg_atomic_write_u32(&control->worker_pid, 0);
  pg_atomic_write_u64(&control->started, 0);
}

core::Duration picture_interval() {
  return std::clamp<core::Duration>(
      core::milliseconds(setting::peer_interval) / kPicturesPerInterval, kShortestPictureInterval,
      kLongestPictureInterval);
}

core::Duration links_interval(std::size_t links) {
  return kLinksInterval + core::seconds(links / kLinksPerSecond);
}

std::uint64_t as_number(core::Instant at) {
  return static_cast<std::uint64_t>(at.time_since_epoch().count());
}

void announce() {
  ControlBlock* control = shared.control;
  const core::Instant now = boot_now();
  before_shmem_exit(forget_worker, 0);
  pg_atomic_write_u64(&control->turns, 0);
  pg_atomic_write_u64(&control->beat, as_number(now));
  pg_atomic_write_u64(&control->started, as_number(now));
  pg_atomic_write_u32(&control->identity, static_cast<uint32>(core::Identity::checking));
  pg_atomic_write_u32(&control->worker_pid, static_cast<uint32>(MyProcPid));
  pg_atomic_write_u32(&control->worker_proc, static_cast<uint32>(compat::own_proc_number()) + 1);
}

core::Self make_self() {
  core::Self self;
  self.node = core::Name(setting::node_name);
  self.federation = core::Name(setting::federation_name);
  self.incarnation = shared.control->incarnation;
  self.system_identifier = GetSystemIdentifier();
  self.library_version = core::VersionText(kLibraryVersion);
  self.server_version =
      static_cast<std::uint32_t>(atoi(GetConfigOption("server_version_num", false, false)));
  memcpy(&self.seed, self.incarnation.bytes.data(), sizeof self.seed);
  return self;
}

/// The engine met an exception. Started anew, the worker begins with a clean slate.
[[noreturn]] void give_up(const char* problem) {
  ereport(FATAL,
          (errcode(ERRCODE_INTERNAL_ERROR), errmsg("pgfed worker cannot go on: %s", problem)));
  pg_unreachable();
}

void require(const Loop& loop, bool done) {
  if (!done) give_up(loop.engine->problem());
}

void take_settings(Loop& loop) {
  require(loop, loop.engine->take_settings(setting::core_settings(), setting::conninfo,
                                           setting::database));
}

/// How this server is set up: its TLS, and what the catalog worker found.
void collect_setup(Loop& loop) {
  const core::Instant now = boot_now();
  if (core::age(loop.server_tls_at, now) >= kServerTlsInterval) {
    loop.server_tls_at = now;
    require(loop, loop.engine->take_server_tls(take_server_tls()));
  }
  if (take_setup(loop.taken_setup, loop.problems)) {
    require(loop, loop.engine->take_setup({loop.problems, loop.taken_setup.count}));
  }
}

/// Collects what happened in this server since the last turn.
void collect(Loop& loop) {
  if (ConfigReloadPending) {
    ConfigReloadPending = false;
    ProcessConfigFile(PGC_SIGHUP);
    take_settings(loop);
    loop.server_tls_at = core::kNever;
  }
  collect_setup(loop);
  require(loop, loop.engine->take_facts(take_facts()));
  if (take_nodes(loop.taken, loop.nodes)) {
    require(loop, loop.engine->take_nodes(loop.taken.state, {loop.nodes, loop.taken.count},
                                          loop.taken.table_system_identifier,
                                          loop.taken.extension_version));
  }
  MailHeader header{};
  for (int i = 0; i < kMaxLetters && take_mail(header, loop.letter); ++i) {
    require(loop, loop.engine->take_letter(header.certificate_node, {loop.letter, header.length}));
  }
}

/// Tells Postgres how many descriptors are ours, so that its own stay within the limit.
void account_descriptors(Loop& loop) {
  const int held = loop.engine->descriptors();
  for (; loop.reserved < held; ++loop.reserved) ReserveExternalFD();
  for (; loop.reserved > held; --loop.reserved) ReleaseExternalFD();
}

void publish(Loop& loop) {
  WorkerEngine* engine = loop.engine;
  const core::Instant now = boot_now();
  pg_atomic_write_u32(&shared.control->identity, static_cast<uint32>(engine->identity()));
  for (const core::Record& record : engine->take_records()) record_event(record, "pgfed");
  if (engine->take_reload()) request_reload();

  const std::uint64_t revision = engine->revision();
  if (loop.picture.due(revision, now, picture_interval())) {
    require(loop, engine->make_picture(now));
    publish_picture(engine->picture());
    loop.picture = Publication{now, revision};
  }
  const std::uint64_t links_revision = engine->links_revision();
  if (loop.links.due(links_revision, now, links_interval(loop.link_count))) {
    require(loop, engine->make_links(now));
    publish_links(engine->links());
    loop.link_count = engine->links().size();
    engine->drop_links();
    loop.links = Publication{now, links_revision};
  }
  const std::uint64_t trust_revision = engine->trust_revision();
  if (loop.trust.due(trust_revision, now, kTrustInterval)) {
    require(loop, engine->make_trust(now));
    publish_trust(engine->trust());
    engine->drop_trust();
    publish_own_inventory(engine->own_inventory());
    loop.trust = Publication{now, trust_revision};
  }
  // Of what a peer wants to know, both tell a change.
  if (loop.own.due(revision + links_revision, now, kLinksInterval)) {
    require(loop, engine->make_own_report(now));
    publish_own_report(engine->own_report(), now);
    loop.own = Publication{now, revision + links_revision};
  }
  pg_atomic_write_u64(&shared.control->beat, as_number(boot_now()));
  pg_atomic_fetch_add_u64(&shared.control->turns, 1);
}

/// In whole milliseconds, rounded up so that the deadline has passed when the wait ends.
long time_to_wait(const Loop& loop) {
  const core::Instant now = boot_now();
  core::Instant until = now + core::milliseconds(setting::peer_interval);
  until = std::min(until, loop.engine->next_deadline());
  until = std::min(until, loop.launcher.deadline());
  until = std::min(until, loop.links.at + links_interval(loop.link_count));
  if (until <= now) return 0;
  return static_cast<long>(((until - now).count() + 999) / 1000);
}

void wait(Loop& loop) {
  WaitEvent events[3];
  const int count = WaitEventSetWait(loop.wait_set, time_to_wait(loop), events, 3, loop.wait_event);
  for (int i = 0; i < count; ++i) {
    if ((events[i].events & WL_LATCH_SET) != 0) ResetLatch(MyLatch);
  }
}

void prepare(Loop& loop) {
  net::clear_environment();
  const core::Self self = make_self();
  loop.engine = WorkerEngine::create(self, static_cast<std::size_t>(setting::max_nodes), boot_now);
  if (loop.engine == nullptr) give_up("out of memory");

  loop.wait_set = compat::create_wait_event_set(3);
  loop.wait_event = compat::wait_event("PgfedMain");
  AddWaitEventToSet(loop.wait_set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, nullptr);
  AddWaitEventToSet(loop.wait_set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, nullptr, nullptr);
  AddWaitEventToSet(loop.wait_set, WL_SOCKET_READABLE, loop.engine->descriptor(), nullptr, nullptr);

  loop.turn_context = AllocSetContextCreate(TopMemoryContext, "pgfed turn", ALLOCSET_DEFAULT_SIZES);
  loop.letter = static_cast<std::uint8_t*>(MemoryContextAlloc(TopMemoryContext, core::kMaxReport));
  loop.problems = static_cast<core::Problem*>(
      MemoryContextAlloc(TopMemoryContext, core::kMaxProblems * sizeof(core::Problem)));
  loop.nodes = static_cast<core::NodeSpec*>(MemoryContextAlloc(
      TopMemoryContext,
      (static_cast<std::size_t>(setting::max_nodes) + kSpareNodes) * sizeof(core::NodeSpec)));
}

}  // namespace

PGFED_WORKER_MAIN(pgfed_worker_main) {
  pqsignal(SIGHUP, SignalHandlerForConfigReload);
  pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
  // Not ignored, as it is for workers without a database: the postmaster tells by it that the
  // catalog worker has ended.
  pqsignal(SIGUSR1, procsignal_sigusr1_handler);
  BackgroundWorkerUnblockSignals();

  Loop loop;
  prepare(loop);
  announce();
  take_settings(loop);
  MemoryContextSwitchTo(loop.turn_context);

  while (!ShutdownRequestPending) {
    CHECK_FOR_INTERRUPTS();
    collect(loop);
    require(loop, loop.engine->run());
    account_descriptors(loop);
    publish(loop);
    loop.launcher.tend(boot_now());
    MemoryContextReset(loop.turn_context);
    wait(loop);
  }
  delete loop.engine;
  proc_exit(1);
}

}  // namespace pgfed::pg
