#include "pgfed/pg/exchange_sessions.hpp"

#include <csignal>

#include "pgfed/pg/compat.hpp"
#include "pgfed/pg/shared_state.hpp"

namespace pgfed::pg {
namespace {

/// In the array of processes, which is where commands look for those that are in their way.
bool is_in_database(int pid, Oid database) {
  const PGPROC* proc = BackendPidGetProc(pid);
  return proc != nullptr && proc->databaseId == database;
}

}  // namespace

Size exchange_sessions_size() {
  return mul_size(sizeof(pg_atomic_uint32), static_cast<Size>(MaxBackends));
}

void enter_exchange() {
  const int number = compat::own_proc_number();
  // Never cleared: an entry counts only while there is such a process in the database.
  if (number >= 0 && number < MaxBackends) {
    (void)pg_atomic_exchange_u32(&shared.exchangers[number], static_cast<uint32>(MyProcPid));
  }
  // A command raises the holds first and looks for sessions then; this is the other way round, so
  // that one of the two sees the other.
  if (pg_atomic_read_u32(&shared.control->catalog_holds) == 0) return;
  ereport(FATAL,
          (errcode(ERRCODE_CANNOT_CONNECT_NOW),
           errmsg("a command needs database \"%s\" alone now", get_database_name(MyDatabaseId))));
}

bool ExchangeSessions::any_left() const {
  for (std::size_t i = 0; i < count; ++i) {
    if (is_in_database(pids[i], database)) return true;
  }
  return false;
}

ExchangeSessions end_exchange_sessions(Oid database) {
  ExchangeSessions found;
  found.database = database;
  found.pids = static_cast<int*>(palloc(static_cast<std::size_t>(MaxBackends) * sizeof(int)));
  for (int number = 0; number < MaxBackends; ++number) {
    const auto pid = static_cast<int>(pg_atomic_read_u32(&shared.exchangers[number]));
    if (pid == 0 || pid == MyProcPid || !is_in_database(pid, database)) continue;
    found.pids[found.count++] = pid;
    // As pg_terminate_backend() does; a process that is gone by now is as good.
    (void)kill(pid, SIGTERM);
  }
  return found;
}

}  // namespace pgfed::pg
