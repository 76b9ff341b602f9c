#include "pgfed/pg/entry.hpp"
#include "pgfed/pg/hooks.hpp"
#include "pgfed/pg/settings.hpp"
#include "pgfed/pg/shared_state.hpp"

namespace pgfed::pg {
namespace {

void register_federation_worker() {
  BackgroundWorker worker{};
  worker.bgw_flags = BGWORKER_SHMEM_ACCESS;
  worker.bgw_start_time = BgWorkerStart_ConsistentState;
  worker.bgw_restart_time = 1;
  strlcpy(worker.bgw_library_name, "pgfed", sizeof worker.bgw_library_name);
  strlcpy(worker.bgw_function_name, "pgfed_worker_main", sizeof worker.bgw_function_name);
  strlcpy(worker.bgw_name, "pgfed", BGW_MAXLEN);
  strlcpy(worker.bgw_type, "pgfed", BGW_MAXLEN);
  RegisterBackgroundWorker(&worker);
}

}  // namespace

PGFED_MODULE_INIT() {
  // Settings that need a restart cannot be defined later, and there is no memory to share either:
  // the functions say so, see require_preload().
  if (!process_shared_preload_libraries_in_progress) return;
  setting::define_settings();
  if (IsBinaryUpgrade) return;
  install_shared_memory();
  install_utility_hook();
  install_log_filter();
  register_federation_worker();
}

}  // namespace pgfed::pg
