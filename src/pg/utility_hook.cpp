#include "pgfed/pg/commit_actions.hpp"
#include "pgfed/pg/compat.hpp"
#include "pgfed/pg/entry.hpp"
#include "pgfed/pg/exchange_sessions.hpp"
#include "pgfed/pg/hooks.hpp"
#include "pgfed/pg/settings.hpp"
#include "pgfed/pg/shared_state.hpp"

namespace pgfed::pg {
namespace {

constexpr const char* kExtension = "pgfed";
/// How long a command waits for ours to leave; after that it meets Postgres' own waiting, and its
/// error.
constexpr core::Duration kPatience = core::seconds(2);
constexpr long kLookMs = 10;

ProcessUtility_hook_type previous_hook = nullptr;

bool same(const char* a, const char* b) { return a != nullptr && strcmp(a, b) == 0; }

const char* template_of(const CreatedbStmt* statement) {
  ListCell* cell = nullptr;
  foreach (cell, statement->options) {
    auto* option = static_cast<DefElem*>(lfirst(cell));
    if (same(option->defname, "template") && option->arg != nullptr) return defGetString(option);
  }
  return "template1";
}

bool moves_tablespace(const AlterDatabaseStmt* statement) {
  ListCell* cell = nullptr;
  foreach (cell, statement->options) {
    if (same(static_cast<DefElem*>(lfirst(cell))->defname, "tablespace")) return true;
  }
  return false;
}

bool in_our_database() {
  return IsTransactionState() && same(get_database_name(MyDatabaseId), setting::database);
}

/// pgfed.database, where somebody who may do so asks for a command that fails while anybody else is
/// connected to it; else InvalidOid. Who may not, or not in a transaction block, gets the command's
/// own error, and disturbs nobody.
Oid needed_database(Node* tree, bool is_top_level) {
  const char* database = nullptr;
  bool as_template = false;
  bool renames = false;
  switch (nodeTag(tree)) {
    case T_DropdbStmt:
      database = reinterpret_cast<DropdbStmt*>(tree)->dbname;
      break;
    case T_RenameStmt: {
      const auto* statement = reinterpret_cast<RenameStmt*>(tree);
      renames = statement->renameType == OBJECT_DATABASE;
      if (renames) database = statement->subname;
      break;
    }
    case T_CreatedbStmt:
      database = template_of(reinterpret_cast<CreatedbStmt*>(tree));
      as_template = true;
      break;
    case T_AlterDatabaseStmt: {
      const auto* statement = reinterpret_cast<AlterDatabaseStmt*>(tree);
      if (moves_tablespace(statement)) database = statement->dbname;
      break;
    }
    default:
      break;
  }
  if (!same(database, setting::database) || !IsTransactionState() || RecoveryInProgress()) {
    return InvalidOid;
  }
  // Of these commands, only RENAME may be part of a transaction; only it wants more than ownership.
  if (renames ? !compat::may_create_databases() : IsInTransactionBlock(is_top_level)) {
    return InvalidOid;
  }
  const Oid oid = get_database_oid(database, true);
  if (!OidIsValid(oid) || (oid == MyDatabaseId && !as_template)) return InvalidOid;
  if (compat::owns_database(oid)) return oid;
  const bool may_copy =
      as_template && compat::may_create_databases() && compat::is_template_database(oid);
  return may_copy ? oid : InvalidOid;
}

/// Whether the catalog worker should look once this has been committed.
bool concerns_catalog(Node* tree) {
  switch (nodeTag(tree)) {
    case T_CreatedbStmt:
    case T_DropdbStmt:
      return true;
    case T_RenameStmt:
      return reinterpret_cast<RenameStmt*>(tree)->renameType == OBJECT_DATABASE;
    case T_CreateExtensionStmt:
      return same(reinterpret_cast<CreateExtensionStmt*>(tree)->extname, kExtension) &&
             in_our_database();
    case T_AlterExtensionStmt:
      return same(reinterpret_cast<AlterExtensionStmt*>(tree)->extname, kExtension) &&
             in_our_database();
    case T_DropStmt: {
      const ObjectType type = reinterpret_cast<DropStmt*>(tree)->removeType;
      return (type == OBJECT_EXTENSION || type == OBJECT_SCHEMA) && in_our_database();
    }
    default:
      return false;
  }
}

/// Negative, zero or positive, as strcmp; numbers between dots are compared as numbers.
int compare_versions(const char* a, const char* b) {
  while (*a != '\0' || *b != '\0') {
    char* end_a = nullptr;
    char* end_b = nullptr;
    const unsigned long number_a = strtoul(a, &end_a, 10);
    const unsigned long number_b = strtoul(b, &end_b, 10);
    if (number_a != number_b) return number_a < number_b ? -1 : 1;
    a = *end_a == '.' ? end_a + 1 : end_a;
    b = *end_b == '.' ? end_b + 1 : end_b;
    if ((*a < '0' || *a > '9') && (*b < '0' || *b > '9')) return strcmp(a, b);
  }
  return 0;
}

/// The catalog replicates, the library does not: objects of a newer extension would reach nodes
/// whose library does not serve them. Who may not update, or elsewhere, gets Postgres' own answer.
void refuse_early_update(Node* tree) {
  if (!IsA(tree, AlterExtensionStmt) ||
      !same(reinterpret_cast<AlterExtensionStmt*>(tree)->extname, kExtension)) {
    return;
  }
  if (!in_our_database()) return;
  const Oid extension = get_extension_oid(kExtension, true);
  if (!OidIsValid(extension) || !compat::owns_extension(extension)) return;
  core::Name node;
  core::VersionText version;
  const FederationSection* federation = shared.federation;
  LWLockAcquire(section_lock(Section::federation), LW_SHARED);
  for (std::uint32_t i = 0; i < federation->count; ++i) {
    const core::PeerRow& peer = federation->entries[i].peer;
    if (peer.library_version.empty() ||
        compare_versions(peer.library_version.c_str(), kLibraryVersion) >= 0) {
      continue;
    }
    node = peer.node;
    version = peer.library_version;
    break;
  }
  LWLockRelease(section_lock(Section::federation));
  if (node.empty()) return;
  ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                  errmsg("cannot update extension \"pgfed\" while node \"%s\" has an older library",
                         node.c_str()),
                  errdetail("Its library has version %s, the one here %s.", version.c_str(),
                            kLibraryVersion),
                  errhint("Install the new library on every node and restart it, then update.")));
}

/// The catalog worker, and the sessions of the peers.
void wait_until_all_left(Oid database) {
  const core::Instant until = boot_now() + kPatience;
  const ExchangeSessions sessions = end_exchange_sessions(database);
  while ((pg_atomic_read_u32(&shared.control->catalog_pid) != 0 || sessions.any_left()) &&
         boot_now() < until) {
    CHECK_FOR_INTERRUPTS();
    (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, kLookMs,
                    PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
  }
}

PGFED_CALLBACK(void, release_hold, (int, Datum)) {
  pg_atomic_fetch_sub_u32(&shared.control->catalog_holds, 1);
  wake_federation_worker();
}

}  // namespace

PGFED_CALLBACK(void, process_utility,
               (PlannedStmt * statement, const char* query, bool read_only_tree,
                ProcessUtilityContext context, ParamListInfo parameters,
                QueryEnvironment* environment, DestReceiver* destination,
                QueryCompletion* completion)) {
  const ProcessUtility_hook_type next =
      previous_hook != nullptr ? previous_hook : standard_ProcessUtility;
  Node* tree = statement->utilityStmt;
  if (shared.control == nullptr) {
    next(statement, query, read_only_tree, context, parameters, environment, destination,
         completion);
    return;
  }

  refuse_early_update(tree);
  // Looked at before: the command may free its tree's memory, or change what the names mean.
  const bool wakes = concerns_catalog(tree);
  const Oid database = needed_database(tree, context == PROCESS_UTILITY_TOPLEVEL);
  if (OidIsValid(database)) {
    pg_atomic_fetch_add_u32(&shared.control->catalog_holds, 1);
    PG_ENSURE_ERROR_CLEANUP(release_hold, Datum{0});
    {
      wake_catalog_worker();
      wait_until_all_left(database);
      next(statement, query, read_only_tree, context, parameters, environment, destination,
           completion);
    }
    PG_END_ENSURE_ERROR_CLEANUP(release_hold, Datum{0});
    release_hold(0, Datum{0});
  } else {
    next(statement, query, read_only_tree, context, parameters, environment, destination,
         completion);
  }
  if (wakes && IsTransactionState()) wake_catalog_worker_at_commit();
}

void install_utility_hook() {
  previous_hook = ProcessUtility_hook;
  ProcessUtility_hook = process_utility;
}

}  // namespace pgfed::pg
