#include <algorithm>
#include <string_view>

#include "pgfed/core/federation.hpp"

namespace pgfed::core {

namespace {

bool same_host(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    return lower(x) == lower(y);
  });
}

/// The value of hostaddr among a node's options, as libpq reads it: perhaps with blanks around the
/// equals sign, perhaps in quotes; check_options() has made sure that it is one plain address.
std::string_view hostaddr_of(const NodeSpec& spec) {
  constexpr std::string_view kKeyword = "hostaddr";
  const std::string_view options = spec.options.view();
  const std::size_t at = options.find(kKeyword);
  if (at == std::string_view::npos) return {};
  const std::size_t begin = options.find_first_not_of(" \t='", at + kKeyword.size());
  if (begin == std::string_view::npos) return {};
  const std::string_view rest = options.substr(begin);
  return rest.substr(0, rest.find_first_of(" \t'"));
}

/// Reports are sorted by target when they come in.
const LinkReport* find_link(const Report& report, const Name& target) {
  const auto at = std::lower_bound(report.links.begin(), report.links.end(), target,
                                   [](const LinkReport& link, const Name& wanted) {
                                     return link.target.view() < wanted.view();
                                   });
  return at != report.links.end() && at->target == target ? &*at : nullptr;
}

}  // namespace

const Facts* Federation::facts_of(const Peer& peer) const {
  if (is_self(peer)) return &facts_;
  return peer.report ? &peer.report->facts : nullptr;
}

const JudgedBy& Federation::judged_by_of(const Peer& peer) const {
  return is_self(peer) || !peer.report ? judged_by_ : peer.report->judged_by;
}

const Peer* Federation::the_primary() const {
  const Peer* found = nullptr;
  for (const Peer& peer : peers_) {
    const bool primary = is_self(peer) ? facts_.role == Role::primary : peer.is_running_primary();
    if (!primary) continue;
    if (found != nullptr) return nullptr;
    found = &peer;
  }
  return found;
}

const Peer* Federation::upstream_of(const Facts& facts) const {
  if (facts.role != Role::standby || facts.upstream_host.empty()) return nullptr;
  const std::string_view host = facts.upstream_host.view();
  for (const Peer& peer : peers_) {
    if (peer.spec.port != facts.upstream_port) continue;
    if (same_host(peer.spec.host.view(), host) || same_host(hostaddr_of(peer.spec), host)) {
      return &peer;
    }
  }
  return nullptr;
}

std::optional<Duration> Federation::lag_of(const Facts& facts, Instant now) const {
  if (facts.role != Role::standby) return std::nullopt;
  return primary_wal_.lag(facts.replay, now);
}

FederationRow Federation::federation_row(const Peer& peer, Instant now) const {
  FederationRow row;
  row.node = peer.spec.name;
  row.site = peer.spec.site;
  row.state = peer.state;
  row.since = peer.state_since;
  const Facts* facts = facts_of(peer);
  if (facts != nullptr) {
    row.role = facts->role;
    row.timeline = facts->timeline;
    row.lsn = facts->role == Role::primary ? facts->flush : facts->replay;
    if (const Peer* upstream = upstream_of(*facts)) row.upstream = upstream->spec.name;
    const Peer* primary = the_primary();
    if (facts->role == Role::standby && primary != nullptr) {
      row.lag_bytes =
          static_cast<std::int64_t>(bytes_between(facts->replay, facts_of(*primary)->flush));
      if (const auto lag = lag_of(*facts, now)) row.lag_us = lag->count();
    }
  }
  row.seen = is_self(peer) ? now : peer.seen_at;
  row.certificate = peer.trust.certificate;
  if (const Certificate* served = peer.trust.served()) row.not_after = served->not_after;
  const auto checks = checks_.about(peer.spec.name);
  row.status = checks.empty() ? Status::unknown : Status::ok;
  for (const CheckRow& check : checks) {
    if (check.status == Status::ok) continue;
    const bool worse = row.status == Status::ok || row.status == Status::unknown ||
                       (row.status == Status::warning && check.status == Status::critical);
    if (!worse) continue;
    row.status = check.status;
    row.detail = check.detail;
  }
  return row;
}

PeerRow Federation::peer_row(const Peer& peer) const {
  PeerRow row;
  row.node = peer.spec.name;
  row.host = peer.spec.host;
  row.port = peer.spec.port;
  row.state = peer.session_state();
  row.stage = peer.failure.stage;
  row.error = peer.failure.message;
  row.failures = peer.failures;
  row.connected_since = peer.session.connected_since();
  row.last_seen = peer.seen_at;
  if (peer.session.open()) {
    row.tls_protocol = peer.info.tls_protocol;
    row.client_dn = peer.info.client_dn;
  }
  row.server_version = peer.info.server_version;
  if (peer.report) {
    const Report& report = *peer.report;
    row.rtt_us = peer.rtt.count();
    row.clock_offset_us = is_self(peer) ? 0 : peer.clock_offset.count();
    row.server_version = report.server_version;
    row.library_version = report.library_version;
    row.extension_version = report.extension_version;
    row.system_identifier = report.facts.system_identifier;
    row.paths = report.paths;
  }
  return row;
}

LinkReport Federation::link_to(const Peer& peer, Instant now) const {
  LinkReport link;
  link.target = peer.spec.name;
  link.connected = peer.reachable();
  if (link.connected) {
    link.incarnation = peer.report->incarnation;
    link.rtt = peer.rtt;
  }
  if (peer.report) link.role = peer.report->facts.role;
  if (!link.connected) link.error = peer.failure.message;
  // An answer is counted from its request on: whoever reads this must be able to tell an answer of
  // the target's earlier life, which was long on its way, from one of its present life.
  const Instant at = link.connected ? peer.seen_at - peer.rtt : peer.outcome_at;
  link.age = happened(at) ? age(at, now) : age(started_, now);
  return link;
}

void Federation::add_links(const Peer& peer, Instant now, std::vector<LinkRow>& links) const {
  const auto row_for = [&](const LinkReport& link, Instant made) {
    LinkRow row;
    row.observer = peer.spec.name;
    row.target = link.target;
    row.connected = link.connected;
    if (link.connected) row.rtt_us = link.rtt.count();
    row.error = link.error;
    row.observed_at = std::max(made - link.age, Instant{} + Duration(1));
    return row;
  };
  if (is_self(peer)) {
    for (const Peer& other : peers_) links.push_back(row_for(link_to(other, now), now));
    return;
  }
  // Its own word, from our session; else what it told us itself when it called here.
  const bool hearsay = !peer.reachable();
  const std::optional<Report>& report = hearsay ? peer.heard : peer.report;
  const Instant made = hearsay ? peer.heard_at : peer.report_at;
  const bool fresh = report && (!hearsay || age(made, now) < patience());
  for (const Peer& other : peers_) {
    const LinkReport* found = fresh ? find_link(*report, other.spec.name) : nullptr;
    if (found != nullptr) {
      links.push_back(row_for(*found, made));
      continue;
    }
    LinkReport none;
    none.target = other.spec.name;
    none.error = "no report from node \"" + peer.spec.name.str() + "\"";
    links.push_back(row_for(none, report ? made : started_));
    links.back().known = false;
  }
}

Picture Federation::picture(Instant now) const {
  Picture picture;
  picture.federation.reserve(peers_.size());
  picture.peers.reserve(peers_.size());
  for (const Peer& peer : peers_) {
    picture.federation.push_back(federation_row(peer, now));
    picture.peers.push_back(peer_row(peer));
  }
  picture.checks = checks_.rows();
  return picture;
}

std::vector<LinkRow> Federation::links(Instant now) const {
  std::vector<LinkRow> links;
  links.reserve(peers_.size() * peers_.size());
  for (const Peer& peer : peers_) add_links(peer, now, links);
  return links;
}

Report Federation::report(Instant now) const {
  Report report;
  report.node = self_.node;
  report.federation = self_.federation;
  report.incarnation = self_.incarnation;
  report.identity = identity_;
  report.facts = facts_;
  report.judged_by = judged_by_;
  report.paths = settings_.paths;
  report.library_version = self_.library_version;
  report.extension_version = extension_version_;
  report.server_version = self_.server_version;
  report.inventory_digest = own_inventory_.digest;
  report.links.reserve(peers_.size());
  for (const Peer& peer : peers_) report.links.push_back(link_to(peer, now));
  return report;
}

}  // namespace pgfed::core
