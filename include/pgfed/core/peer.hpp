#pragma once

#include <cstdint>
#include <optional>

#include "pgfed/core/event.hpp"
#include "pgfed/core/peer_session.hpp"
#include "pgfed/core/peer_trust.hpp"
#include "pgfed/core/settings.hpp"
#include "pgfed/core/terms.hpp"

namespace pgfed::core {

/// A second server under a node's name, as far as somebody said so. Incarnations never come back, so
/// an answer of the node, a claim made later and the same answer again, asked for later still, prove
/// two; a node that was merely started anew gives no such answer.
struct Rival {
  Incarnation claimed;                     ///< what the rival calls itself
  Incarnation direct;                      ///< what we had from the node itself when we were told
  Identity identity = Identity::checking;  ///< how sure the rival is of itself
  Instant claimed_at{};                    ///< the last time: what is no longer claimed is over
  std::uint32_t calls = 0;                 ///< how often the rival itself called here
  Instant told_at{};                       ///< when the first claim that counts reached us
  Instant proven_at{};  ///< asked after that, the node answered as before: there are two
};

/// Everything that this node knows of one node of the table, itself included.
class Peer {
 public:
  Peer(const NodeSpec& spec_in, std::uint64_t seed) : spec(spec_in), session(seed) {}

  NodeSpec spec;
  PeerSession session;
  SessionInfo info;  ///< of the session that stands or stood last

  bool report_stands =
      false;  ///< nothing has happened since `report` that may have changed its state
  std::optional<Report> report;  ///< the last one that this node itself gave us, trusted
  Instant report_at{};           ///< when it was made: the middle of the round trip
  Instant seen_at{};             ///< when it came
  Instant incarnation_since{};   ///< when the first one of this incarnation came
  Duration rtt{};
  Duration clock_offset{};

  bool failing = false;        ///< the last attempt failed, or its answer was not its own
  Failure failure;             ///< why
  std::uint32_t failures = 0;  ///< in a row
  Instant failing_since{};
  Instant outcome_at{};  ///< of the last reply or failure

  std::optional<Report> heard;  ///< what it pushed to us last: hearsay
  Instant heard_at{};
  Rival rival;
  Incarnation former;  ///< the one that answered before the present one

  PeerTrust trust;

  // What was derived last, to know when it changed.
  State state = State::unknown;
  Instant state_since{};

  /// True while the session stands and its last answer was the node's own.
  [[nodiscard]] bool reachable() const { return session.open() && report && !failing; }
  /// What follows from the session and the reports, before this node's own circumstances.
  [[nodiscard]] State derive_state() const;
  /// Whether there is, as far as this node itself can see, a primary open for writes there.
  [[nodiscard]] bool is_running_primary() const {
    return state == State::running && report && report->facts.role == Role::primary;
  }
  [[nodiscard]] SessionState session_state() const;
};

/// Whether a reply can be the node's own word: same federation, system identifier and name. The
/// failure says which is not; nothing where all is well.
std::optional<Failure> find_mismatch(const Report& report, const Name& expected, const Self& self);

}  // namespace pgfed::core
