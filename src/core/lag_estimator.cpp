#include "pgfed/core/lag_estimator.hpp"

#include <algorithm>

namespace pgfed::core {

void LagEstimator::sample(std::uint32_t timeline, Lsn lsn, Instant at) {
  if (!lsn.valid()) return;
  if (timeline != timeline_) {
    clear();
    timeline_ = timeline;
  }
  if (count_ > 0 && lsn < samples_[count_ - 1].lsn && at >= samples_[count_ - 1].last_seen) clear();
  if (count_ > 0) {
    Sample& newest = samples_[count_ - 1];
    // An older report that a newer one overtook: nothing to learn from it.
    if (at < newest.last_seen) return;
    if (lsn == newest.lsn) {
      newest.last_seen = at;
      return;
    }
    // Too close to the sample before it to be worth a place: the newest one moves on instead.
    if (count_ > 1 && at - samples_[count_ - 2].last_seen < kGrain) {
      newest = Sample{lsn, at, at};
      return;
    }
  }
  if (count_ == kCapacity) {
    // Thin the older half out: recent lag stays fine, old lag becomes coarse.
    std::size_t kept = 0;
    for (std::size_t i = 0; i < kCapacity; ++i) {
      if (i < kCapacity / 2 && i % 2 == 1) continue;
      samples_[kept++] = samples_[i];
    }
    count_ = kept;
  }
  samples_[count_++] = Sample{lsn, at, at};
}

std::optional<Duration> LagEstimator::lag(Lsn lsn, Instant now) const {
  if (count_ == 0 || !lsn.valid()) return std::nullopt;
  if (lsn >= samples_[count_ - 1].lsn) return Duration::zero();
  const auto* begin = samples_.data();
  const auto* end = begin + count_;
  const auto* above =
      std::upper_bound(begin, end, lsn, [](Lsn value, const Sample& s) { return value < s.lsn; });
  if (above == begin) return age(above->first_seen, now);
  // The primary had `lsn` somewhere between the last moment of the sample below and the first of
  // the one above; in between it is taken to have written evenly.
  const Sample& below = *(above - 1);
  const auto span = static_cast<double>(bytes_between(below.lsn, above->lsn));
  const auto part = static_cast<double>(bytes_between(below.lsn, lsn)) / span;
  const auto between = static_cast<double>((above->first_seen - below.last_seen).count()) * part;
  return age(below.last_seen + Duration(static_cast<Duration::rep>(between)), now);
}

}  // namespace pgfed::core
