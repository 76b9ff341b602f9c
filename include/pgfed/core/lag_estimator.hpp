#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "pgfed/core/lsn.hpp"
#include "pgfed/core/time.hpp"

namespace pgfed::core {

/// When the primary had which LSN, in a fixed amount of memory: turns "replayed up to X" into "as
/// the primary was T ago". A first estimate: its grain is the distance of the samples.
class LagEstimator {
 public:
  /// The primary's flush LSN as it was at `at`. A step backwards or another timeline (a promotion)
  /// starts afresh.
  void sample(std::uint32_t timeline, Lsn lsn, Instant at);
  /// How long ago the primary had no more than `lsn`; zero where `lsn` is not behind the newest
  /// sample; nothing while nothing is known. A lower bound where `lsn` is older than every sample.
  [[nodiscard]] std::optional<Duration> lag(Lsn lsn, Instant now) const;
  void clear() { count_ = 0; }

 private:
  struct Sample {
    Lsn lsn;
    Instant first_seen{};
    Instant last_seen{};
  };
  static constexpr std::size_t kCapacity = 256;
  static constexpr Duration kGrain = milliseconds(100);

  std::uint32_t timeline_ = 0;
  std::size_t count_ = 0;
  std::array<Sample, kCapacity> samples_{};  ///< oldest first
};

}  // namespace pgfed::core
