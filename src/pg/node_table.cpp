#include "pgfed/pg/node_table.hpp"

#include "pgfed/pg/compat.hpp"

namespace pgfed::pg {
namespace {

/// Longest text of a column that is looked at at all; what is longer fits into no field.
constexpr std::size_t kMaxColumnBytes = 1023;

constexpr int kNodeColumns = 6;
constexpr const char* kNodeColumnNames[kNodeColumns] = {"name", "host",     "port",
                                                        "site", "upstream", "options"};
constexpr Oid kNodeColumnTypes[kNodeColumns] = {TEXTOID, TEXTOID, INT4OID,
                                                TEXTOID, TEXTOID, TEXTOID};

/// The extension's row of pg_extension; there is no syscache on it before version 18.
void find_extension(NodeTables& tables) {
  Relation relation = table_open(ExtensionRelationId, AccessShareLock);
  ScanKeyData key;
  ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
              CStringGetDatum("pgfed"));
  SysScanDesc scan = systable_beginscan(relation, ExtensionNameIndexId, true, nullptr, 1, &key);
  HeapTuple tuple = systable_getnext(scan);
  if (HeapTupleIsValid(tuple)) {
    const auto* form = reinterpret_cast<Form_pg_extension>(GETSTRUCT(tuple));
    tables.extension = form->oid;
    tables.extension_owner = form->extowner;
    bool is_null = true;
    const Datum version =
        heap_getattr(tuple, Anum_pg_extension_extversion, RelationGetDescr(relation), &is_null);
    if (!is_null) tables.extension_version = core::VersionText(TextDatumGetCString(version));
  }
  systable_endscan(scan);
  table_close(relation, AccessShareLock);
}

/// Null where the relation is an ordinary, permanent table that belongs to the extension.
const char* table_problem(Oid relation, Oid extension, const char* missing) {
  if (!OidIsValid(relation)) return missing;
  HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
  if (!HeapTupleIsValid(tuple)) return missing;
  const auto* form = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple));
  const bool ordinary = form->relkind == RELKIND_RELATION &&
                        form->relpersistence == RELPERSISTENCE_PERMANENT &&
                        form->relam == HEAP_TABLE_AM_OID && !form->relispartition;
  ReleaseSysCache(tuple);
  if (!ordinary) return "it is not an ordinary table";
  if (getExtensionOfObject(RelationRelationId, relation) != extension) {
    return "it does not belong to the extension pgfed";
  }
  return nullptr;
}

/// The attribute number of a live column of this name and type, or 0.
AttrNumber find_column(TupleDesc descriptor, const char* name, Oid type) {
  for (int i = 0; i < descriptor->natts; ++i) {
    Form_pg_attribute attribute = TupleDescAttr(descriptor, i);
    if (attribute->attisdropped || attribute->atttypid != type) continue;
    if (strcmp(NameStr(attribute->attname), name) == 0) return attribute->attnum;
  }
  return 0;
}

/// Copies a column of type text into `out`; false where it does not fit. NULL reads as empty.
template <std::size_t N>
bool take_text(TupleTableSlot* slot, AttrNumber column, core::Text<N>& out) {
  bool is_null = true;
  const Datum datum = slot_getattr(slot, column, &is_null);
  out.clear();
  if (is_null) return true;
  if (toast_raw_datum_size(datum) - VARHDRSZ > kMaxColumnBytes) return false;
  text* value = DatumGetTextPP(datum);
  const std::size_t length = VARSIZE_ANY_EXHDR(value);
  if (length > N - 1) return false;
  char copy[kMaxColumnBytes + 1];
  memcpy(copy, VARDATA_ANY(value), length);
  if (GetDatabaseEncoding() != PG_UTF8) {
    for (std::size_t i = 0; i < length; ++i) {
      if (static_cast<unsigned char>(copy[i]) >= 0x80) copy[i] = '?';
    }
  }
  out.assign(std::string_view(copy, length));
  return true;
}

bool take_row(TupleTableSlot* slot, const AttrNumber* columns, core::NodeSpec& spec) {
  bool is_null = true;
  const Datum port = slot_getattr(slot, columns[2], &is_null);
  if (is_null || DatumGetInt32(port) < 1 || DatumGetInt32(port) > 65535) return false;
  spec.port = static_cast<std::uint16_t>(DatumGetInt32(port));
  return take_text(slot, columns[0], spec.name) && take_text(slot, columns[1], spec.host) &&
         take_text(slot, columns[3], spec.site) && take_text(slot, columns[4], spec.upstream) &&
         take_text(slot, columns[5], spec.options) && !spec.name.empty() && !spec.host.empty();
}

/// Null, or what is wrong with the table.
const char* read_nodes(Oid oid, Snapshot snapshot, NodeRows& rows) {
  Relation relation = table_open(oid, NoLock);
  AttrNumber columns[kNodeColumns];
  for (int i = 0; i < kNodeColumns; ++i) {
    columns[i] = find_column(RelationGetDescr(relation), kNodeColumnNames[i], kNodeColumnTypes[i]);
    if (columns[i] == 0) {
      table_close(relation, NoLock);
      return "it lacks a column that this library knows";
    }
  }

  std::size_t capacity = 32;
  rows.rows = static_cast<core::NodeSpec*>(palloc0(capacity * sizeof(core::NodeSpec)));
  TupleTableSlot* slot = table_slot_create(relation, nullptr);
  TableScanDesc scan = compat::begin_table_scan(relation, snapshot);
  while (table_scan_getnextslot(scan, ForwardScanDirection, slot)) {
    CHECK_FOR_INTERRUPTS();
    core::NodeSpec spec;
    if (!take_row(slot, columns, spec)) {
      ++rows.left_out;
      continue;
    }
    if (rows.count == capacity) {
      capacity *= 2;
      rows.rows =
          static_cast<core::NodeSpec*>(repalloc_huge(rows.rows, capacity * sizeof(core::NodeSpec)));
    }
    memcpy(static_cast<void*>(&rows.rows[rows.count++]), &spec, sizeof spec);
  }
  table_endscan(scan);
  ExecDropSingleTupleTableSlot(slot);
  table_close(relation, NoLock);
  return nullptr;
}

const char* read_cluster(Oid oid, Snapshot snapshot, NodeRows& rows) {
  Relation relation = table_open(oid, NoLock);
  const AttrNumber column = find_column(RelationGetDescr(relation), "system_identifier", INT8OID);
  if (column == 0) {
    table_close(relation, NoLock);
    return "pgfed.cluster lacks a column that this library knows";
  }
  TupleTableSlot* slot = table_slot_create(relation, nullptr);
  TableScanDesc scan = compat::begin_table_scan(relation, snapshot);
  while (table_scan_getnextslot(scan, ForwardScanDirection, slot)) {
    bool is_null = true;
    const Datum value = slot_getattr(slot, column, &is_null);
    if (!is_null) rows.system_identifier = static_cast<std::uint64_t>(DatumGetInt64(value));
  }
  table_endscan(scan);
  ExecDropSingleTupleTableSlot(slot);
  table_close(relation, NoLock);
  return nullptr;
}

bool lock_table(Oid oid, bool wait) {
  if (wait) {
    LockRelationOid(oid, AccessShareLock);
    return true;
  }
  return ConditionalLockRelationOid(oid, AccessShareLock);
}

}  // namespace

NodeTables find_node_tables() {
  NodeTables tables;
  find_extension(tables);
  if (!OidIsValid(tables.extension)) return tables;

  tables.state = core::CatalogState::bad_table;
  tables.schema = get_namespace_oid("pgfed", true);
  if (!OidIsValid(tables.schema)) {
    tables.problem = "schema pgfed does not exist";
    return tables;
  }
  tables.nodes = get_relname_relid("nodes", tables.schema);
  tables.problem = table_problem(tables.nodes, tables.extension, "it does not exist");
  if (tables.problem != nullptr) return tables;
  tables.cluster = get_relname_relid("cluster", tables.schema);
  if (table_problem(tables.cluster, tables.extension, "") != nullptr) {
    tables.problem = "pgfed.cluster is not the table that the extension made";
    return tables;
  }
  tables.state = core::CatalogState::ready;
  return tables;
}

bool read_node_tables(NodeTables& tables, NodeRows& rows, bool wait) {
  rows = NodeRows{};
  if (tables.state != core::CatalogState::ready) return true;
  const Oid nodes = tables.nodes;
  const Oid cluster = tables.cluster;
  if (!lock_table(nodes, wait) || !lock_table(cluster, wait)) return false;

  tables = find_node_tables();
  if (tables.state != core::CatalogState::ready) return true;
  // Dropped and made again between the look-up and the lock: not now, the next look will find it.
  if (tables.nodes != nodes || tables.cluster != cluster) return false;

  Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  tables.problem = read_nodes(nodes, snapshot, rows);
  if (tables.problem == nullptr) tables.problem = read_cluster(cluster, snapshot, rows);
  UnregisterSnapshot(snapshot);
  if (tables.problem != nullptr) {
    tables.state = core::CatalogState::bad_table;
    rows = NodeRows{};
    return true;
  }
  if (rows.system_identifier != 0 && rows.system_identifier != GetSystemIdentifier()) {
    tables.state = core::CatalogState::foreign;
  }
  return true;
}

}  // namespace pgfed::pg
