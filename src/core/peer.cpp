#include "pgfed/core/peer.hpp"

#include <string>

namespace pgfed::core {

State Peer::derive_state() const {
  if (!failing) return report ? report->facts.state : State::unknown;
  switch (failure.kind) {
    case FailureKind::crowded:
      // It lives, and only has no place for us: what it said last still stands.
      return report && report_stands ? report->facts.state : State::unknown;
    case FailureKind::starting:
      return State::starting;
    case FailureKind::not_loaded:
      return State::no_pgfed;
    case FailureKind::other_system:
      return State::wrong_system;
    default:
      return State::unreachable;
  }
}

SessionState Peer::session_state() const {
  switch (session.phase()) {
    case PeerSession::Phase::idle:
      return SessionState::idle;
    case PeerSession::Phase::waiting:
    case PeerSession::Phase::dialling:
      return failing ? SessionState::failed : SessionState::connecting;
    case PeerSession::Phase::ready:
    case PeerSession::Phase::asking:
      return failing ? SessionState::failed : SessionState::connected;
  }
  return SessionState::idle;
}

std::optional<Failure> find_mismatch(const Report& report, const Name& expected, const Self& self) {
  Failure failure;
  failure.stage = Stage::query;
  if (report.facts.system_identifier != self.system_identifier) {
    failure.kind = FailureKind::other_system;
    failure.message = "another cluster answers: its system identifier is " +
                      std::to_string(report.facts.system_identifier) + ", ours is " +
                      std::to_string(self.system_identifier);
    return failure;
  }
  if (!(report.federation == self.federation)) {
    failure.kind = FailureKind::other_system;
    failure.message = "another federation answers: \"" + report.federation.str() +
                      "\" instead of \"" + self.federation.str() + "\"";
    return failure;
  }
  if (!(report.node == expected)) {
    failure.kind = FailureKind::other_node;
    failure.message =
        "another node answers: \"" + report.node.str() + "\" instead of \"" + expected.str() + "\"";
    return failure;
  }
  return std::nullopt;
}

}  // namespace pgfed::core
