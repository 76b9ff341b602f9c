#pragma once

#include <cstdint>
#include <optional>

#include "pgfed/core/lag_row.hpp"
#include "pgfed/core/lsn.hpp"
#include "pgfed/core/terms.hpp"
#include "pgfed/core/text.hpp"
#include "pgfed/core/time.hpp"
#include "pgfed/core/wal_history.hpp"

namespace pgfed::core {

/// What a standby said of its own WAL at one moment.
struct StandbyWal {
  Instant reported_at{};  ///< the middle of the round trip, on our clock
  Duration round_trip{};
  bool streaming = false;               ///< its walreceiver has a stream
  std::uint32_t timeline = 0;           ///< that it replays
  std::uint32_t received_timeline = 0;  ///< of `write` and `flush`; 0: as `timeline`
  Lsn write;                            ///< received and written
  Lsn flush;
  Lsn replay;
  bool writing = false;            ///< its walreceiver waited for its disk at that moment
  bool replay_paused = false;      ///< pg_wal_replay_pause(), and it has taken effect
  bool delaying = false;           ///< its startup process waited out the apply delay
  bool recovery_conflict = false;  ///< its startup process waited for a query to go
  Duration apply_delay{};          ///< recovery_min_apply_delay
};

/// All that a row is made from, as known now.
struct LagInput {
  Name node;
  Name upstream;                     ///< in use; empty: none or not a known node
  Name measured_by;                  ///< ourselves
  State state = State::unknown;      ///< as pgfed.federation shows it
  std::optional<StandbyWal> report;  ///< the last one, however old; older than one seen: ignored
  Lsn sent;                          ///< what its upstream has sent to it; invalid: not known
  Duration freshness = seconds(2);   ///< 2 × pgfed.peer_interval
  /// The history handed in is the one primary's own. False (two primaries, or none): no lag can be
  /// measured now.
  bool primary_known = true;
  /// Whether the node's upstream has a walsender for it: tells a cut between its upstream and it
  /// from one between it and us. Nothing: not known.
  std::optional<bool> attached;
};

/// Turns a standby's reports into its row of pgfed.lag, on the server that samples the primary's
/// WAL. One for each node; call judge() at each report, and whenever the row is wanted.
///
/// - The lags of a fresh report hold for measured_at, its own moment. Zero is said only for a fresh
///   report that has all.
/// - Without a fresh report, or where nothing can be compared (primary_known false, a timeline of
///   which the history knows nothing), the last lags grow by 1 s each second and are stale; so they
///   are, without growing between two reports, where the history is too short.
/// - The cause is the leg (network, write, flush, replay) with the largest part of the replay lag.
///   It appears at kNamed and is `none` again below kUnnamed; another leg must be larger by a
///   quarter; and a change must be seen in two reports one after the other. `since` is then the
///   first of the two. Losing the stream and pausing are facts, and taken at once.
class LagJudge {
 public:
  static constexpr Duration kNamed = milliseconds(300);
  static constexpr Duration kUnnamed = milliseconds(150);
  /// Over which the rates are smoothed: a change shows by two thirds after that time.
  static constexpr Duration kRateWindow = seconds(10);

  LagRow judge(const LagInput& input, const WalHistory& primary, Instant now);

  /// What another server, the primary until now, measured of this node: where nothing can be
  /// measured here yet, its lags grow on.
  void remember(const LagRow& row);

 private:
  /// A rate from a sequence of positions, smoothed.
  class Rate {
   public:
    /// A step backwards begins afresh.
    void take(Lsn position, Instant at);
    void clear() { *this = Rate{}; }
    [[nodiscard]] std::optional<double> bytes_per_second() const { return rate_; }

   private:
    Lsn position_;
    Instant at_{};
    std::optional<double> rate_;
  };

  void measure(const WalHistory& primary, LagRow& row) const;
  void take_report(const StandbyWal& report, const LagRow& row, const WalHistory& primary);
  [[nodiscard]] LagCause cause_of(const StandbyWal& report, const LagRow& row) const;
  void settle(LagCause seen, Instant at);
  void become(LagCause cause, Instant since);
  void forecast(LagRow& row) const;

  std::optional<StandbyWal> report_;  ///< the newest one
  Instant counted_at_{};              ///< of the report that cause and rates have seen last
  LagRow last_;                       ///< the last one that was measured; measured_at kNever: none

  LagCause cause_ = LagCause::none;
  Instant since_{};
  LagCause pending_ = LagCause::none;  ///< seen once; cause_: nothing pending
  Instant pending_since_{};

  Rate replay_rate_;
  Rate primary_rate_;
};

}  // namespace pgfed::core
