#include "pgfed/core/federation.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace pgfed::core {

namespace {

/// A seed of its own for each peer, the same in each life: FNV-1a over the name.
std::uint64_t seed_for(std::uint64_t seed, const Name& name) {
  std::uint64_t hash = 0xcbf29ce484222325ULL ^ seed;
  for (const char c : name.view()) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3ULL;
  }
  return hash;
}

Severity severity_of(State state) {
  switch (state) {
    case State::unreachable:
    case State::wrong_system:
    case State::not_streaming:
      return Severity::critical;
    case State::starting:
    case State::no_pgfed:
    case State::catchup:
      return Severity::warning;
    default:
      return Severity::info;
  }
}

void sort_links(Report& report) {
  const auto before = [](const LinkReport& a, const LinkReport& b) {
    return a.target.view() < b.target.view();
  };
  if (!std::is_sorted(report.links.begin(), report.links.end(), before)) {
    std::sort(report.links.begin(), report.links.end(), before);
  }
}

bool same_connections(const Report& a, const Report& b) {
  return std::equal(a.links.begin(), a.links.end(), b.links.begin(), b.links.end(),
                    [](const LinkReport& x, const LinkReport& y) {
                      return x.connected == y.connected && x.target == y.target;
                    });
}

/// Whether two reports of one node differ in what everybody should know soon.
bool differs(const Report& a, const Report& b) {
  return a.facts.role != b.facts.role || a.facts.state != b.facts.state ||
         a.facts.timeline != b.facts.timeline || !same_connections(a, b);
}

}  // namespace

Federation::Federation(const Self& self, std::size_t max_nodes, Instant started)
    : self_(self), started_(started), registry_(max_nodes), identity_since_(started) {}

void Federation::step(const Event& event, Instant now, Actions& actions) {
  std::visit(
      [&](const auto& e) {
        using E = std::decay_t<decltype(e)>;
        if constexpr (std::is_same_v<E, SessionProgress> || std::is_same_v<E, SetupRead>) {
          apply(e);
        } else if constexpr (std::is_same_v<E, SessionOpened> || std::is_same_v<E, Heard>) {
          apply(e, now);
        } else if constexpr (!std::is_same_v<E, Tick>) {
          apply(e, now, actions);
        }
      },
      event);
  run_sessions(now, actions);
  run_probes(now, actions);
  if (dirty_ || age(evaluated_at_, now) >= settings_.peer_interval / 4) evaluate(now, actions);
}

Instant Federation::next_deadline() const {
  // Lag and patience run out without an event, hence an evaluation now and then.
  Instant next = std::min(evaluated_at_ + settings_.peer_interval / 4, next_probe());
  for (const Peer& peer : peers_) next = std::min(next, peer.session.deadline());
  return next;
}

void Federation::apply(const SettingsChanged& change, Instant now, Actions& actions) {
  if (change.settings.mode != settings_.mode && happened(evaluated_at_)) {
    actions.emplace_back(Record{
        Severity::info, "mode_changed", self_.node,
        std::string(word(settings_.mode)) + " to " + std::string(word(change.settings.mode))});
  }
  const bool shorter = change.settings.tls_interval < settings_.tls_interval;
  settings_ = change.settings;
  if (shorter) {
    for (Peer& peer : peers_) {
      peer.trust.due = std::min(peer.trust.due, now + settings_.tls_interval);
    }
  }
  judged_by_ = JudgedBy{settings_.lag_warning, settings_.lag_critical, settings_.peer_interval,
                        settings_.mode, settings_.certificate};
  dirty_ = true;
  trust_dirty_ = true;
  for (Peer& peer : peers_) peer.session.shorten(now, timing());
  tell_peers_soon(now);
}

void Federation::apply(const NodesChanged& change, Instant now, Actions& actions) {
  catalog_ = change.state;
  table_system_identifier_ = change.table_system_identifier;
  extension_version_ = change.extension_version;
  registry_.assign(change.state == CatalogState::ready ? change.nodes : std::vector<NodeSpec>{});

  std::vector<Peer> next;
  std::vector<bool> kept(peers_.size(), false);
  next.reserve(registry_.nodes().size());
  for (const NodeSpec& spec : registry_.nodes()) {
    Peer* known = find(spec.name);
    if (known == nullptr) {
      next.emplace_back(spec, seed_for(self_.seed, spec.name));
      next.back().state_since = now;
      continue;
    }
    const bool moved = !(known->spec.host == spec.host) || known->spec.port != spec.port ||
                       !(known->spec.options == spec.options);
    known->spec = spec;
    if (moved) {
      forget(*known, now, actions);
      if (is_self(*known)) doubt_identity_after_move(now, actions);
    }
    // Copied, not moved: its name must stay in place for the searches of the next rounds.
    next.push_back(*known);
    kept[static_cast<std::size_t>(known - peers_.data())] = true;
  }
  for (std::size_t i = 0; i < peers_.size(); ++i) {
    if (kept[i]) continue;
    peers_[i].session.stop(actions);
    stop_probe(peers_[i], actions);
  }
  peers_ = std::move(next);
  trust_dirty_ = true;
  if (Peer* self = find(self_.node)) note_state(*self, now, actions);
  ++links_revision_;
  dirty_ = true;
}

void Federation::apply(const FactsTaken& taken, Instant now, Actions& actions) {
  const Facts was = facts_;
  facts_ = taken.facts;
  facts_at_ = now;
  if (facts_.role == Role::primary) primary_wal_.sample(facts_.timeline, facts_.flush, now);
  if (was.role == facts_.role && was.state == facts_.state && was.timeline == facts_.timeline &&
      was.replay_paused == facts_.replay_paused) {
    return;
  }
  if (was.role != Role::unknown && was.role != facts_.role) {
    actions.emplace_back(Record{Severity::warning, "role_changed", self_.node,
                                std::string(word(was.role)) + " to " +
                                    std::string(word(facts_.role)) + ", timeline " +
                                    std::to_string(facts_.timeline)});
  }
  if (Peer* self = find(self_.node)) note_state(*self, now, actions);
  dirty_ = true;
  tell_peers_soon(now);
}

void Federation::apply(const SessionProgress& progress) {
  if (Peer* peer = find(progress.attempt)) peer->session.progress(progress.stage);
}

void Federation::apply(const SessionOpened& opened, Instant now) {
  Peer* peer = find(opened.attempt);
  if (peer == nullptr || peer->session.phase() != PeerSession::Phase::dialling) return;
  peer->session.opened(now);
  peer->info = opened.info;
}

void Federation::apply(const SessionFailed& failed, Instant now, Actions& actions) {
  Peer* peer = find(failed.attempt);
  if (peer == nullptr) return;
  const bool again = peer->session.failed(now, timing());
  // A standing session that merely broke is dialled again before anything is said about the node:
  // a terminated backend there is no news. What it refused or garbled is, and so is a session that
  // breaks each time before it has answered.
  if (again && failed.failure.kind == FailureKind::network) {
    peer->failure = failed.failure;
    dirty_ = true;
    return;
  }
  note_failure(*peer, failed.failure, now, actions);
}

void Federation::forget(Peer& peer, Instant now, Actions& actions) {
  peer.session.stop(actions);
  stop_probe(peer, actions);
  peer.trust = PeerTrust{};
  trust_dirty_ = true;
  ++links_revision_;
  peer.report.reset();
  peer.failing = false;
  peer.failures = 0;
  peer.failure = Failure{};
  peer.rival = Rival{};
  peer.former = Incarnation{};
  note_state(peer, now, actions);
}

void Federation::note_failure(Peer& peer, const Failure& failure, Instant now, Actions& actions) {
  const bool was_reachable = !peer.failing;
  if (was_reachable) peer.failing_since = now;
  peer.failing = true;
  peer.failure = failure;
  peer.outcome_at = now;
  ++peer.failures;
  // Whoever was gone, even for a moment, may have come back as something else.
  if (failure.kind != FailureKind::crowded) peer.report_stands = false;
  if (is_self(peer)) learn_identity_from_failure(now, actions);
  note_state(peer, now, actions);
  if (was_reachable) {
    ++links_revision_;
    dirty_ = true;
    tell_peers_soon(now);
  }
}

void Federation::apply(const ReplyReceived& reply, Instant now, Actions& actions) {
  Peer* peer = find(reply.attempt);
  if (peer == nullptr) return;
  const auto rtt = peer->session.replied(reply.request, now, timing());
  if (!rtt) return;

  if (is_self(*peer)) {
    learn_identity_from_self(reply.report, now, actions);
    peer = find(reply.attempt);
    if (peer == nullptr) return;
  }
  if (const auto mismatch = find_mismatch(reply.report, peer->spec.name, self_)) {
    learn_identity_from_namesake(*peer, reply.report, now, actions);
    note_failure(*peer, *mismatch, now, actions);
    return;
  }
  const bool was_failing = peer->failing || !peer->report;
  const bool reborn = peer->report && !(peer->report->incarnation == reply.report.incarnation);
  const std::optional<Report> before = std::exchange(peer->report, reply.report);
  sort_links(*peer->report);
  take_inventory(*peer, *peer->report);
  if (!before || was_failing || !same_connections(*before, *peer->report)) ++links_revision_;
  peer->report_at = now - *rtt / 2;
  peer->seen_at = now;
  if (!before || reborn) peer->incarnation_since = now;
  peer->outcome_at = now;
  peer->rtt = *rtt;
  peer->failing = false;
  peer->report_stands = true;
  peer->failures = 0;
  peer->failure = Failure{};
  if (is_self(*peer)) {
    note_state(*peer, now, actions);
    return;
  }
  weigh_rival(*peer, before, now - *rtt, now);
  peer->clock_offset =
      Duration(reply.report.facts.wall_clock - facts_.wall_clock) - (peer->report_at - facts_at_);
  learn_identity_from_peer(reply.report, now - *rtt, now, actions);
  note_state(*peer, now, actions);
  if (the_primary() == peer) {
    primary_wal_.sample(reply.report.facts.timeline, reply.report.facts.flush, peer->report_at);
  }
  if (was_failing) {
    dirty_ = true;
    tell_peers_soon(now);
    // What kept the sessions away, may have kept the last probe away.
    if (peer->trust.result && peer->trust.result->diagnosis != Diagnosis::ok) peer->trust.due = now;
  }
}

void Federation::apply(const Heard& heard, Instant now) {
  const Report& report = heard.report;
  // A call that reached us under our own name from another life than ours, or under another's:
  // shown, and weighed as a claim; never a reason to act.
  if (!(report.federation == self_.federation) ||
      report.facts.system_identifier != self_.system_identifier) {
    return;
  }
  if (!heard.certificate_node.empty() && !(heard.certificate_node == report.node)) return;
  Peer* peer = find(report.node);
  if (peer == nullptr) return;
  if (is_self(*peer)) {
    if (!(report.incarnation == self_.incarnation)) {
      note_rival(*peer, report.incarnation, report.identity, now);
    }
    return;
  }
  const bool stranger = peer->reachable() && !(peer->report->incarnation == report.incarnation);
  if (stranger) {
    // A call of the node's life before may have been long on its way; a second one was not.
    if (age(peer->incarnation_since, now) < patience()) return;
    Rival& rival = note_rival(*peer, report.incarnation, report.identity, now);
    if (++rival.calls > 1 && !happened(rival.told_at)) rival.told_at = now;
    return;
  }
  peer->heard = report;
  peer->heard->inventory.reset();
  sort_links(*peer->heard);
  peer->heard_at = now;
  // Hearsay changes nothing here, but it is worth asking the node itself soon: so a change is known
  // everywhere at once instead of one interval later.
  if (peer->report && differs(*peer->heard, *peer->report)) peer->session.hurry(now, timing());
}

void Federation::run_sessions(Instant now, Actions& actions) {
  review_identity(now, actions);
  for (Peer& peer : peers_) {
    if (!may_dial(peer)) {
      if (peer.session.phase() != PeerSession::Phase::idle) forget(peer, now, actions);
      continue;
    }
    peer.session.start(now);
    const std::size_t before = actions.size();
    if (const auto failure = peer.session.tick(now, timing(), peer.spec, counters_, actions)) {
      note_failure(peer, *failure, now, actions);
      // A standing session that fell silent is dialled again at once.
      peer.session.tick(now, timing(), peer.spec, counters_, actions);
    }
    if (!peer.trust.inventory || is_self(peer)) continue;
    for (std::size_t i = before; i < actions.size(); ++i) {
      if (auto* ask = std::get_if<Ask>(&actions[i])) {
        ask->known_inventory = peer.trust.inventory->digest;
      }
    }
  }
}

bool Federation::idle() const {
  return self_.node.empty() || self_.federation.empty() || settings_.mode == Mode::off ||
         catalog_ != CatalogState::ready || find(self_.node) == nullptr;
}

bool Federation::may_dial(const Peer& peer) const {
  if (idle()) return false;
  // Until it is known that this server is the node it says it is, it disturbs nobody.
  if (identity_ == Identity::checking || identity_ == Identity::quarantine) return is_self(peer);
  return true;
}

void Federation::note_state(Peer& peer, Instant now, Actions& actions) {
  const State next = is_self(peer) ? facts_.state : peer.derive_state();
  if (next == peer.state) return;
  std::string detail = std::string(word(peer.state)) + " to " + std::string(word(next));
  if (!is_self(peer) && peer.failing) detail += ": " + peer.failure.message.str();
  const Severity severity = severity_of(next);
  actions.emplace_back(Record{severity, "node_state", peer.spec.name, detail});
  peer.state = next;
  peer.state_since = now;
  dirty_ = true;
}

void Federation::tell_peers_soon(Instant now) {
  for (Peer& peer : peers_) peer.session.hurry(now, timing());
}

Peer* Federation::find(const Name& name) {
  return const_cast<Peer*>(std::as_const(*this).find(name));  // NOLINT: the usual pair
}

const Peer* Federation::find(const Name& name) const {
  const auto at = std::lower_bound(
      peers_.begin(), peers_.end(), name,
      [](const Peer& peer, const Name& wanted) { return peer.spec.name.view() < wanted.view(); });
  return at != peers_.end() && at->spec.name == name ? &*at : nullptr;
}

Peer* Federation::find(Attempt attempt) {
  for (Peer& peer : peers_) {
    if (peer.session.owns(attempt)) return &peer;
  }
  return nullptr;
}

}  // namespace pgfed::core
