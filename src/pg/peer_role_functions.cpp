// allow_peer() and revoke_peer(): what a peer's role needs, granted and taken back as a whole.

#include "pgfed/pg/commit_actions.hpp"
#include "pgfed/pg/entry.hpp"
#include "pgfed/pg/preconditions.hpp"
#include "pgfed/pg/settings.hpp"

namespace pgfed::pg {
namespace {

/// What is granted; %s stands for the database in the first one only.
constexpr const char* kConnect = "CONNECT ON DATABASE %s";
constexpr const char* kNeeded[] = {
    "USAGE ON SCHEMA pgfed",
    "EXECUTE ON FUNCTION pgfed.exchange(pg_catalog.bytea), "
    "pgfed.join(pg_catalog.text, pg_catalog.text, pg_catalog.int4, pg_catalog.text)",
};
/// As the documentation of pg_rewind lists them.
constexpr const char* kForRewind =
    "EXECUTE ON FUNCTION "
    "pg_catalog.pg_ls_dir(pg_catalog.text, pg_catalog.bool, pg_catalog.bool), "
    "pg_catalog.pg_stat_file(pg_catalog.text, pg_catalog.bool), "
    "pg_catalog.pg_read_binary_file(pg_catalog.text), "
    "pg_catalog.pg_read_binary_file(pg_catalog.text, pg_catalog.int8, pg_catalog.int8, "
    "pg_catalog.bool)";

void run(const char* statement) {
  const int result = SPI_execute(statement, false, 0);
  if (result < 0) elog(ERROR, "\"%s\" failed: %s", statement, SPI_result_code_string(result));
}

void grant_or_revoke(bool grants, const char* privileges, const char* role) {
  run(grants ? psprintf("GRANT %s TO %s", privileges, quote_identifier(role))
             : psprintf("REVOKE %s FROM %s", privileges, quote_identifier(role)));
}

/// The role's name; raises an error unless it is given, and one that people may make.
const char* role_argument(FunctionCallInfo fcinfo) {
  if (PG_ARGISNULL(0)) {
    ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                    errmsg("argument \"role\" must not be null")));
  }
  const char* role = NameStr(*PG_GETARG_NAME(0));
  if (strncmp(role, "pg_", 3) == 0 || strcmp(role, "public") == 0 || strcmp(role, "none") == 0) {
    ereport(ERROR,
            (errcode(ERRCODE_RESERVED_NAME), errmsg("role \"%s\" cannot be a peer's role", role),
             errdetail("The name is one of PostgreSQL's own, which nobody logs in as.")));
  }
  return role;
}

void require_superuser(const char* function) {
  if (superuser()) return;
  ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                  errmsg("must be superuser to execute %s", function)));
}

/// A peer logs in, replicates, and is nothing more.
void check_peer_role(const char* role) {
  HeapTuple tuple = SearchSysCache1(AUTHNAME, CStringGetDatum(role));
  if (!HeapTupleIsValid(tuple)) {
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("role \"%s\" does not exist", role),
                    errhint("CREATE ROLE %s LOGIN REPLICATION;", quote_identifier(role))));
  }
  const auto* form = reinterpret_cast<Form_pg_authid>(GETSTRUCT(tuple));
  const bool is_superuser = form->rolsuper;
  const bool logs_in = form->rolcanlogin;
  const bool replicates = form->rolreplication;
  ReleaseSysCache(tuple);

  if (is_superuser) {
    ereport(ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("role \"%s\" is a superuser", role),
             errdetail("A peer needs a few rights only, and nothing need be granted to a "
                       "superuser."),
             errhint("Make a role for the peers alone: CREATE ROLE pgfed_peer LOGIN "
                     "REPLICATION;")));
  }
  if (logs_in && replicates) return;
  ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                  errmsg("role \"%s\" cannot be a peer's role yet", role),
                  errdetail("It lacks %s.", logs_in      ? "REPLICATION"
                                            : replicates ? "LOGIN"
                                                         : "LOGIN and REPLICATION"),
                  errhint("ALTER ROLE %s LOGIN REPLICATION;", quote_identifier(role))));
}

void announce(const char* event, const char* role, bool rewind) {
  core::Record record;
  record.severity = core::Severity::info;
  record.event = event;
  record.detail = psprintf("role %s%s", role, rewind ? ", with rewind" : "");
  record_at_commit(record);
}

}  // namespace

PGFED_FUNCTION(pgfed_allow_peer) {
  require_writable("pgfed.allow_peer()");
  require_superuser("pgfed.allow_peer()");
  const char* role = role_argument(fcinfo);
  const bool rewind = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1);
  check_peer_role(role);

  SPI_connect();
  grant_or_revoke(true, psprintf(kConnect, quote_identifier(setting::database)), role);
  for (const char* privileges : kNeeded) grant_or_revoke(true, privileges, role);
  if (rewind) grant_or_revoke(true, kForRewind, role);
  SPI_finish();
  announce("peer_allowed", role, rewind);
  PG_RETURN_VOID();
}

PGFED_FUNCTION(pgfed_revoke_peer) {
  require_writable("pgfed.revoke_peer()");
  require_superuser("pgfed.revoke_peer()");
  const char* role = role_argument(fcinfo);
  get_role_oid(role, false);

  SPI_connect();
  grant_or_revoke(false, psprintf(kConnect, quote_identifier(setting::database)), role);
  for (const char* privileges : kNeeded) grant_or_revoke(false, privileges, role);
  grant_or_revoke(false, kForRewind, role);
  SPI_finish();
  announce("peer_revoked", role, false);
  PG_RETURN_VOID();
}

}  // namespace pgfed::pg
