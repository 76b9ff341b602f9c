#include <string>
#include <utility>
#include <vector>

#include "pgfed/core/federation.hpp"

/// The verdicts: what is wrong, about whom, and what to type.
namespace pgfed::core {

namespace {

std::string quoted(const Name& name) { return "\"" + name.str() + "\""; }

std::string seconds_text(Duration duration) {
  const auto tenths = std::chrono::duration_cast<milliseconds>(duration).count() / 100;
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " s";
}

/// What a failure of each kind usually wants, as somebody who knows would say it.
std::string hint_for(const Failure& failure, const NodeSpec& spec) {
  const std::string where = spec.host.str() + ":" + std::to_string(spec.port);
  switch (failure.kind) {
    case FailureKind::network:
      if (failure.stage == Stage::resolve) {
        return "Check the name \"" + spec.host.str() +
               "\" with the name servers of this host, or SELECT pgfed.set_node('" +
               spec.name.str() + "', host => …).";
      }
      return "Check that the server is running and that " + where +
             " is reachable from here: pg_isready -h " + spec.host.str() + " -p " +
             std::to_string(spec.port) + ".";
    case FailureKind::tls:
      return "Check the server's certificate against sslrootcert of pgfed.conninfo, and that it "
             "names \"" +
             spec.host.str() + "\".";
    case FailureKind::rejected:
      return "Check the role, its certificate or passfile in pgfed.conninfo, and the line for it in "
             "pg_hba.conf of that server.";
    case FailureKind::crowded:
      return "Raise max_connections there, or find out who uses them: SELECT usename, count(*) FROM "
             "pg_stat_activity GROUP BY 1.";
    case FailureKind::starting:
      return "Wait; if it lasts, look at that server's log. With hot_standby = off a standby never "
             "answers.";
    case FailureKind::not_loaded:
      return "Add shared_preload_libraries = 'pgfed' to postgresql.conf there and restart it; on the "
             "primary, CREATE EXTENSION pgfed in the database that pgfed.database names.";
    case FailureKind::not_permitted:
      return "On the primary: SELECT pgfed.allow_peer('…') with the role of pgfed.conninfo.";
    case FailureKind::other_system:
      return "Another server answers at " + where +
             ": correct the address with pgfed.set_node(), or pgfed.federation_name there.";
    case FailureKind::other_node:
      return "Correct the address with SELECT pgfed.set_node('" + spec.name.str() +
             "', host => …, port => …), or pgfed.node_name there.";
    default:
      return "Look at that server's log.";
  }
}

}  // namespace

void Federation::evaluate(Instant now, Actions& actions) {
  evaluated_at_ = now;
  if (dirty_) ++revision_;
  dirty_ = false;
  review_trust(now, actions);
  const std::size_t recorded = actions.size();
  checks_.begin();
  check_self(now);
  if (!idle()) {
    check_primaries(actions);
    if (shared_certificate_) write_finding(check::kSharedCertificate, Name(), *shared_certificate_);
    write_finding(check::kTrust, Name(), authorities_);
  }
  for (const Peer& peer : peers_) {
    check_node(peer, now);
    write_trust_checks(peer);
  }
  const bool changed = checks_.end(now, actions);
  if (changed || actions.size() != recorded) ++revision_;
}

void Federation::check_self(Instant now) {
  const Name& self = self_.node;
  if (self.empty()) {
    checks_.write(check::kSettings, self, Status::critical, "pgfed.node_name is not set",
                  "Add pgfed.node_name = '…' to postgresql.conf and restart the server.");
    return;
  }
  if (self_.federation.empty()) {
    checks_.write(check::kSettings, self, Status::critical, "pgfed.federation_name is not set",
                  "Add pgfed.federation_name = '…', the same on every node, to postgresql.conf and "
                  "restart the server.");
    return;
  }
  if (settings_.mode == Mode::off) {
    checks_.write(check::kSettings, self, Status::unknown,
                  "pgfed.mode is off: no node is looked at",
                  "ALTER SYSTEM SET pgfed.mode = 'active'; SELECT pg_reload_conf();");
    return;
  }
  switch (catalog_) {
    case CatalogState::unknown:
      // A worker that has just started is not yet a fault.
      checks_.write(check::kCatalog, self,
                    age(started_, now) > patience() ? Status::warning : Status::unknown,
                    "pgfed.nodes has not been read yet", "Look at the server's log.");
      return;
    case CatalogState::no_database:
      checks_.write(check::kCatalog, self, Status::critical,
                    "the database that pgfed.database names does not exist",
                    "Create it, or correct pgfed.database and restart the server.");
      return;
    case CatalogState::no_extension:
      checks_.write(check::kCatalog, self, Status::critical,
                    "extension pgfed is not installed in the database that pgfed.database names",
                    "On the primary, in that database: CREATE EXTENSION pgfed.");
      return;
    case CatalogState::bad_table:
      checks_.write(check::kCatalog, self, Status::critical,
                    "pgfed.nodes is not the table that the extension made",
                    "On the primary: DROP EXTENSION pgfed; CREATE EXTENSION pgfed; then add the "
                    "nodes again.");
      return;
    case CatalogState::foreign:
      checks_.write(
          check::kCatalog, self, Status::critical,
          "pgfed.nodes belongs to the cluster with system identifier " +
              std::to_string(table_system_identifier_) + ", this is " +
              std::to_string(self_.system_identifier),
          "If this cluster is the federation from now on: SELECT pgfed.adopt(). If it is a "
          "copy: DROP EXTENSION pgfed.");
      return;
    case CatalogState::ready:
      checks_.write(check::kCatalog, self, Status::ok, {}, {});
      break;
  }
  if (find(self) == nullptr) {
    checks_.write(check::kSettings, self, Status::critical,
                  "node " + quoted(self) + " is not in pgfed.nodes: no node is looked at",
                  "On the primary: SELECT pgfed.add_node('" + self.str() +
                      "', '…'), or correct pgfed.node_name and restart.");
    return;
  }
  if (registry_.left_out() > 0) {
    checks_.write(check::kSettings, self, Status::warning,
                  std::to_string(registry_.left_out()) +
                      " rows of pgfed.nodes are left out: invalid, or more than pgfed.max_nodes",
                  "Raise pgfed.max_nodes and restart, or remove the rows with "
                  "pgfed.remove_node().");
  } else {
    checks_.write(check::kSettings, self, Status::ok, {}, {});
  }
  switch (identity_) {
    case Identity::confirmed:
      checks_.write(check::kIdentity, self, Status::ok, {}, {});
      break;
    case Identity::checking:
      checks_.write(check::kIdentity, self, Status::unknown, "its own endpoint is being dialled",
                    {});
      break;
    case Identity::observing:
      checks_.write(check::kIdentity, self, Status::unknown, identity_detail_.view(),
                    "No fault where a cluster has no hairpin: a node that reaches this one settles "
                    "it.");
      break;
    case Identity::quarantine:
      checks_.write(check::kIdentity, self, Status::critical,
                    "in quarantine: " + identity_detail_.str(),
                    "If this server is a copy, give it a pgfed.node_name of its own (or none) and "
                    "restart it; if it has moved, SELECT pgfed.set_node('" +
                        self.str() + "', host => …) on the primary.");
      break;
  }
}

void Federation::check_primaries(Actions& actions) {
  const Name nobody;
  std::vector<const Peer*> primaries;
  bool looking = identity_ == Identity::checking || identity_ == Identity::quarantine;
  for (const Peer& peer : peers_) {
    if (!is_self(peer) && !peer.failing && !peer.report) looking = true;
    if (identity_ == Identity::quarantine) continue;  // it judges nobody, least of all by itself
    if (is_self(peer) ? facts_.role == Role::primary : peer.is_running_primary()) {
      primaries.push_back(&peer);
    }
  }
  const bool two_before = std::exchange(two_primaries_, primaries.size() > 1);
  if (two_before && !two_primaries_) {
    actions.emplace_back(Record{Severity::info, "two_primaries_over", nobody, {}});
  }
  const bool none = primaries.empty() && (!looking || no_primary_);
  if (none != std::exchange(no_primary_, none)) {
    actions.emplace_back(none ? Record{Severity::critical, "no_primary", nobody, {}}
                              : Record{Severity::info, "no_primary_over", nobody, {}});
  }
  if (primaries.size() == 1) {
    checks_.write(check::kPrimary, nobody, Status::ok, {}, {});
  } else if (primaries.empty()) {
    checks_.write(check::kPrimary, nobody, none ? Status::critical : Status::unknown,
                  none ? "no primary is seen" : "not every node has been looked at",
                  // To promote while somebody still looks is how there come to be two.
                  none ? "Start the primary; if it is lost for good, promote the standby with the "
                         "highest lsn: SELECT pg_promote()."
                       : "Wait until each node has answered or failed.");
  } else {
    std::string names;
    for (const Peer* peer : primaries) {
      if (!names.empty()) names += ", ";
      names +=
          peer->spec.name.str() + " (timeline " + std::to_string(facts_of(*peer)->timeline) + ")";
    }
    const std::string detail = "more than one primary: " + names;
    if (!two_before) {
      actions.emplace_back(Record{Severity::critical, "two_primaries", nobody, detail});
    }
    for (const Peer* peer : primaries) {
      checks_.write(check::kPrimary, peer->spec.name, Status::critical, detail,
                    "Stop the one that should not write at once, then rewind it with pg_rewind or "
                    "make it anew as a standby.");
    }
    checks_.write(check::kPrimary, nobody, Status::critical, detail,
                  "Stop the one that should not write at once.");
  }
}

void Federation::check_node(const Peer& peer, Instant now) {
  const Name& name = peer.spec.name;
  if (!is_self(peer) && !may_dial(peer)) {
    checks_.write(check::kPeer, name, Status::unknown,
                  "not looked at: " + std::string(why_not_dialled()), {});
    return;
  }
  // In quarantine this server is not the node whose row it would judge.
  if (idle() || identity_ == Identity::quarantine) return;
  if (rival_proven(peer, now)) {
    const bool sure = peer.rival.identity == Identity::confirmed;
    checks_.write(check::kDuplicate, name, sure ? Status::critical : Status::warning,
                  "two servers call themselves " + quoted(name),
                  "Stop the copy, or give it a pgfed.node_name of its own.");
  } else {
    checks_.write(check::kDuplicate, name, Status::ok, {}, {});
  }
  if (is_self(peer)) {
    if (facts_.role == Role::standby) check_standby(peer, facts_, judged_by_, now);
    return;
  }
  if (!peer.failing) {
    checks_.write(check::kPeer, name, peer.report ? Status::ok : Status::unknown, "no answer yet",
                  {});
  } else {
    std::string detail = peer.failure.message.str();
    if (peer.heard && peer.heard_at > peer.failing_since && age(peer.heard_at, now) < patience()) {
      detail += " (it reached this server " + seconds_text(age(peer.heard_at, now)) + " ago)";
    }
    const bool lives = peer.failure.kind == FailureKind::crowded ||
                       peer.failure.kind == FailureKind::starting ||
                       peer.failure.kind == FailureKind::not_loaded;
    checks_.write(check::kPeer, name, lives ? Status::warning : Status::critical, detail,
                  hint_for(peer.failure, peer.spec));
  }
  if (!peer.report) return;
  const Report& report = *peer.report;
  if (!peer.failing && report.facts.role == Role::standby) {
    check_standby(peer, report.facts, report.judged_by, now);
  }
  if (!(report.library_version == self_.library_version)) {
    checks_.write(
        check::kVersion, name, Status::warning,
        "library version " + report.library_version.str() + " there, " +
            self_.library_version.str() + " here",
        "Install the same version of pgfed on every node and restart them one by one, the "
        "standbys first.");
  } else {
    checks_.write(check::kVersion, name, Status::ok, {}, {});
  }
}

std::string_view Federation::why_not_dialled() const {
  if (self_.node.empty()) return "pgfed.node_name is not set";
  if (self_.federation.empty()) return "pgfed.federation_name is not set";
  if (settings_.mode == Mode::off) return "pgfed.mode is off";
  if (find(self_.node) == nullptr) return "this server's own node is not in pgfed.nodes";
  if (identity_ == Identity::checking) return "this server dials its own endpoint first";
  return "this server is in quarantine";
}

void Federation::check_standby(const Peer& peer, const Facts& facts, const JudgedBy& judged_by,
                               Instant now) {
  const Name& name = peer.spec.name;
  switch (facts.state) {
    case State::streaming:
      checks_.write(check::kReplication, name, Status::ok, {}, {});
      break;
    case State::catchup:
      checks_.write(check::kReplication, name, Status::warning, "catching up",
                    "Wait; if it does not end, compare the rate of WAL with the network's.");
      break;
    default:
      checks_.write(
          check::kReplication, name, Status::critical, "no stream from its upstream",
          "Look at that server's log, at primary_conninfo and primary_slot_name: SELECT * "
          "FROM pgfed.standby_settings('" +
              name.str() + "').");
      break;
  }
  const auto lag = lag_of(facts, now);
  if (!lag || the_primary() == nullptr) {
    checks_.write(check::kLag, name, Status::unknown,
                  two_primaries_ ? "more than one primary is seen to compare with"
                                 : "no primary is seen to compare with",
                  {});
    return;
  }
  const Status status = *lag >= judged_by.lag_critical  ? Status::critical
                        : *lag >= judged_by.lag_warning ? Status::warning
                                                        : Status::ok;
  std::string detail = seconds_text(*lag) + " behind the primary";
  if (facts.replay_paused) detail += ", replay is paused";
  checks_.write(check::kLag, name, status, detail,
                facts.replay_paused
                    ? "SELECT pg_wal_replay_resume() on that server."
                    : "Look for long queries on the standby, for its disk and for the "
                      "network between the two.");
}

}  // namespace pgfed::core
