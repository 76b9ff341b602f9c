#include <string>

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
  const Identity was = identity_;
  identity_ = identity;
  identity_since_ = now;
  dirty_ = true;
  if (identity == Identity::quarantine) {
    actions.emplace_back(Record{Severity::critical, "quarantine", self_.node, why});
    return;
  }
  settled_by_peer_ = false;
  if (was == Identity::quarantine) {
    actions.emplace_back(Record{Severity::info, "quarantine_over", self_.node, why});
  } else if (identity == Identity::confirmed) {
    actions.emplace_back(Record{Severity::info, "identity_confirmed", self_.node, why});
  }
}

void Federation::learn_identity_from_self(const Report& answer, Instant now, Actions& actions) {
  if (answer.incarnation == self_.incarnation) {
    strangers_in_a_row_ = 0;
    if (facts_.role == Role::standby) {
      const Peer* upstream = upstream_of(facts_);
      if (upstream != nullptr && is_self(*upstream)) {
        set_identity(Identity::quarantine, "its upstream is the server at its own endpoint", now,
                     actions);
        return;
      }
    }
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
    // The report was made after the request, hence this is never later than the truth: what a peer
    // saw of an earlier life must not count as seen in this one.
    const Instant observed = asked - link.age;
    if (!link.connected || !link.incarnation.known() || link.age > patience()) continue;
    if (!(link.target == self_.node)) {
      Peer* other = find(link.target);
      if (other != nullptr && other->reachable() &&
          !(other->report->incarnation == link.incarnation) && observed > started_) {
        note_rival(*other, link.incarnation, Identity::confirmed, observed);
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

void Federation::review_quarantine(Instant now, Actions& actions) {
  if (identity_ != Identity::quarantine || !settled_by_peer_) return;
  if (age(identity_since_, now) < kQuarantineIntervals * settings_.peer_interval) return;
  set_identity(Identity::observing, "asking the peers again", now, actions);
}

void Federation::note_rival(Peer& peer, const Incarnation& claimed, Identity identity,
                            Instant at) {
  Rival& rival = peer.rival;
  // Seen before the node's present life began for us: that was the life before, not a rival.
  if (!is_self(peer) && at <= peer.incarnation_since) return;
  const bool same = rival.claimed == claimed;
  if (!same) {
    rival = Rival{};
    rival.first_claimed_at = at;
  }
  rival.claimed = claimed;
  rival.identity = identity;
  rival.claimed_at = at;
  if (is_self(peer)) {
    rival.direct = self_.incarnation;
    rival.proven_at = at;  // we are here: whoever else says so is a second one
  } else if (peer.report && !same) {
    rival.direct = peer.report->incarnation;
  }
}

bool Federation::rival_proven(const Peer& peer, Instant now) const {
  return happened(peer.rival.proven_at) && age(peer.rival.claimed_at, now) < patience();
}

}  // namespace pgfed::core
