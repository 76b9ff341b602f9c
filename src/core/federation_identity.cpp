#include <string>
#include <utility>

#include "pgfed/core/federation.hpp"

/// Is this server the node whose name it carries? A restored backup, a disk snapshot or a cloned
/// standby carries the name, the table and the certificates of the real one. What tells them apart
/// is the incarnation, drawn anew by each running server: the node dials its own advertised endpoint
/// and looks who answers.
namespace pgfed::core {

namespace {

/// An established node doubts itself only after this many answers of another server in a row, since
/// a load balancer that is being switched may err once.
constexpr std::uint32_t kStrangersToDoubt = 2;
/// Where a peer settled it, the node asks its peers again after so many intervals.
constexpr int kQuarantineIntervals = 60;

}  // namespace

void Federation::set_identity(Identity identity, std::string_view why, Instant now,
                              Actions& actions) {
  identity_detail_ = why;
  if (identity == identity_) return;
  identity_ = identity;
  identity_since_ = now;
  dirty_ = true;
  if (identity != Identity::quarantine) settled_by_peer_ = false;
  // Quarantine is over once the node is confirmed; until then it only asks again, which is no news.
  if (identity == Identity::quarantine) {
    if (!std::exchange(quarantine_told_, true)) {
      actions.emplace_back(Record{Severity::critical, "quarantine", self_.node, why});
    }
  } else if (identity == Identity::confirmed) {
    const bool over = std::exchange(quarantine_told_, false);
    actions.emplace_back(
        Record{Severity::info, over ? "quarantine_over" : "identity_confirmed", self_.node, why});
  }
}

void Federation::learn_identity_from_self(const Report& answer, Instant now, Actions& actions) {
  if (answer.incarnation == self_.incarnation) {
    strangers_in_a_row_ = 0;
    if (upstream_is_self()) return;  // review_identity() has dealt with it
    set_identity(Identity::confirmed, "its own endpoint reached this server", now, actions);
    return;
  }
  ++strangers_in_a_row_;
  if (identity_ == Identity::confirmed && strangers_in_a_row_ < kStrangersToDoubt) return;
  settled_by_peer_ = false;
  set_identity(Identity::quarantine,
               "another server answers at its own endpoint, as node \"" + answer.node.str() +
                   "\" of federation \"" + answer.federation.str() + "\"",
               now, actions);
}

void Federation::learn_identity_from_failure(Instant now, Actions& actions) {
  // Unreachable from inside, as behind a load balancer without hairpin: no fault, but no proof.
  if (identity_ == Identity::checking) {
    set_identity(Identity::observing, "its own endpoint cannot be reached from here", now, actions);
  }
}

void Federation::learn_identity_from_peer(const Report& report, Instant asked, Instant now,
                                          Actions& actions) {
  for (const LinkReport& link : report.links) {
    // Whom a node finds at its own endpoint is its own affair, and is in its identity.
    if (link.target == report.node) continue;
    // The report was made after the request, hence this is never later than the truth: what a peer
    // saw of an earlier life must not count as seen in this one.
    const Instant observed = asked - link.age;
    if (!link.connected || !link.incarnation.known() || link.age > patience()) continue;
    if (!(link.target == self_.node)) {
      Peer* other = find(link.target);
      if (other != nullptr && other->reachable() &&
          !(other->report->incarnation == link.incarnation) &&
          observed > other->incarnation_since) {
        // Seen after the node's present life had answered us: not the life before it.
        Rival& rival = note_rival(*other, link.incarnation, Identity::confirmed, observed);
        if (!happened(rival.told_at)) rival.told_at = now;
      }
      continue;
    }
    // What the peer saw before this life of ours began was an earlier one.
    if (observed <= started_) continue;
    if (link.incarnation == self_.incarnation) {
      if (identity_ == Identity::observing) {
        set_identity(Identity::confirmed,
                     "node \"" + report.node.str() + "\" reached this server at its endpoint", now,
                     actions);
      }
    } else if (identity_ == Identity::observing) {
      set_identity(Identity::quarantine,
                   "node \"" + report.node.str() + "\" reaches another server at its endpoint", now,
                   actions);
      settled_by_peer_ = true;
    } else if (Peer* self = find(self_.node)) {
      note_rival(*self, link.incarnation, Identity::confirmed, observed);
    }
  }
}

void Federation::learn_identity_from_namesake(const Peer& peer, const Report& answer, Instant now,
                                              Actions& actions) {
  if (!(answer.node == self_.node) || answer.incarnation == self_.incarnation) return;
  if (!(answer.federation == self_.federation) ||
      answer.facts.system_identifier != self_.system_identifier) {
    return;
  }
  // Cloned from its upstream together with the name. A node that has proved itself stays: there it
  // is the upstream that was given a wrong name.
  if (identity_ != Identity::observing || upstream_of(facts_) != &peer) return;
  set_identity(Identity::quarantine, "its upstream answers under its name", now, actions);
  settled_by_peer_ = true;
}

void Federation::doubt_identity_after_move(Instant now, Actions& actions) {
  strangers_in_a_row_ = 0;
  if (identity_ == Identity::quarantine) {
    set_identity(Identity::checking, "its address was changed", now, actions);
  } else if (identity_ == Identity::confirmed) {
    // Its sessions stay while it proves itself anew: most often only an option was changed.
    set_identity(Identity::observing, "its address was changed", now, actions);
  }
}

bool Federation::upstream_is_self() const {
  const Peer* upstream = upstream_of(facts_);
  return upstream != nullptr && is_self(*upstream);
}

void Federation::review_identity(Instant now, Actions& actions) {
  if (upstream_is_self()) {
    // Nobody streams from himself: the server at that address is the real one.
    set_identity(Identity::quarantine, "its upstream is the server at its own endpoint", now,
                 actions);
    settled_by_peer_ = true;
    return;
  }
  if (identity_ != Identity::quarantine || !settled_by_peer_) return;
  if (age(identity_since_, now) < kQuarantineIntervals * settings_.peer_interval) return;
  set_identity(Identity::observing, "asking the peers again", now, actions);
}

Rival& Federation::note_rival(Peer& peer, const Incarnation& claimed, Identity identity,
                              Instant at) {
  Rival& rival = peer.rival;
  const bool same = rival.claimed == claimed;
  if (!same) rival = Rival{};
  rival.claimed = claimed;
  rival.identity = identity;
  rival.claimed_at = at;
  if (is_self(peer)) {
    rival.direct = self_.incarnation;
    rival.proven_at = at;  // we are here: whoever else says so is a second one
  } else if (peer.report && !same) {
    rival.direct = peer.report->incarnation;
  }
  return rival;
}

void Federation::weigh_rival(Peer& peer, const std::optional<Report>& before, Instant asked,
                             Instant now) {
  const Incarnation& answers = peer.report->incarnation;
  Rival& rival = peer.rival;
  if (before && !(before->incarnation == answers)) {
    if (peer.former == answers) {
      // Its endpoint leads now to one server, now to another.
      rival = Rival{};
      rival.claimed = before->incarnation;
      rival.direct = answers;
      rival.identity = before->identity;
      rival.claimed_at = rival.told_at = rival.proven_at = now;
    } else {
      rival = Rival{};  // one server that was started anew, not two
    }
    peer.former = before->incarnation;
  } else if (rival.claimed == answers) {
    rival = Rival{};
  } else if (rival.direct == answers && happened(rival.told_at) && asked >= rival.told_at) {
    // Asked after the claim: an answer that was on its way before it proves nothing.
    rival.proven_at = now;
  }
}

bool Federation::rival_proven(const Peer& peer, Instant now) const {
  return happened(peer.rival.proven_at) && age(peer.rival.claimed_at, now) < patience();
}

}  // namespace pgfed::core
