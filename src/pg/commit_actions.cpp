#include "pgfed/pg/commit_actions.hpp"

#include "pgfed/pg/entry.hpp"
#include "pgfed/pg/shared_state.hpp"

namespace pgfed::pg {
namespace {

struct Pending {
  Pending* next;
  SubTransactionId subtransaction;
  bool wakes;  ///< else it records
  core::Record record;
  core::Text<64> actor;
};

// In TopTransactionContext, oldest first; emptied at the end of every transaction.
Pending* first_pending = nullptr;
Pending** last_link = &first_pending;
bool registered = false;

void forget_all() {
  first_pending = nullptr;
  last_link = &first_pending;
}

/// The transaction has been committed: an ERROR in here would be a PANIC.
void do_all() {
  bool wakes = false;
  for (const Pending* each = first_pending; each != nullptr; each = each->next) {
    if (each->wakes) {
      wakes = true;
    } else {
      record_event(each->record, each->actor.c_str());
    }
  }
  if (wakes) wake_catalog_worker();
}

bool any_to_record() {
  for (const Pending* each = first_pending; each != nullptr; each = each->next) {
    if (!each->wakes) return true;
  }
  return false;
}

PGFED_CALLBACK(void, at_end_of_transaction, (XactEvent event, [[maybe_unused]] void* argument)) {
  if (first_pending == nullptr) return;
  switch (event) {
    case XACT_EVENT_PRE_PREPARE:
      // A mere wake may be lost: the catalog worker looks at every interval anyway.
      if (!any_to_record()) break;
      ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                      errmsg("cannot PREPARE a transaction that has changed pgfed's nodes")));
      break;
    case XACT_EVENT_COMMIT:
      do_all();
      forget_all();
      break;
    case XACT_EVENT_ABORT:
    case XACT_EVENT_PREPARE:
      forget_all();
      break;
    default:
      break;
  }
}

PGFED_CALLBACK(void, at_end_of_subtransaction,
               (SubXactEvent event, SubTransactionId self, SubTransactionId parent,
                [[maybe_unused]] void* argument)) {
  if (event != SUBXACT_EVENT_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB) return;
  Pending** link = &first_pending;
  while (*link != nullptr) {
    Pending* each = *link;
    if (each->subtransaction == self && event == SUBXACT_EVENT_ABORT_SUB) {
      *link = each->next;
      continue;
    }
    if (each->subtransaction == self) each->subtransaction = parent;
    link = &each->next;
  }
  last_link = link;
}

Pending* append() {
  if (!registered) {
    RegisterXactCallback(at_end_of_transaction, nullptr);
    RegisterSubXactCallback(at_end_of_subtransaction, nullptr);
    registered = true;
  }
  auto* pending =
      static_cast<Pending*>(MemoryContextAllocZero(TopTransactionContext, sizeof(Pending)));
  pending->subtransaction = GetCurrentSubTransactionId();
  *last_link = pending;
  last_link = &pending->next;
  return pending;
}

}  // namespace

void record_at_commit(const core::Record& record) {
  const char* actor = GetUserNameFromId(GetSessionUserId(), true);
  Pending* pending = append();
  pending->record = record;
  pending->actor = core::Text<64>(actor == nullptr ? "" : actor);
}

void wake_catalog_worker_at_commit() { append()->wakes = true; }

}  // namespace pgfed::pg
