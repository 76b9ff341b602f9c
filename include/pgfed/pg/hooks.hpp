#pragma once

/// The hooks that pgfed puts into the server, besides those of shared memory. Installed once, by the
/// postmaster, from _PG_init.
namespace pgfed::pg {

/// Sees to it that commands which need pgfed.database alone have it at once, that the catalog worker
/// looks when databases and extensions come and go, and that ALTER EXTENSION pgfed UPDATE waits
/// until every node has the library for it.
void install_utility_hook();

/// Keeps statements that would put a password into pgfed.conninfo out of the server log.
void install_log_filter();

}  // namespace pgfed::pg
