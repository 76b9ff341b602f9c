#pragma once

#include <cstddef>
#include <cstdint>

#include "pgfed/core/event.hpp"
#include "pgfed/core/node.hpp"
#include "pgfed/pg/postgres_api.hpp"

/// Reading pgfed.nodes and pgfed.cluster without SQL: no plan, operator, view or rule that somebody
/// else made can come between. Everything here is in the Postgres regime and needs a transaction.
namespace pgfed::pg {

/// Where the extension's tables are in this database.
struct NodeTables {
  /// no_extension, bad_table or ready; `foreign` is found by read_node_tables().
  core::CatalogState state = core::CatalogState::no_extension;
  const char* problem = nullptr;  ///< with bad_table: what is wrong, a static string
  Oid extension = InvalidOid;
  Oid extension_owner = InvalidOid;
  Oid schema = InvalidOid;
  Oid nodes = InvalidOid;
  Oid cluster = InvalidOid;
  core::VersionText extension_version;
};

/// Looks up the extension and its tables in the catalogs; takes no lock on the tables, so that what
/// it found must be looked up again once they are locked (read_node_tables does).
NodeTables find_node_tables();

struct NodeRows {
  core::NodeSpec* rows = nullptr;  ///< palloc'd; in the order of the heap, unchecked
  std::size_t count = 0;
  std::size_t left_out = 0;             ///< rows with a value that does not fit or is missing
  std::uint64_t system_identifier = 0;  ///< of pgfed.cluster; 0: it has no row yet
};

/// Locks both tables AccessShareLock until the end of the transaction, makes sure that they still
/// are what `tables` says (it is brought up to date), and reads them under the latest snapshot.
/// With `wait` false it returns false where a lock cannot be had at once. Where tables.state comes
/// out as something else than ready (or foreign: the table names another system identifier), `rows`
/// is empty or, if foreign, filled.
bool read_node_tables(NodeTables& tables, NodeRows& rows, bool wait);

}  // namespace pgfed::pg
