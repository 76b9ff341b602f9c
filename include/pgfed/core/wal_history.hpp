#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "pgfed/core/lsn.hpp"
#include "pgfed/core/time.hpp"

namespace pgfed::core {

/// How long ago the primary went past a position.
struct LagEstimate {
  bool known = false;      ///< false: nothing can be said, the rest means nothing
  bool at_least = false;   ///< the true lag may be larger, `lag` is its lower bound
  Duration lag{};          ///< never negative
  Duration uncertainty{};  ///< the true value is within lag ± uncertainty (with at_least: above)
};

/// Where a timeline was left for the next one: a line of a timeline history file.
struct TimelineFork {
  std::uint32_t old_timeline = 0;
  std::uint32_t new_timeline = 0;
  Lsn at;  ///< the end of what both have in common
  bool operator==(const TimelineFork&) const = default;
};

/// Which position a server's WAL had reached when: turns "replayed up to X" into "as the primary
/// was T ago". Fed by the primary with its flush position, by a standby with what it has received,
/// so that it is not blind once it is promoted.
///
/// One entry is one position and the time during which it was the end of the WAL, so that idling
/// costs no memory. The newest 6144 entries are fine: every sample, for 10 minutes of one every
/// 100 ms without a break in the writing. Before those, 1408 entries lie at most 5 s apart (about
/// 2 hours), and before these 3296 at most 60 s apart (more than two days): where WAL was sampled
/// without a break, the grain is never more than a hundredth of the age. All of it is 260,352
/// bytes, allocated by the constructor; nothing is allocated later.
///
/// Whoever sees another system identifier clears it.
class WalHistory {
 public:
  static constexpr Duration kSampleInterval = milliseconds(100);  ///< what it is made for
  static constexpr Duration kMiddleGrain = seconds(5);
  static constexpr Duration kCoarseGrain = seconds(60);

  WalHistory();

  /// The end of the WAL was at `lsn` on `timeline` at `now`. An invalid position, or a sample older
  /// than the newest one, is ignored. A step backwards (a restored or crashed server, whose later
  /// WAL is gone) forgets what lay beyond. Another timeline, to which no fork is known from the
  /// present one, starts afresh.
  void sample(std::uint32_t timeline, Lsn lsn, Instant now);

  /// A line of the timeline history of the server sampled here; best handed in before the first
  /// sample on the new timeline, the oldest line first. What was sampled beyond the fork is
  /// forgotten. Positions before it were seen with the eyes of a standby: from now on they give
  /// lower bounds. At most kMaxForks are kept, those of the highest timelines.
  void switched(const TimelineFork& fork);

  /// Forgets samples and forks.
  void clear();

  /// How long before `now` the end of the WAL went past `lsn`, a position on `timeline`. Zero where
  /// it is not behind the newest sample; then the uncertainty is the age of that sample. `now` may
  /// lie in the past, as the time of a report does.
  /// A position on an ancestor counts up to the fork. A lower timeline that is no known ancestor
  /// has at any rate nothing of this one: a lower bound. Nothing is known of a higher timeline.
  [[nodiscard]] LagEstimate lag_of(std::uint32_t timeline, Lsn lsn, Instant now) const;

  /// What `lsn` on `timeline` amounts to on the present timeline: itself, or the fork behind which
  /// that timeline is no longer ours; nothing where the timeline is no known ancestor.
  [[nodiscard]] std::optional<Lsn> position(std::uint32_t timeline, Lsn lsn) const;

  /// The end of the WAL at that moment, interpolated; the newest known one where it lies after all
  /// samples, nothing where it lies before them.
  [[nodiscard]] std::optional<Lsn> end_at(Instant when) const;

  [[nodiscard]] std::uint32_t timeline() const { return timeline_; }
  [[nodiscard]] std::size_t size() const;  ///< entries in use
  [[nodiscard]] bool empty() const { return size() == 0; }
  [[nodiscard]] Lsn newest() const;          ///< invalid where empty
  [[nodiscard]] Instant sampled_at() const;  ///< of the newest sample; kNever where empty
  [[nodiscard]] Instant oldest() const;      ///< the first moment known; kNever where empty
  [[nodiscard]] std::size_t bytes() const;   ///< of memory, this object included

  static constexpr std::size_t kMaxForks = 32;

 private:
  /// The WAL ended at `lsn` from `first_seen` to `last_seen`.
  struct Moment {
    Lsn lsn;
    Instant first_seen{};
    Instant last_seen{};
  };
  /// A ring over a part of moments_, oldest first.
  struct Tier {
    std::size_t offset = 0;
    std::size_t capacity = 0;
    std::size_t begin = 0;
    std::size_t count = 0;
    Duration grain{};
  };
  static constexpr std::size_t kFine = 6144;
  static constexpr std::size_t kMiddle = 1408;
  static constexpr std::size_t kCoarse = 3296;
  /// Two samples closer than this to the one before both are one too many: samples that a caller
  /// adds between the regular ones must not shorten the memory.
  static constexpr Duration kFineGrain = milliseconds(150);
  enum : std::size_t { coarse = 0, middle = 1, fine = 2, tier_count = 3 };

  static_assert(sizeof(Moment) == 24);
  static_assert((kFine + kMiddle + kCoarse) * sizeof(Moment) + 1024 <= 256 * 1024);

  [[nodiscard]] Moment& slot(const Tier& tier, std::size_t index);
  [[nodiscard]] const Moment& slot(const Tier& tier, std::size_t index) const;
  /// Of all tiers, the oldest first.
  [[nodiscard]] const Moment& moment(std::size_t index) const;
  [[nodiscard]] Moment& newest_moment();
  void append(std::size_t which, const Moment& added);
  void pop();
  void forget_beyond(Lsn lsn);
  void forget_samples();
  void apply(const TimelineFork& fork);
  [[nodiscard]] const TimelineFork* fork_of(std::uint32_t old_timeline) const;

  std::vector<Moment> moments_;
  std::array<Tier, tier_count> tiers_{};
  std::array<TimelineFork, kMaxForks> forks_{};
  std::size_t fork_count_ = 0;
  std::uint32_t timeline_ = 0;
  Lsn first_hand_from_;  ///< positions before it were seen by a standby
};

}  // namespace pgfed::core
