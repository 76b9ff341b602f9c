#pragma once

#include <cstdint>
#include <optional>

#include "pgfed/core/event.hpp"
#include "pgfed/core/random.hpp"
#include "pgfed/core/time.hpp"

namespace pgfed::core {

/// Attempts and requests are numbered over all sessions of a node, so that none is ever repeated.
struct Counters {
  Attempt last_attempt = 0;
  RequestId last_request = 0;
};

/// When a session acts.
struct Timing {
  Duration interval = seconds(1);  ///< between two requests
  Duration timeout = seconds(2);   ///< of a dial as a whole, and of one request
};

/// The session with one peer, from dialling to asking again and again:
///
///     idle ──start──► waiting ──due──► dialling ──opened──► ready ◄──replied── asking
///                        ▲                 │                  └──────due──────►──┘
///                        └──── failed, or its deadline passed ◄──────────────────┘
///
/// A standing session that breaks is dialled again at once, since a restarted server or a
/// terminated backend is no news yet; a dial that fails waits, longer each time up to half an
/// interval, with jitter: a peer that comes back is seen within an interval, and many nodes do not
/// dial it in step.
class PeerSession {
 public:
  enum class Phase : std::uint8_t { idle, waiting, dialling, ready, asking };

  explicit PeerSession(std::uint64_t seed) : random_(seed) {}

  /// Begins to dial (at the next tick) if it was idle.
  void start(Instant now);
  /// Hangs up and stays idle.
  void stop(Actions& actions);
  /// Hangs up and dials again, as after a change of the endpoint.
  void restart(Instant now, Actions& actions);
  /// Asks soon instead of in its turn: something that peers want to know has happened.
  void hurry(Instant now, const Timing& timing);

  /// Takes over a shorter interval or timeout for what is already under way.
  void shorten(Instant now, const Timing& timing);

  /// Does what is due. Returns the failure where a deadline has passed.
  std::optional<Failure> tick(Instant now, const Timing& timing, const NodeSpec& node,
                              Counters& counters, Actions& actions);
  void progress(Stage stage) { stage_ = stage; }
  void opened(Instant now);
  /// The session is gone. True where a standing one broke for the first time since its last reply:
  /// it is dialled again at once, and nothing need be said about the node yet.
  bool failed(Instant now, const Timing& timing);
  /// Takes the reply to the outstanding request; the round trip, or nothing if it answers another.
  std::optional<Duration> replied(RequestId request, Instant now, const Timing& timing);

  [[nodiscard]] Phase phase() const { return phase_; }
  [[nodiscard]] bool open() const { return phase_ == Phase::ready || phase_ == Phase::asking; }
  [[nodiscard]] bool owns(Attempt attempt) const {
    return attempt_ == attempt && (open() || phase_ == Phase::dialling);
  }
  [[nodiscard]] Instant connected_since() const { return opened_at_; }
  /// When tick() is wanted.
  [[nodiscard]] Instant deadline() const;

 private:
  void wait(Instant now, const Timing& timing);

  Phase phase_ = Phase::idle;
  Stage stage_ = Stage::none;
  Attempt attempt_ = 0;
  RequestId request_ = 0;
  Instant due_{};  ///< of the next dial or request, or the deadline of the present one
  Instant dialled_at_{};
  Instant asked_at_{};
  bool hurried_ = false;  ///< while a request was outstanding
  Instant opened_at_{};
  std::uint32_t dials_failed_ = 0;  ///< in a row
  Random random_;
};

}  // namespace pgfed::core
