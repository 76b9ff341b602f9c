#pragma once

#include "pgfed/core/event.hpp"

/// What is to happen once the running transaction has committed, and not at all if it, or the
/// subtransaction it was asked for in, is rolled back. Postgres regime.
namespace pgfed::pg {

/// record_event() with the session's user as the actor.
void record_at_commit(const core::Record& record);

/// wake_catalog_worker(), so that it sees what was committed.
void wake_catalog_worker_at_commit();

}  // namespace pgfed::pg
