#include "pgfed/pg/preconditions.hpp"

#include "pgfed/core/node_registry.hpp"
#include "pgfed/pg/boundary.hpp"
#include "pgfed/pg/entry.hpp"
#include "pgfed/pg/row.hpp"
#include "pgfed/pg/settings.hpp"
#include "pgfed/pg/shared_copy.hpp"

namespace pgfed::pg {
namespace {

bool is_running_primary(const core::FederationRow& row) {
  return row.role == core::Role::primary && row.state == core::State::running;
}

/// The CN of this session's client certificate, or null.
const char* certificate_subject() {
  if (MyProcPort == nullptr || !MyProcPort->ssl_in_use || !MyProcPort->peer_cert_valid) {
    return nullptr;
  }
  return MyProcPort->peer_cn;
}

[[noreturn]] void refuse_on_standby(const char* function) {
  const NodeEntry* primary = nullptr;
  const Copied<NodeEntry> entries = copy_federation();
  for (const NodeEntry& entry : entries) {
    if (is_running_primary(entry.row)) primary = &entry;
  }
  ereport(ERROR, (errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
                  errmsg("cannot execute %s on a standby", function),
                  primary == nullptr
                      ? errhint("Call it on the primary.")
                      : errhint("Call it on the primary: node \"%s\", host \"%s\", port %u.",
                                primary->row.node.c_str(), primary->peer.host.c_str(),
                                primary->peer.port)));
}

void refuse_two_primaries(const char* function) {
  constexpr std::int64_t kIntervals = 3;
  const std::int64_t fresh =
      (kIntervals * setting::peer_interval + setting::peer_timeout) * std::int64_t{1000};
  const Copied<NodeEntry> entries = copy_federation();
  const Clocks clocks = Clocks::read();
  const core::FederationRow* first = nullptr;
  for (const NodeEntry& entry : entries) {
    const core::FederationRow& row = entry.row;
    if (!is_running_primary(row) || !core::happened(row.seen)) continue;
    if (clocks.age_us(row.seen) > fresh) continue;
    if (first == nullptr) {
      first = &row;
      continue;
    }
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("cannot execute %s while two primaries are seen", function),
                    errdetail("Nodes \"%s\" and \"%s\" both accept writes.", first->node.c_str(),
                              row.node.c_str()),
                    errhint("Stop the one that must not write, and make it a standby of the other "
                            "(see pgfed.checks).")));
  }
}

}  // namespace

void require_database() {
  const char* name = get_database_name(MyDatabaseId);
  if (name != nullptr && strcmp(name, setting::database) == 0) return;
  ereport(
      ERROR,
      (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
       errmsg("pgfed belongs into database \"%s\"", setting::database),
       errdetail("The setting pgfed.database says so; a server has pgfed in one database only."),
       errhint("Connect to database \"%s\", or change pgfed.database and restart.",
               setting::database)));
}

void require_writable(const char* function) {
  require_preload();
  if (RecoveryInProgress()) refuse_on_standby(function);
  PreventCommandIfReadOnly(function);
  PreventCommandIfParallelMode(function);
  require_database();
}

void require_changeable(const char* function) {
  require_writable(function);
  refuse_two_primaries(function);
}

NodesCopy require_nodes() {
  NodesCopy known = copy_nodes();
  if (known.state == core::CatalogState::foreign) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("pgfed.nodes belongs to another cluster"),
                    errhint("If this cluster is the federation from now on, on its primary: "
                            "SELECT pgfed.adopt();")));
  }
  if (known.state != core::CatalogState::ready) known.nodes.count = 0;
  BoxedError error;
  const auto max_nodes = static_cast<std::size_t>(setting::max_nodes);
  run_cpp(error, [&](BoxedError&) {
    core::NodeRegistry registry(max_nodes);
    registry.assign(std::vector<core::NodeSpec>(known.nodes.begin(), known.nodes.end()));
    std::copy(registry.nodes().begin(), registry.nodes().end(), known.nodes.begin());
    known.nodes.count = static_cast<std::uint32_t>(registry.nodes().size());
  });
  if (error.raised) raise_boxed(error);
  if (known.nodes.count == 0) {
    ereport(ERROR,
            (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("pgfed knows no nodes"),
             errhint("See pgfed.checks; nodes are added with pgfed.add_node() on the "
                     "primary.")));
  }
  return known;
}

core::Name certificate_node(const core::NodeSpec* nodes, std::size_t count) {
  const char* subject = certificate_subject();
  if (subject == nullptr) return {};
  for (std::size_t i = 0; i < count; ++i) {
    if (nodes[i].name == std::string_view(subject)) return nodes[i].name;
  }
  return {};
}

core::Name certificate_newcomer() {
  const char* subject = certificate_subject();
  if (subject == nullptr || strcmp(subject, MyProcPort->user_name) == 0) return {};
  bool valid = false;
  BoxedError error;
  run_cpp(error, [&](BoxedError&) { valid = static_cast<bool>(core::check_name(subject)); });
  if (error.raised) raise_boxed(error);
  return valid ? core::Name(subject) : core::Name();
}

/// For the extension's scripts: what must hold before CREATE EXTENSION makes anything.
PGFED_FUNCTION(pgfed_check_database) {
  require_preload();
  require_database();
  PG_RETURN_VOID();
}

}  // namespace pgfed::pg
