#include "pgfed/pg/catalog_launcher.hpp"

#include "pgfed/pg/shared_state.hpp"

namespace pgfed::pg {
namespace {

constexpr core::Duration kFirstWait = core::seconds(1);
constexpr core::Duration kLongestWait = core::seconds(5);
/// How often to look whether a worker is gone that nobody tells us of.
constexpr core::Duration kLook = core::milliseconds(200);

}  // namespace

void CatalogLauncher::tend(core::Instant now) {
  ControlBlock* control = shared.control;
  if (handle_ != nullptr) {
    pid_t pid = 0;
    if (GetBackgroundWorkerPid(handle_, &pid) != BGWH_STOPPED) {
      due_ = core::kForever;
      return;
    }
    pfree(handle_);
    handle_ = nullptr;
    note_end(now);
  }
  // One that an earlier life of this worker started: it tells the postmaster's dead, not us.
  if (pg_atomic_read_u32(&control->catalog_pid) != 0 ||
      pg_atomic_read_u32(&control->catalog_holds) != 0) {
    due_ = std::max(due_, now + kLook);
    return;
  }
  if (now >= due_) launch(now);
}

void CatalogLauncher::note_end(core::Instant now) {
  ControlBlock* control = shared.control;
  const Oid found = pg_atomic_read_u32(&control->database);
  if (database_ == InvalidOid && found != InvalidOid) {
    due_ = now;  // it has done what it was started for
    return;
  }
  pg_atomic_write_u32(&control->database, InvalidOid);
  if (core::age(launched_at_, now) > kFirstWait) wait_ = core::Duration::zero();
  due_ = now + wait_;
  wait_ = std::clamp(2 * wait_, kFirstWait, kLongestWait);
}

void CatalogLauncher::launch(core::Instant now) {
  BackgroundWorker worker{};
  worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
  worker.bgw_start_time = BgWorkerStart_ConsistentState;
  worker.bgw_restart_time = BGW_NEVER_RESTART;
  strlcpy(worker.bgw_library_name, "pgfed", sizeof worker.bgw_library_name);
  strlcpy(worker.bgw_function_name, "pgfed_catalog_worker_main", sizeof worker.bgw_function_name);
  strlcpy(worker.bgw_name, "pgfed catalog", BGW_MAXLEN);
  strlcpy(worker.bgw_type, "pgfed catalog", BGW_MAXLEN);
  database_ = pg_atomic_read_u32(&shared.control->database);
  worker.bgw_main_arg = ObjectIdGetDatum(database_);
  worker.bgw_notify_pid = MyProcPid;

  MemoryContext previous = MemoryContextSwitchTo(TopMemoryContext);
  const bool registered = RegisterDynamicBackgroundWorker(&worker, &handle_);
  MemoryContextSwitchTo(previous);
  if (registered) {
    launched_at_ = now;
    due_ = core::kForever;
    complained_ = false;
    return;
  }
  handle_ = nullptr;
  due_ = now + kLongestWait;
  if (complained_) return;
  complained_ = true;
  ereport(WARNING, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
                    errmsg("pgfed could not start its catalog worker"),
                    errhint("Raise max_worker_processes.")));
}

}  // namespace pgfed::pg
