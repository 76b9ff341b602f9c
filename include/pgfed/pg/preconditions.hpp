#pragma once

#include <cstddef>

#include "pgfed/core/node.hpp"
#include "pgfed/pg/postgres_api.hpp"
#include "pgfed/pg/shared_copy.hpp"

/// What must hold before a function of pgfed does anything. Postgres regime.
namespace pgfed::pg {

/// ereport(ERROR) 55000 unless this is pgfed.database.
void require_database();

/// What every function that writes needs, in the order in which it helps to know: pgfed preloaded
/// (55000), a server that is no standby (25006, with a hint that names the primary), a transaction
/// that may write (25006), the right database (55000). `function` is named in errors, such as
/// "pgfed.add_node()".
void require_writable(const char* function);

/// The same for the functions that change the federation, which two primaries in sight forbid as
/// well (55000): who the writer is must be settled before anything is written that all are to follow.
void require_changeable(const char* function);

/// The nodes that the federation consists of: not those of another cluster, whose dump this is, nor
/// rows that are left out of it. ereport(ERROR) 55000 where there are none. require_preload() first.
NodesCopy require_nodes();

/// The node among these that the client certificate of this session names by its CN; empty where it
/// names none, or there is no certificate.
core::Name certificate_node(const core::NodeSpec* nodes, std::size_t count);

/// The same of a node that is in no table yet: a CN that could be a node's name, and is not that of
/// the role that logged in, as it is where all nodes share one certificate.
core::Name certificate_newcomer();

}  // namespace pgfed::pg
