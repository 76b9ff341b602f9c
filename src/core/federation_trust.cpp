#include <algorithm>
#include <string>
#include <utility>

#include "pgfed/core/federation.hpp"
#include "pgfed/core/random.hpp"

/// Probes of every endpoint's TLS, this server's own files, and when it is told to load them.
namespace pgfed::core {

namespace {

/// From name resolution to the last byte; a router may hold a connection back for five seconds.
constexpr Duration kProbeLimit = seconds(10);
/// A probe that has not ended by then, its turn to begin included, never will.
constexpr Duration kProbeLost = seconds(120);
constexpr Duration kPathInterval = seconds(10);
/// So long after a reload the listening socket serves what was loaded.
constexpr Duration kReloadTakes = milliseconds(500);

/// But for the chain, which is kept apart.
bool same_result(const ProbeResult& a, const ProbeResult& b) {
  return a.stage == b.stage && a.diagnosis == b.diagnosis && a.protocol == b.protocol &&
         a.cipher == b.cipher && a.detail == b.detail && a.anchor == b.anchor &&
         a.client_certificate == b.client_certificate && a.chain_ok == b.chain_ok &&
         a.host_match == b.host_match;
}

/// Spreads probes over time, so that many nodes do not dial in step: at most a tenth early.
Duration jittered(Duration interval, std::uint64_t seed) {
  return Random(seed).between(interval - interval / 10, interval);
}

}  // namespace

void Federation::run_probes(Instant now, Actions& actions) {
  for (Peer& peer : peers_) {
    PeerTrust& trust = peer.trust;
    if (!may_dial(peer)) {
      stop_probe(peer, actions);
      if (!trust.result) continue;
      trust = PeerTrust{};
      trust_dirty_ = true;
      continue;
    }
    if (trust.probe != 0 && age(trust.asked_at, now) > kProbeLost) stop_probe(peer, actions);
    if (trust.probe != 0 || trust.due > now) continue;
    trust.probe = ++last_probe_;
    trust.asked_at = now;
    trust.due = now + jittered(settings_.tls_interval, self_.seed ^ trust.probe);
    actions.emplace_back(Probe{trust.probe, peer.spec, kProbeLimit});
  }
  if (idle() || files_.server.listen_host.empty()) {
    if (local_probe_ != 0) actions.emplace_back(CancelProbe{std::exchange(local_probe_, 0)});
    local_probe_due_ = Instant{};
    return;
  }
  if (local_probe_ != 0 && age(local_probe_at_, now) > kProbeLost) {
    actions.emplace_back(CancelProbe{std::exchange(local_probe_, 0)});
  }
  if (local_probe_ != 0 || local_probe_due_ > now) return;
  local_probe_ = ++last_probe_;
  local_probe_at_ = now;
  local_probe_due_ = now + settings_.tls_interval;
  NodeSpec endpoint;
  endpoint.name = self_.node;
  endpoint.host = files_.server.listen_host;
  endpoint.port = files_.server.listen_port;
  actions.emplace_back(Probe{local_probe_, endpoint, kProbeLimit});
}

Instant Federation::next_probe() const {
  Instant next = kForever;
  if (idle()) return next;
  for (const Peer& peer : peers_) {
    if (peer.trust.probe == 0 && may_dial(peer)) next = std::min(next, peer.trust.due);
  }
  if (local_probe_ == 0 && !files_.server.listen_host.empty()) {
    next = std::min(next, local_probe_due_);
  }
  return next;
}

void Federation::stop_probe(Peer& peer, Actions& actions) {
  if (peer.trust.probe == 0) return;
  actions.emplace_back(CancelProbe{std::exchange(peer.trust.probe, 0)});
}

void Federation::apply(const Probed& probed, Instant now, Actions& actions) {
  if (probed.id == 0) return;
  if (probed.id == local_probe_) {
    local_probe_ = 0;
    // Whatever is wrong with the certificate: this is the one that is served.
    local_leaf_ = probed.result.chain.empty() ? Fingerprint{} : probed.result.chain.front().sha256;
    local_leaf_at_ = now;
    trust_dirty_ = true;
    consider_reload(now, actions);
    return;
  }
  for (Peer& peer : peers_) {
    if (peer.trust.probe != probed.id) continue;
    peer.trust.probe = 0;
    note_probe(peer, probed.result, now, actions);
    return;
  }
}

void Federation::apply(const TrustChanged& /*changed*/, Instant now, Actions& actions) {
  for (Peer& peer : peers_) {
    stop_probe(peer, actions);
    peer.trust.due = now;
  }
}

void Federation::note_probe(Peer& peer, const ProbeResult& result, Instant now, Actions& actions) {
  PeerTrust& trust = peer.trust;
  const Certificate* before = trust.served();
  if (before != nullptr && !result.chain.empty() &&
      !(before->sha256 == result.chain.front().sha256)) {
    const Certificate& after = result.chain.front();
    actions.emplace_back(Record{Severity::info, "certificate_changed", peer.spec.name,
                                "from " + before->sha256.hex() + " to " + after.sha256.hex() +
                                    ", valid until " + utc_text(after.not_after)});
  }
  const bool changed = !trust.result || !same_result(*trust.result, result) ||
                       (!result.chain.empty() && !(result.chain == trust.chain));
  trust.result = result;
  trust.result->chain = {};
  trust.result->steps = {};  // for pgfed.probe() only
  trust.checked_at = now;
  // Where the way fails, nothing is known of another certificate than the last one.
  if (!result.chain.empty()) {
    trust.chain = result.chain;
    trust.anchor = result.anchor;
  } else if (result.diagnosis == Diagnosis::plaintext_only) {
    trust.chain.clear();
    trust.anchor = Fingerprint{};
  }
  // A network that fails is looked at again before the interval is over: it often is for a moment.
  if (is_path(result.diagnosis)) trust.due = std::min(trust.due, now + kPathInterval);
  ++trust_revision_;
  if (changed) trust_dirty_ = true;
}

void Federation::apply(const FilesRead& read, Instant now, Actions& actions) {
  const bool renewed = files_.server.digest != read.server.digest;
  files_ = read;
  if (renewed) local_probe_due_ = Instant{};
  // What Postgres refused at its last load, it has not got.
  if (files_.server.load_known && files_.server.loadable) loaded_digest_ = files_.server.digest;
  trust_dirty_ = true;
  consider_reload(now, actions);
}

void Federation::apply(const SetupRead& read) {
  if (read.problems == setup_problems_) return;
  setup_problems_ = read.problems;
  trust_dirty_ = true;
}

bool Federation::reload_is_wanted() const {
  const ServerFiles& server = files_.server;
  if (!server.ssl || server.digest == 0 || server.sealed) return false;
  if (server.digest != loaded_digest_) return true;
  // A reload that came a moment too early has loaded the old files.
  return local_leaf_.known() && server.leaf.known() && !(local_leaf_ == server.leaf) &&
         age(reloaded_at_, local_leaf_at_) >= kReloadTakes && local_leaf_at_ > reloaded_at_;
}

void Federation::consider_reload(Instant now, Actions& actions) {
  const ServerFiles& server = files_.server;
  if (!reload_is_wanted() || !server.loadable || !server.other_edit.empty()) return;
  if (!settings_.tls_reload || settings_.mode != Mode::active || idle()) return;
  // Once for each set of files; should it not have helped, again after an interval.
  if (reloading_digest_ == server.digest && age(reloaded_at_, now) < settings_.tls_interval) return;
  reloading_digest_ = server.digest;
  reloaded_at_ = now;
  actions.emplace_back(ReloadServer{});
  actions.emplace_back(Record{Severity::info, "tls_reload", self_.node,
                              "the TLS files have changed: the server is told to load them"});
  // What it serves now is to be seen soon, by this node and by the others.
  if (local_probe_ != 0) actions.emplace_back(CancelProbe{std::exchange(local_probe_, 0)});
  local_probe_due_ = now + kReloadTakes;
  if (Peer* self = find(self_.node)) self->trust.due = now + kReloadTakes;
}

void Federation::take_inventory(Peer& peer, Report& report) {
  PeerTrust& trust = peer.trust;
  std::optional<Inventory> told = std::exchange(report.inventory, std::nullopt);
  if (is_self(peer)) return;
  if (report.inventory_digest == 0) {
    if (trust.inventory) trust_dirty_ = true;
    trust.inventory.reset();
  } else if (told) {
    trust.inventory = std::move(*told);
    trust.inventory->digest = report.inventory_digest;
    trust_dirty_ = true;
    // Another certificate on its disk is soon another one on the wire.
    trust.due = Instant{};
  }
}

void Federation::renew_own_inventory() {
  if (files_.inventory.certificates.empty() && files_.inventory.problems.empty() &&
      files_.server.digest == 0 && setup_problems_.empty()) {
    return;  // nothing has been read yet
  }
  Inventory next = files_.inventory;
  const ServerFiles& server = files_.server;
  if (reload_is_wanted() && server.loadable) {
    Problem problem;
    if (!server.other_edit.empty()) {
      problem.kind = ProblemKind::reload_blocked;
      problem.detail = "the TLS files were renewed, and not loaded: " + server.other_edit.str() +
                       " was edited as well";
    } else {
      problem.kind = ProblemKind::not_served;
      problem.detail = "the TLS files were renewed, and the server still uses the old ones";
    }
    // That which is about to be done is no problem.
    const bool under_way = problem.kind == ProblemKind::not_served && settings_.tls_reload &&
                           settings_.mode == Mode::active && reloading_digest_ != server.digest;
    if (!under_way) next.problems.push_back(problem);
  }
  if (auto missing = missing_names()) next.problems.push_back(*missing);
  next.problems.insert(next.problems.end(), setup_problems_.begin(), setup_problems_.end());
  if (next.problems.size() > kMaxProblems) next.problems.resize(kMaxProblems);
  next.digest = digest_of(next);
  if (next.digest == own_inventory_.digest) return;
  own_inventory_ = std::move(next);
  if (Peer* self = find(self_.node)) self->trust.inventory = own_inventory_;
  ++trust_revision_;
}

}  // namespace pgfed::core
