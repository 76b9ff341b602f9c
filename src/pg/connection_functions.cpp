// connection_string() and standby_settings(): how applications and standbys connect. Both read
// shared memory, so that they answer on every node, and neither shows a secret: pgfed.conninfo holds
// none.

#include "pgfed/core/node.hpp"
#include "pgfed/net/conninfo.hpp"
#include "pgfed/pg/boundary.hpp"
#include "pgfed/pg/entry.hpp"
#include "pgfed/pg/preconditions.hpp"
#include "pgfed/pg/row.hpp"
#include "pgfed/pg/settings.hpp"
#include "pgfed/pg/shared_copy.hpp"

namespace pgfed::pg {
namespace {

constexpr std::string_view kSessionAttributes[] = {"any",     "read-write", "read-only",
                                                   "primary", "standby",    "prefer-standby"};

/// Text that the C++ regime writes into memory that was palloc'd before: its most is known.
struct TextBuffer {
  char* bytes = nullptr;
  std::size_t capacity = 0;
  std::size_t length = 0;

  void allocate(std::size_t most) {
    bytes = static_cast<char*>(palloc(most));
    capacity = most;
  }
  /// C++ regime.
  void take(const std::string& text) {
    if (text.size() > capacity) throw std::length_error("a connection string is too long");
    std::memcpy(bytes, text.data(), text.size());
    length = text.size();
  }
  [[nodiscard]] std::string_view view() const { return {bytes, length}; }
};

/// The node that is seen as the only running primary, or null.
const core::NodeSpec* find_primary(const NodesCopy& known, const Copied<NodeEntry>& entries) {
  const core::NodeSpec* primary = nullptr;
  for (const NodeEntry& entry : entries) {
    if (entry.row.role != core::Role::primary || entry.row.state != core::State::running) continue;
    for (const core::NodeSpec& node : known.nodes) {
      if (!(node.name == entry.row.node)) continue;
      if (primary != nullptr) return nullptr;
      primary = &node;
    }
  }
  return primary;
}

const core::NodeSpec* find_node(const NodesCopy& known, std::string_view name) {
  for (const core::NodeSpec& node : known.nodes) {
    if (node.name == name) return &node;
  }
  return nullptr;
}

/// C++ regime. What a node's options say of a keyword, or nothing.
std::string option_of(const core::NodeSpec& node, std::string_view keyword) {
  const core::Result<net::Keywords> options = net::parse_conninfo(node.options.str());
  return options ? std::string(net::value_of(options.value(), keyword)) : std::string();
}

/// C++ regime.
std::string connection_string(const std::vector<const core::NodeSpec*>& nodes,
                              std::string_view session_attributes) {
  std::string hosts;
  std::string addresses;
  std::string ports;
  bool any_address = false;
  for (const core::NodeSpec* node : nodes) {
    const char* comma = hosts.empty() ? "" : ",";
    const std::string address = option_of(*node, "hostaddr");
    any_address = any_address || !address.empty();
    hosts += comma + node->host.str();
    addresses += comma + address;
    ports += comma + std::to_string(node->port);
  }
  net::Keywords keywords = {{"host", hosts}};
  if (any_address) keywords.emplace_back("hostaddr", addresses);
  keywords.emplace_back("port", ports);
  keywords.emplace_back("target_session_attrs", session_attributes);
  return net::format_conninfo(keywords);
}

/// C++ regime. All nodes by name, the ones that are wanted most before the others: libpq tries them
/// in this order.
std::vector<const core::NodeSpec*> in_order(const NodesCopy& known, const core::NodeSpec* primary,
                                            bool primary_first) {
  std::vector<const core::NodeSpec*> nodes;
  for (const core::NodeSpec& node : known.nodes) nodes.push_back(&node);
  std::sort(nodes.begin(), nodes.end(), [&](const auto* left, const auto* right) {
    const bool left_first = (left == primary) == primary_first;
    const bool right_first = (right == primary) == primary_first;
    if (left_first != right_first) return left_first;
    return left->name.view() < right->name.view();
  });
  return nodes;
}

bool is_session_attribute(std::string_view text) {
  return std::find(std::begin(kSessionAttributes), std::end(kSessionAttributes), text) !=
         std::end(kSessionAttributes);
}

/// File names that a standby dials with, which lie on its own disk.
constexpr std::string_view kPathKeywords[] = {"sslrootcert", "sslcert", "sslkey"};

/// C++ regime.
void set_keyword(net::Keywords& keywords, std::string_view keyword, std::string_view value) {
  for (auto& [known, old] : keywords) {
    if (known == keyword) {
      old = value;
      return;
    }
  }
  keywords.emplace_back(keyword, value);
}

/// C++ regime. The keywords by which `node` streams from `upstream`; names in `local` those whose
/// files are named as they are on this server, since the node has not told of its own.
net::Keywords standby_keywords(const core::NodeSpec& upstream, std::string_view node,
                               const core::TlsPaths& paths, const net::Keywords& conninfo,
                               std::string& local) {
  net::Keywords keywords = {{"host", upstream.host.str()}};
  const core::Result<net::Keywords> options = net::parse_conninfo(upstream.options.str());
  if (options) {
    const std::string_view address = net::value_of(options.value(), "hostaddr");
    if (!address.empty()) set_keyword(keywords, "hostaddr", address);
  }
  set_keyword(keywords, "port", std::to_string(upstream.port));
  for (const auto& [keyword, value] : conninfo) {
    if (keyword != "dbname" && keyword != "application_name") set_keyword(keywords, keyword, value);
  }
  if (net::value_of(keywords, "sslmode").empty()) set_keyword(keywords, "sslmode", "verify-full");
  if (options) {
    for (const auto& [keyword, value] : options.value()) {
      if (net::value_of(keywords, keyword).empty()) set_keyword(keywords, keyword, value);
    }
  }

  const core::PathText* reported[] = {&paths.sslrootcert, &paths.sslcert, &paths.sslkey};
  for (std::size_t i = 0; i < std::size(kPathKeywords); ++i) {
    if (!reported[i]->empty()) {
      set_keyword(keywords, kPathKeywords[i], reported[i]->view());
    } else if (!net::value_of(keywords, kPathKeywords[i]).empty()) {
      local += (local.empty() ? "" : ", ") + std::string(kPathKeywords[i]);
    }
  }
  set_keyword(keywords, "application_name", node);
  return keywords;
}

/// The file names that a node reported of itself.
core::TlsPaths reported_paths(const core::Name& node, const Copied<NodeEntry>& entries) {
  for (const NodeEntry& entry : entries) {
    if (entry.peer.node == node) return entry.peer.paths;
  }
  return {};
}

bool slot_exists(const char* slot) {
  Oid types[] = {TEXTOID};
  Datum values[] = {CStringGetTextDatum(slot)};
  SPI_connect();
  const int result = SPI_execute_with_args(
      "SELECT FROM pg_catalog.pg_get_replication_slots() AS s "
      "WHERE s.slot_name::pg_catalog.text OPERATOR(pg_catalog.=) $1",
      1, types, values, nullptr, true, 1);
  if (result != SPI_OK_SELECT) elog(ERROR, "looking for the slot failed: %d", result);
  const bool exists = SPI_processed > 0;
  SPI_finish();
  return exists;
}

void notice_slot(const char* slot, const core::NodeSpec& upstream) {
  const char* command = psprintf("SELECT pg_create_physical_replication_slot('%s', true);", slot);
  if (!(upstream.name == setting::node_name)) {
    ereport(NOTICE, (errmsg("node \"%s\" must have the replication slot \"%s\"",
                            upstream.name.c_str(), slot),
                     errhint("If it is missing there: %s", command)));
  } else if (!slot_exists(slot)) {
    ereport(NOTICE, (errmsg("replication slot \"%s\" does not exist on this server", slot),
                     errhint("%s", command)));
  }
}

const core::NodeSpec& upstream_or_raise(const NodesCopy& known, const core::NodeSpec& node,
                                        const Copied<NodeEntry>& entries) {
  if (!node.upstream.empty()) {
    const core::NodeSpec* upstream = find_node(known, node.upstream.view());
    if (upstream != nullptr) return *upstream;
  }
  const core::NodeSpec* primary = find_primary(known, entries);
  if (primary == nullptr) {
    ereport(ERROR,
            (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
             errmsg("no single primary is seen that node \"%s\" could follow", node.name.c_str()),
             errhint("See pgfed.federation and pgfed.checks.")));
  }
  if (primary == &node) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("node \"%s\" is the primary", node.name.c_str()),
                    errdetail("A primary follows nobody."),
                    errhint("To make it a standby, promote another node first.")));
  }
  return *primary;
}

void store_setting(FunctionCallInfo fcinfo, const char* name, std::string_view setting) {
  Row row;
  row.add_text(name);
  row.add_text(setting);
  row.store(fcinfo);
}

}  // namespace

PGFED_FUNCTION(pgfed_connection_string) {
  require_preload();
  const char* attributes = text_to_cstring(PG_GETARG_TEXT_PP(0));
  if (!is_session_attribute(attributes)) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("invalid value for \"target_session_attrs\": \"%s\"", attributes),
                    errhint("Use any, read-write, read-only, primary, standby or "
                            "prefer-standby.")));
  }
  const NodesCopy known = require_nodes();
  const core::NodeSpec* primary = find_primary(known, copy_federation());
  const bool primary_first =
      strcmp(attributes, "read-write") == 0 || strcmp(attributes, "primary") == 0;

  TextBuffer text;
  // A host, an address and a port for each, with commas; every byte might be quoted.
  text.allocate(128 + known.nodes.count * 2 * (2 * sizeof(core::HostText) + 8));
  BoxedError error;
  run_cpp(error, [&](BoxedError&) {
    text.take(connection_string(in_order(known, primary, primary_first), attributes));
  });
  if (error.raised) raise_boxed(error);
  PG_RETURN_DATUM(text_datum(text.view()));
}

PGFED_FUNCTION(pgfed_standby_settings) {
  require_preload();
  InitMaterializedSRF(fcinfo, 0);
  const char* name = text_to_cstring(PG_GETARG_TEXT_PP(0));
  const NodesCopy known = require_nodes();
  const Copied<NodeEntry> entries = copy_federation();
  const core::NodeSpec* node = find_node(known, name);
  if (node == nullptr) {
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("node \"%s\" does not exist", name),
                    errhint("The nodes are listed by: SELECT name FROM pgfed.nodes.")));
  }
  const core::NodeSpec& upstream = upstream_or_raise(known, *node, entries);
  const core::TlsPaths paths = reported_paths(node->name, entries);
  const char* conninfo = setting::conninfo;

  TextBuffer text;
  text.allocate(1024 + 2 * (strlen(conninfo) + sizeof(core::NodeSpec) + sizeof(core::TlsPaths)));
  core::Text<64> slot;
  core::Text<64> local;
  BoxedError error;
  run_cpp(error, [&](BoxedError& box) {
    const core::Result<net::Keywords> own = net::parse_peer_conninfo(conninfo);
    if (!own) {
      box.set(own.error());
      return;
    }
    std::string local_keywords;
    text.take(net::format_conninfo(
        standby_keywords(upstream, node->name.view(), paths, own.value(), local_keywords)));
    local = local_keywords;
    slot = core::slot_name(node->name.view());
  });
  if (error.raised) raise_boxed(error);

  store_setting(fcinfo, "primary_conninfo", text.view());
  store_setting(fcinfo, "primary_slot_name", slot.view());
  store_setting(fcinfo, "recovery_target_timeline", "latest");
  store_setting(fcinfo, "hot_standby", "on");
  store_setting(fcinfo, "pgfed.node_name", node->name.view());

  if (!local.empty() && !(node->name == setting::node_name)) {
    ereport(NOTICE,
            (errmsg("node \"%s\" has not reported the names of its files", node->name.c_str()),
             errdetail("Those of this server are shown for %s.", local.c_str())));
  }
  notice_slot(slot.c_str(), upstream);
  return Datum{0};
}

}  // namespace pgfed::pg
