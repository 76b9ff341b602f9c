#include "pgfed/pg/compat.hpp"

namespace pgfed::pg::compat {

TableScanDesc begin_table_scan(Relation relation, Snapshot snapshot) {
  return table_beginscan(relation, snapshot, 0, nullptr);
}

WaitEventSet* create_wait_event_set(int events) {
#if PG_VERSION_NUM >= 170000
  return CreateWaitEventSet(nullptr, events);
#else
  return CreateWaitEventSet(TopMemoryContext, events);
#endif
}

int own_proc_number() {
#if PG_VERSION_NUM >= 170000
  return MyProcNumber;
#else
  return MyProc->pgprocno;
#endif
}

Latch* latch_of(int proc_number) { return &GetPGProcByNumber(proc_number)->procLatch; }

int proc_count() { return static_cast<int>(ProcGlobal->allProcCount); }

uint32 wait_event([[maybe_unused]] const char* name) {
#if PG_VERSION_NUM >= 170000
  return WaitEventExtensionNew(name);
#else
  return PG_WAIT_EXTENSION;
#endif
}

bool owns_database(Oid database) {
#if PG_VERSION_NUM >= 160000
  return object_ownercheck(DatabaseRelationId, database, GetUserId());
#else
  return pg_database_ownercheck(database, GetUserId());
#endif
}

bool owns_extension(Oid extension) {
#if PG_VERSION_NUM >= 160000
  return object_ownercheck(ExtensionRelationId, extension, GetUserId());
#else
  return pg_extension_ownercheck(extension, GetUserId());
#endif
}

bool has_transaction_timeout() { return PG_VERSION_NUM >= 170000; }

bool may_create_databases() {
  if (superuser()) return true;
  HeapTuple tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
  if (!HeapTupleIsValid(tuple)) return false;
  const bool may = reinterpret_cast<Form_pg_authid>(GETSTRUCT(tuple))->rolcreatedb;
  ReleaseSysCache(tuple);
  return may;
}

bool is_template_database(Oid database) {
  HeapTuple tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
  if (!HeapTupleIsValid(tuple)) return false;
  const bool is_template = reinterpret_cast<Form_pg_database>(GETSTRUCT(tuple))->datistemplate;
  ReleaseSysCache(tuple);
  return is_template;
}

bool is_broken_database([[maybe_unused]] Form_pg_database database) {
#ifdef DATCONNLIMIT_INVALID_DB
  return database->datconnlimit == DATCONNLIMIT_INVALID_DB;
#else
  return false;
#endif
}

const char* hba_file_expression() {
  return PG_VERSION_NUM >= 160000 ? "r.file_name" : "pg_catalog.current_setting('hba_file')";
}

const char* hba_order_expression() {
  return PG_VERSION_NUM >= 160000 ? "r.rule_number" : "r.line_number";
}

}  // namespace pgfed::pg::compat
