#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "pgfed/core/lsn.hpp"
#include "pgfed/core/picture.hpp"
#include "pgfed/core/terms.hpp"
#include "pgfed/core/text.hpp"
#include "pgfed/core/time.hpp"

namespace pgfed::core {

/// pgfed.lag.cause: why a standby is behind. The numbers travel: append, never renumber.
/// `disconnected` and `replay_paused` are shown as long as they last, also while nothing is missing
/// yet; the others only with a lag that is worth a name (see LagJudge).
enum class LagCause : std::uint8_t {
  none = 0,
  disconnected = 1,       ///< it has no stream, or has not been heard of
  network = 2,            ///< not received yet
  write = 3,              ///< its walreceiver waits for its disk
  flush = 4,              ///< written, not flushed
  replay = 5,             ///< flushed, not replayed
  replay_paused = 6,      ///< pg_wal_replay_pause()
  apply_delay = 7,        ///< recovery_min_apply_delay
  recovery_conflict = 8,  ///< replay waits for a query on the standby
};

constexpr std::string_view word(LagCause value) {
  return detail::lookup(
      std::array<std::string_view, 9>{"none", "disconnected", "network", "write", "flush", "replay",
                                      "replay_paused", "apply_delay", "recovery_conflict"},
      value);
}

/// A row of pgfed.lag. Standard layout, as the rows of Picture. Always read through aged(), which
/// knows what of it still holds.
struct LagRow {
  Name node;
  Name upstream;  ///< in use; empty: none or not a known node
  Name measured_by;
  State state = State::unknown;
  LagCause cause = LagCause::none;
  /// The lags are lower bounds: there is no fresh report, or the primary's history does not reach
  /// that far back.
  bool stale = true;
  Lsn sent;  ///< invalid: not known; likewise the next three
  Lsn write;
  Lsn flush;
  Lsn replay;
  std::int64_t lag_bytes = kNoValue;
  std::int64_t write_lag_us = kNoValue;  ///< kNoValue: nothing was ever known; likewise the next
  std::int64_t flush_lag_us = kNoValue;
  std::int64_t replay_lag_us = kNoValue;
  std::int64_t uncertainty_us = kNoValue;  ///< the true replay lag is within ± this; -1: unbounded
  std::int64_t bytes_per_second = kNoValue;  ///< of replay, smoothed
  std::int64_t catch_up_in_us = kNoValue;    ///< kNoValue: not known, or never at this rate
  Instant since{};                           ///< when this cause began
  Instant measured_at{};  ///< when the report was true that these lags come from; kNever: no lags
  Instant as_of{};        ///< the moment for which the lags hold: measured_at, or later where stale
  Instant fresh_until{};  ///< without a newer row by then, it is stale
};

/// The row as it is at `now`: once fresh_until has passed it is stale, and its lags grow by what
/// has passed since. Ageing twice is ageing once.
LagRow aged(LagRow row, Instant now);

/// A row of another server's pgfed.lag, its instants on this server's clock already, told at
/// `heard_at`: stays fresh for `freshness` from then, unless it was stale when it was told.
LagRow second_hand(LagRow row, Instant heard_at, Duration freshness);

}  // namespace pgfed::core
