// add_node(), set_node(), remove_node(), join(), adopt(): the only ways to change pgfed.nodes. The
// table is read as it is, core::NodeRegistry decides, and what it says is written; all under a lock
// that keeps other writers away, but no reader.

#include "pgfed/core/node_registry.hpp"
#include "pgfed/net/conninfo.hpp"
#include "pgfed/pg/boundary.hpp"
#include "pgfed/pg/commit_actions.hpp"
#include "pgfed/pg/entry.hpp"
#include "pgfed/pg/node_table.hpp"
#include "pgfed/pg/preconditions.hpp"
#include "pgfed/pg/row.hpp"
#include "pgfed/pg/settings.hpp"
#include "pgfed/pg/shared_copy.hpp"

namespace pgfed::pg {
namespace {

/// What a caller gave; what it left NULL is absent. Views of palloc'd text.
struct Given {
  std::optional<std::string_view> name;
  std::optional<std::string_view> host;
  std::optional<std::int32_t> port;
  std::optional<std::string_view> site;
  std::optional<std::string_view> upstream;
  std::optional<std::string_view> options;
};
static_assert(std::is_trivially_destructible_v<Given>);

/// What may be asked of the registry.
enum class Wish { add, set, join };

struct Decision {
  core::NodeSpec node;
  core::NodeSpec before;  ///< the row as it is, if it exists
  bool exists = false;    ///< there is a row of this name
  bool differs = false;   ///< and it is to become another one
  bool moves = false;     ///< its host or port is to become another one
};

struct TablesInUse {
  NodeTables tables;
  NodeRows rows;
};

std::optional<std::string_view> text_argument(FunctionCallInfo fcinfo, int index) {
  if (PG_NARGS() <= index || PG_ARGISNULL(index)) return std::nullopt;
  text* value = PG_GETARG_TEXT_PP(index);
  return std::string_view(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
}

std::optional<std::int32_t> int_argument(FunctionCallInfo fcinfo, int index) {
  if (PG_NARGS() <= index || PG_ARGISNULL(index)) return std::nullopt;
  return PG_GETARG_INT32(index);
}

/// The arguments that add_node(), set_node() and join() share, in their common order.
Given node_arguments(FunctionCallInfo fcinfo) {
  Given given;
  given.name = text_argument(fcinfo, 0);
  given.host = text_argument(fcinfo, 1);
  given.port = int_argument(fcinfo, 2);
  given.site = text_argument(fcinfo, 3);
  given.upstream = text_argument(fcinfo, 4);
  given.options = text_argument(fcinfo, 5);
  return given;
}

void require_argument(bool present, const char* name) {
  if (present) return;
  ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                  errmsg("argument \"%s\" must not be null", name)));
}

/// Locks the table against other writers and reads it. `foreign_too`: even if it belongs to another
/// cluster.
TablesInUse open_tables(bool foreign_too) {
  TablesInUse used;
  used.tables = find_node_tables();
  if (used.tables.state == core::CatalogState::ready) {
    LockRelationOid(used.tables.nodes, ShareRowExclusiveLock);
    if (!read_node_tables(used.tables, used.rows, true)) {
      ereport(ERROR,
              (errcode(ERRCODE_OBJECT_IN_USE),
               errmsg("the extension pgfed has just been made anew"), errhint("Try again.")));
    }
  }
  if (used.tables.state == core::CatalogState::foreign && !foreign_too) {
    ereport(ERROR,
            (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
             errmsg("pgfed.nodes belongs to another cluster"),
             errdetail("Its system identifier is " UINT64_FORMAT
                       ", that of this server " UINT64_FORMAT ".",
                       used.rows.system_identifier, GetSystemIdentifier()),
             errhint("If this cluster is the federation from now on: SELECT pgfed.adopt();")));
  }
  if (used.tables.state == core::CatalogState::no_extension) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("the extension pgfed does not exist in this database"),
                    errhint("CREATE EXTENSION pgfed;")));
  }
  if (used.tables.state == core::CatalogState::bad_table) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("pgfed.nodes is not the table that the extension made"),
                    errdetail("The problem with it: %s.", used.tables.problem),
                    errhint("DROP EXTENSION pgfed CASCADE; CREATE EXTENSION pgfed; and add the "
                            "nodes again.")));
  }
  return used;
}

/// C++ regime.
/// C++ regime. A node that joins from another host leaves its old address behind: with it in the
/// options, every node would go on dialling that one.
void drop_address(core::NodeInput& input) {
  net::Keywords& options = input.parsed_options;
  if (std::erase_if(options, [](const auto& option) { return option.first == "hostaddr"; }) == 0) {
    return;
  }
  input.options = net::format_conninfo(options);
}

/// C++ regime.
core::Result<Decision> decide(Wish wish, const Given& given, const NodeRows& rows,
                              std::size_t max_nodes) {
  core::NodeRegistry registry(max_nodes);
  registry.assign(std::vector<core::NodeSpec>(rows.rows, rows.rows + rows.count));
  const core::NodeSpec* known = registry.find(*given.name);
  const bool joins = wish == Wish::join;
  if (joins) wish = known != nullptr ? Wish::set : Wish::add;

  core::NodeInput input;
  if (wish == Wish::set && known != nullptr) input = core::as_typed(*known);
  input.name = *given.name;
  if (given.host) input.host = *given.host;
  if (given.port) input.port = *given.port;
  if (given.site) input.site = *given.site;
  if (given.upstream) input.upstream = *given.upstream;
  if (given.options) input.options = *given.options;
  core::Result<net::Keywords> options = net::parse_conninfo(input.options);
  if (!options) {
    core::Error error = options.error();
    error.message = "options could not be parsed";
    return error;
  }
  input.parsed_options = std::move(options.value());
  if (joins && known != nullptr && known->host != input.host) drop_address(input);

  const core::Result<core::NodeSpec> node =
      wish == Wish::add ? registry.add(input) : registry.change(input);
  if (!node) return node.error();
  Decision decision;
  decision.node = node.value();
  decision.exists = known != nullptr;
  if (known != nullptr) decision.before = *known;
  decision.differs = known != nullptr && !(*known == decision.node);
  decision.moves =
      known != nullptr && (known->host != decision.node.host || known->port != decision.node.port);
  return decision;
}

Decision decide_or_raise(Wish wish, const Given& given, const NodeRows& rows) {
  Decision decision;
  BoxedError error;
  const auto max_nodes = static_cast<std::size_t>(setting::max_nodes);
  run_cpp(error, [&](BoxedError& box) {
    const core::Result<Decision> decided = decide(wish, given, rows, max_nodes);
    if (decided) {
      decision = decided.value();
    } else {
      box.set(decided.error());
    }
  });
  if (error.raised) raise_boxed(error);
  return decision;
}

/// Runs one statement as the owner of pgfed.nodes: who may call the function may do what it does,
/// and needs no rights on the table. Returns the number of rows.
std::uint64_t write_as_owner(const NodeTables& tables, const char* statement, int count, Oid* types,
                             Datum* values, const char* nulls) {
  HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(tables.nodes));
  if (!HeapTupleIsValid(tuple)) elog(ERROR, "cache lookup failed for pgfed.nodes");
  const Oid owner = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relowner;
  ReleaseSysCache(tuple);

  Oid user = InvalidOid;
  int context = 0;
  GetUserIdAndSecContext(&user, &context);
  SetUserIdAndSecContext(owner, context | SECURITY_LOCAL_USERID_CHANGE);
  SPI_connect();
  const int result = SPI_execute_with_args(statement, count, types, values, nulls, false, 0);
  if (result < 0) elog(ERROR, "writing pgfed's tables failed: %s", SPI_result_code_string(result));
  const std::uint64_t processed = SPI_processed;
  SPI_finish();
  SetUserIdAndSecContext(user, context);
  return processed;
}

void write_node(const NodeTables& tables, const char* statement, const core::NodeSpec& node) {
  Oid types[] = {TEXTOID, TEXTOID, INT4OID, TEXTOID, TEXTOID, TEXTOID};
  Datum values[] = {text_datum(node.name.view()),     text_datum(node.host.view()),
                    Int32GetDatum(node.port),         text_datum(node.site.view()),
                    text_datum(node.upstream.view()), text_datum(node.options.view())};
  const char nulls[] = {' ', ' ', ' ', ' ', node.upstream.empty() ? 'n' : ' ', ' ', '\0'};
  if (write_as_owner(tables, statement, lengthof(types), types, values, nulls) != 1) {
    // The latest snapshot has the row, that of a serializable transaction does not.
    ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                    errmsg("could not serialize access due to concurrent update")));
  }
}

/// The first node makes the table this cluster's.
void claim_cluster(const TablesInUse& used) {
  if (used.rows.system_identifier != 0) return;
  Oid types[] = {INT8OID};
  Datum values[] = {Int64GetDatum(static_cast<std::int64_t>(GetSystemIdentifier()))};
  write_as_owner(used.tables, "INSERT INTO pgfed.cluster (system_identifier) VALUES ($1)", 1, types,
                 values, nullptr);
}

void announce(const char* event, const core::Name& node, const char* detail) {
  core::Record record;
  record.severity = core::Severity::info;
  record.event = event;
  record.node = node;
  record.detail = detail;
  record_at_commit(record);
  wake_catalog_worker_at_commit();
}

void announce_node(const char* event, const core::NodeSpec& node) {
  StringInfoData detail;
  initStringInfo(&detail);
  appendStringInfo(&detail, "host %s, port %u, site %s", node.host.c_str(), node.port,
                   node.site.c_str());
  if (!node.upstream.empty()) appendStringInfo(&detail, ", upstream %s", node.upstream.c_str());
  if (!node.options.empty()) appendStringInfo(&detail, ", options %s", node.options.c_str());
  announce(event, node.name, detail.data);
}

void carry_out(const TablesInUse& used, const Decision& decision) {
  claim_cluster(used);
  if (!decision.exists) {
    write_node(used.tables,
               "INSERT INTO pgfed.nodes (name, host, port, site, upstream, options) "
               "VALUES ($1, $2, $3, $4, $5, $6)",
               decision.node);
    announce_node("node_added", decision.node);
  } else if (decision.differs) {
    write_node(used.tables,
               "UPDATE pgfed.nodes SET host = $2, port = $3, site = $4, upstream = $5, "
               "options = $6 WHERE name OPERATOR(pg_catalog.=) $1",
               decision.node);
    announce_node("node_changed", decision.node);
  }
}

/// Under a certificate that names a node, that node's row only.
void check_certificate(std::string_view name, const NodeRows& rows) {
  core::Name named = certificate_node(rows.rows, rows.count);
  if (named.empty()) named = certificate_newcomer();
  if (named.empty() || named == name) return;
  ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                  errmsg("the client certificate names node \"%s\"", named.c_str()),
                  errdetail("A node adds or changes its own row only.")));
}

[[noreturn]] void refuse_unknown(const core::Name& name, const char* detail) {
  ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                  errmsg("it is not known whether node \"%s\" is alive", name.c_str()),
                  errdetail_internal("%s", detail),
                  errhint("See pgfed.checks and try again; if the node has moved, a superuser can "
                          "say so with pgfed.set_node().")));
}

[[noreturn]] void refuse_alive(const core::NodeSpec& node, const char* detail) {
  ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                  errmsg("node \"%s\" is alive at another address", node.name.c_str()),
                  errdetail_internal("%s", detail),
                  errhint("If this is another server, give it another pgfed.node_name; if the "
                          "node has moved, a superuser can say so with pgfed.set_node().")));
}

/// Whether the node told this server lately what it sees, though it is not reached itself.
bool was_heard(const core::Name& name) {
  for (const core::LinkRow& link : copy_links()) {
    if (link.observer == name && link.connected) return true;
  }
  return false;
}

/// What keeps this server from telling the living from the dead, or null.
const char* blindness() {
  if (worker_silence() > 0) return "The worker \"pgfed\" of this server is silent.";
  if (static_cast<core::Mode>(setting::mode) == core::Mode::off) return "pgfed.mode is off here.";
  const auto identity = static_cast<core::Identity>(pg_atomic_read_u32(&shared.control->identity));
  if (identity != core::Identity::confirmed && identity != core::Identity::observing) {
    return "This server has not made sure of its own identity.";
  }
  return nullptr;
}

/// Nobody takes the place of a node, unless this server sees that there is nobody at it.
void check_may_move(const core::NodeSpec& node) {
  if (node.name == setting::node_name) refuse_alive(node, "It is this server.");
  if (const char* reason = blindness()) refuse_unknown(node.name, reason);

  const Copied<NodeEntry> entries = copy_federation();
  const auto* entry = std::find_if(entries.begin(), entries.end(), [&](const NodeEntry& other) {
    return other.peer.node == node.name;
  });
  // What was seen must have been seen at the address that the row has now.
  if (entry == entries.end() || entry->row.state == core::State::unknown ||
      entry->peer.host != node.host || entry->peer.port != node.port) {
    refuse_unknown(node.name, "This server has not looked at it yet.");
  }
  constexpr std::int64_t kIntervals = 3;
  const std::int64_t fresh = kIntervals * setting::peer_interval * 1000;
  const bool seen = core::happened(entry->peer.last_seen) &&
                    Clocks::read().age_us(entry->peer.last_seen) <= fresh;
  // Past these stages somebody took the connection there and spoke to this server, such as a
  // Postgres that refused the login.
  const bool refused =
      entry->peer.stage == core::Stage::authenticate || entry->peer.stage == core::Stage::query;
  if (entry->row.state != core::State::unreachable || seen || refused) {
    refuse_alive(
        node, psprintf("A server answers at host \"%s\", port %u.", node.host.c_str(), node.port));
  }
  if (was_heard(node.name)) {
    refuse_alive(node, "It is not reached from here, but it reaches this server.");
  }
}

}  // namespace

PGFED_FUNCTION(pgfed_add_node) {
  require_changeable("pgfed.add_node()");
  const Given given = node_arguments(fcinfo);
  require_argument(given.name.has_value(), "name");
  require_argument(given.host.has_value(), "host");
  const TablesInUse used = open_tables(false);
  carry_out(used, decide_or_raise(Wish::add, given, used.rows));
  PG_RETURN_VOID();
}

PGFED_FUNCTION(pgfed_set_node) {
  require_changeable("pgfed.set_node()");
  const Given given = node_arguments(fcinfo);
  require_argument(given.name.has_value(), "name");
  const TablesInUse used = open_tables(false);
  carry_out(used, decide_or_raise(Wish::set, given, used.rows));
  PG_RETURN_VOID();
}

PGFED_FUNCTION(pgfed_join) {
  require_changeable("pgfed.join()");
  const Given given = node_arguments(fcinfo);
  require_argument(given.name.has_value(), "name");
  require_argument(given.host.has_value(), "host");
  require_argument(given.port.has_value(), "port");
  require_argument(given.site.has_value(), "site");
  const TablesInUse used = open_tables(false);
  check_certificate(*given.name, used.rows);
  const Decision decision = decide_or_raise(Wish::join, given, used.rows);
  if (decision.moves) check_may_move(decision.before);
  carry_out(used, decision);
  PG_RETURN_VOID();
}

PGFED_FUNCTION(pgfed_remove_node) {
  require_changeable("pgfed.remove_node()");
  const std::optional<std::string_view> name = text_argument(fcinfo, 0);
  require_argument(name.has_value(), "name");
  const TablesInUse used = open_tables(false);

  BoxedError error;
  const auto max_nodes = static_cast<std::size_t>(setting::max_nodes);
  run_cpp(error, [&](BoxedError& box) {
    core::NodeRegistry registry(max_nodes);
    registry.assign(std::vector<core::NodeSpec>(used.rows.rows, used.rows.rows + used.rows.count));
    const core::Outcome outcome = registry.remove(*name);
    if (!outcome) box.set(outcome.error());
  });
  // A row that the registry leaves out, as a restored table may have, can be removed all the same.
  const bool unknown = error.raised && error.sqlstate == core::sqlstate::kUndefinedObject;
  if (error.raised && !unknown) raise_boxed(error);

  Oid types[] = {TEXTOID};
  Datum values[] = {PointerGetDatum(cstring_to_text_with_len(name->data(), name->size()))};
  const std::uint64_t removed =
      write_as_owner(used.tables, "DELETE FROM pgfed.nodes WHERE name OPERATOR(pg_catalog.=) $1", 1,
                     types, values, nullptr);
  if (removed == 0 && unknown) raise_boxed(error);
  if (removed == 0) {
    ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                    errmsg("could not serialize access due to concurrent update")));
  }
  announce("node_removed", core::Name(*name), "");
  PG_RETURN_VOID();
}

PGFED_FUNCTION(pgfed_adopt) {
  require_changeable("pgfed.adopt()");
  const TablesInUse used = open_tables(true);
  const std::uint64_t own = GetSystemIdentifier();
  if (used.rows.system_identifier == own) PG_RETURN_VOID();

  Oid types[] = {INT8OID};
  Datum values[] = {Int64GetDatum(static_cast<std::int64_t>(own))};
  if (used.rows.system_identifier == 0) {
    claim_cluster(used);
  } else {
    write_as_owner(used.tables, "UPDATE pgfed.cluster SET system_identifier = $1", 1, types, values,
                   nullptr);
  }
  char detail[64];
  std::snprintf(detail, sizeof detail, "system identifier %llu",
                static_cast<unsigned long long>(own));
  announce("cluster_adopted", core::Name(), detail);
  PG_RETURN_VOID();
}

}  // namespace pgfed::pg
