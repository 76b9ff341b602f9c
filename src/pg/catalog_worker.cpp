#include "pgfed/core/node_registry.hpp"
#include "pgfed/pg/boundary.hpp"
#include "pgfed/pg/compat.hpp"
#include "pgfed/pg/entry.hpp"
#include "pgfed/pg/node_table.hpp"
#include "pgfed/pg/publish.hpp"
#include "pgfed/pg/settings.hpp"
#include "pgfed/pg/setup_reader.hpp"
#include "pgfed/pg/shared_state.hpp"

/// The worker `pgfed catalog`. Its first life is connected to no database and looks for
/// pgfed.database; with that database's OID it is started again, connected to it, and reads
/// pgfed.nodes there, and now and then how the server is set up. It leaves whenever a command needs
/// the database alone.
namespace pgfed::pg {
namespace {

/// Even with a fast beat, tables are not read more often than that.
constexpr core::Duration kShortestLook = core::milliseconds(50);
/// First wait after a look that could not be finished (a lock, an error); doubled up to an interval.
constexpr core::Duration kFirstRetry = core::milliseconds(100);
/// How often to look at how the server is set up; after a reload, at once.
constexpr core::Duration kSetupInterval = core::seconds(10);

PGFED_CALLBACK(void, forget_catalog_worker, (int, Datum)) {
  pg_atomic_write_u32(&shared.control->catalog_proc, 0);
  pg_atomic_write_u32(&shared.control->catalog_pid, 0);
  wake_federation_worker();
}

/// False where another one is running.
bool announce() {
  ControlBlock* control = shared.control;
  uint32 nobody = 0;
  if (!pg_atomic_compare_exchange_u32(&control->catalog_pid, &nobody,
                                      static_cast<uint32>(MyProcPid))) {
    return false;
  }
  // Registered before the connection is made, hence called after this process has left the array
  // of processes: whoever waits for catalog_pid to be 0 then finds nobody in the database.
  on_shmem_exit(forget_catalog_worker, 0);
  pg_atomic_write_u32(&control->catalog_proc, static_cast<uint32>(compat::own_proc_number()) + 1);
  return true;
}

/// Leaves where it is told to, quietly; and where a command waits for the database.
void leave_if_asked() {
  if (ProcDiePending) proc_exit(1);
  if (pg_atomic_read_u32(&shared.control->catalog_holds) != 0) proc_exit(0);
}

void set_override(const char* name, const char* value) {
  SetConfigOption(name, value, PGC_SUSET, PGC_S_OVERRIDE);
}

/// As autovacuum does: what ALTER DATABASE or ALTER ROLE set must not change what is done here.
void override_settings() {
  set_override("search_path", "");
  set_override("zero_damaged_pages", "false");
  set_override("statement_timeout", "0");
  set_override("lock_timeout", "500");
  set_override("idle_in_transaction_session_timeout", "0");
  if (compat::has_transaction_timeout()) set_override("transaction_timeout", "0");
  set_override("default_transaction_isolation", "read committed");
  set_override("default_transaction_read_only", "off");
  set_override("default_transaction_deferrable", "off");
  set_override("synchronous_commit", "local");
  set_override("row_security", "on");
  set_override("session_replication_role", "origin");
  set_override("role", "none");
}

/// Sorted and sifted as the federation worker will do it, so that the same rows are kept where there
/// are more than fit; then some of those that it will leave out. C++ regime.
std::size_t arrange(const core::NodeSpec* rows, std::size_t count, core::NodeSpec* out,
                    std::size_t max_nodes) {
  core::NodeRegistry registry(max_nodes);
  registry.assign(std::vector<core::NodeSpec>(rows, rows + count));
  std::size_t used = 0;
  for (const core::NodeSpec& node : registry.nodes()) out[used++] = node;
  const std::size_t capacity = max_nodes + kSpareNodes;
  const core::NodeSpec* end = rows + count;
  for (const core::NodeSpec* row = rows; row != end && used < capacity; ++row) {
    const core::NodeSpec* kept = registry.find(row->name.view());
    if (kept == nullptr || !(*kept == *row)) out[used++] = *row;
  }
  return used;
}

struct Reader {
  core::NodeSpec* nodes = nullptr;  ///< arranged; as many as the section holds
  MemoryContext context = nullptr;
  core::Duration retry{};  ///< zero: the last look was finished
  std::size_t left_out = 0;
  char last_error[512] = {};
  core::Instant setup_due{};  ///< of the next look at the set-up
  char last_setup_error[512] = {};
};

/// One look at the tables, in a transaction; false where they were locked. May raise an error.
bool look(Reader& reader) {
  SetCurrentStatementStartTimestamp();
  StartTransactionCommand();
  const char* name = get_database_name(MyDatabaseId);
  if (name == nullptr || strcmp(name, setting::database) != 0) {
    // Dropped or renamed: on a standby without a command that the hook could see.
    CommitTransactionCommand();
    proc_exit(0);
  }

  NodeTables tables = find_node_tables();
  NodeRows rows;
  const bool complete = read_node_tables(tables, rows, false);
  bool changed = false;
  if (complete) {
    std::size_t count = 0;
    core::NodeSpec* out = reader.nodes;
    const auto max_nodes = static_cast<std::size_t>(setting::max_nodes);
    call_cpp([&rows, &count, out, max_nodes](BoxedError&) {
      count = arrange(rows.rows, rows.count, out, max_nodes);
    });
    changed = publish_nodes(tables.state, {reader.nodes, count}, rows.system_identifier,
                            tables.extension_version);
    if (tables.problem != nullptr && changed) {
      ereport(WARNING, (errmsg("pgfed cannot use table \"pgfed.nodes\": %s", tables.problem)));
    }
    if (rows.left_out > 0 && rows.left_out != reader.left_out) {
      ereport(WARNING, (errmsg("pgfed leaves out %zu rows of table \"pgfed.nodes\"", rows.left_out),
                        errdetail("A value is missing or longer than any that pgfed.add_node() "
                                  "would have written.")));
    }
    reader.left_out = rows.left_out;
  }
  CommitTransactionCommand();
  (void)pgstat_report_stat(false);
  if (changed) wake_federation_worker();
  return complete;
}

/// Each distinct error is logged once in a row.
template <std::size_t N>
void report_error(Reader& reader, const char* what, char (&last_error)[N]) {
  MemoryContextSwitchTo(reader.context);
  ErrorData* error = CopyErrorData();
  FlushErrorState();
  AbortCurrentTransaction();
  const char* message = error->message != nullptr ? error->message : "";
  if (strncmp(message, last_error, N - 1) != 0) {
    strlcpy(last_error, message, N);
    ereport(LOG,
            (errcode(error->sqlerrcode), errmsg("pgfed could not read %s: %s", what, message)));
  }
  FreeErrorData(error);
}

void look_safely(Reader& reader) {
  volatile bool complete = false;
  PG_TRY();
  {
    CHECK_FOR_INTERRUPTS();
    complete = look(reader);
    reader.last_error[0] = '\0';
  }
  PG_CATCH();
  { report_error(reader, "table \"pgfed.nodes\"", reader.last_error); }
  PG_END_TRY();
  const core::Duration interval = core::milliseconds(setting::peer_interval);
  reader.retry = complete ? core::Duration::zero()
                          : std::clamp(2 * reader.retry, kFirstRetry,
                                       std::max<core::Duration>(interval, kFirstRetry));
  MemoryContextSwitchTo(reader.context);
  MemoryContextReset(reader.context);
}

/// What is wrong with pg_hba.conf and with the streams that this server sends.
void look_at_setup(Reader& reader) {
  reader.setup_due = boot_now() + kSetupInterval;
  PG_TRY();
  {
    CHECK_FOR_INTERRUPTS();
    SetCurrentStatementStartTimestamp();
    StartTransactionCommand();
    const bool changed = read_setup();
    CommitTransactionCommand();
    (void)pgstat_report_stat(false);
    if (changed) wake_federation_worker();
    reader.last_setup_error[0] = '\0';
  }
  PG_CATCH();
  { report_error(reader, "how this server is set up", reader.last_setup_error); }
  PG_END_TRY();
  MemoryContextSwitchTo(reader.context);
  MemoryContextReset(reader.context);
}

/// True where the settings were read anew.
bool wait(core::Duration duration, uint32 wait_event) {
  const auto milliseconds = std::chrono::duration_cast<core::milliseconds>(duration).count();
  (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
                  static_cast<long>(milliseconds), wait_event);
  ResetLatch(MyLatch);
  if (!ConfigReloadPending) return false;
  ConfigReloadPending = false;
  ProcessConfigFile(PGC_SIGHUP);
  return true;
}

core::Duration interval() {
  return std::max<core::Duration>(core::milliseconds(setting::peer_interval), kShortestLook);
}

/// The OID of pgfed.database, or InvalidOid. By a heap scan: without a database there is not every
/// index.
Oid find_database() {
  Oid found = InvalidOid;
  SetCurrentStatementStartTimestamp();
  StartTransactionCommand();
  Relation relation = table_open(DatabaseRelationId, AccessShareLock);
  TableScanDesc scan = table_beginscan_catalog(relation, 0, nullptr);
  while (HeapTuple tuple = heap_getnext(scan, ForwardScanDirection)) {
    auto* database = reinterpret_cast<Form_pg_database>(GETSTRUCT(tuple));
    if (strcmp(NameStr(database->datname), setting::database) != 0) continue;
    if (!compat::is_broken_database(database)) found = database->oid;
  }
  table_endscan(scan);
  table_close(relation, AccessShareLock);
  CommitTransactionCommand();
  return found;
}

[[noreturn]] void look_for_database(uint32 wait_event) {
  BackgroundWorkerInitializeConnection(nullptr, nullptr, BGWORKER_BYPASS_ALLOWCONN);
  override_settings();
  for (;;) {
    leave_if_asked();
    CHECK_FOR_INTERRUPTS();
    const Oid database = find_database();
    if (OidIsValid(database)) {
      pg_atomic_write_u32(&shared.control->database, database);
      proc_exit(0);
    }
    if (publish_nodes(core::CatalogState::no_database, {}, 0, core::VersionText())) {
      wake_federation_worker();
    }
    (void)wait(interval(), wait_event);
  }
}

[[noreturn]] void serve(Oid database, uint32 wait_event) {
  BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, BGWORKER_BYPASS_ALLOWCONN);
  override_settings();
  Reader reader;
  reader.nodes = static_cast<core::NodeSpec*>(MemoryContextAllocZero(
      TopMemoryContext,
      (static_cast<std::size_t>(setting::max_nodes) + kSpareNodes) * sizeof(core::NodeSpec)));
  reader.context =
      AllocSetContextCreate(TopMemoryContext, "pgfed catalog turn", ALLOCSET_DEFAULT_SIZES);
  MemoryContextSwitchTo(reader.context);
  pgstat_report_activity(STATE_IDLE, nullptr);
  for (;;) {
    leave_if_asked();
    look_safely(reader);
    leave_if_asked();
    if (boot_now() >= reader.setup_due) {
      look_at_setup(reader);
      leave_if_asked();
    }
    core::Duration pause = reader.retry > core::Duration::zero() ? reader.retry : interval();
    pause = std::min(pause, core::age(boot_now(), reader.setup_due) + core::milliseconds(1));
    if (wait(pause, wait_event)) reader.setup_due = core::kNever;
  }
}

}  // namespace

PGFED_WORKER_MAIN(pgfed_catalog_worker_main) {
  pqsignal(SIGHUP, SignalHandlerForConfigReload);
  pqsignal(SIGTERM, die);
  BackgroundWorkerUnblockSignals();
  if (!announce()) proc_exit(0);
  leave_if_asked();
  const uint32 wait_event = compat::wait_event("PgfedCatalogMain");
  const Oid database = DatumGetObjectId(argument);
  if (OidIsValid(database)) {
    serve(database, wait_event);
  } else {
    look_for_database(wait_event);
  }
}

}  // namespace pgfed::pg
