#pragma once

#include "pgfed/pg/postgres_api.hpp"

/// What differs between the versions of Postgres, in one place. Postgres regime.
namespace pgfed::pg::compat {

/// A plain sequential scan without scan keys.
TableScanDesc begin_table_scan(Relation relation, Snapshot snapshot);

/// A wait event set that lives as long as the process.
WaitEventSet* create_wait_event_set(int events);

/// This process's number in the array of PGPROCs, and the latch that belongs to such a number.
int own_proc_number();
Latch* latch_of(int proc_number);

/// How many PGPROCs there are.
int proc_count();

/// The wait event that pg_stat_activity shows; registered by name where Postgres can (17).
uint32 wait_event(const char* name);

/// Whether the current user owns the database or the extension, as a superuser does any.
bool owns_database(Oid database);
bool owns_extension(Oid extension);

/// Whether there is a setting transaction_timeout (17).
bool has_transaction_timeout();

/// Whether the current user is a superuser or has CREATEDB.
bool may_create_databases();
bool is_template_database(Oid database);

/// A database whose DROP was interrupted: it cannot be connected to.
bool is_broken_database(Form_pg_database database);

/// SQL expressions on a row r of pg_hba_file_rules(): the file (named there since 16) and the order of
/// the lines.
const char* hba_file_expression();
const char* hba_order_expression();

}  // namespace pgfed::pg::compat
