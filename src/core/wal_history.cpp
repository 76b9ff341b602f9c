#include "pgfed/core/wal_history.hpp"

#include <algorithm>

namespace pgfed::core {
namespace {

/// The part of `whole` that `part` of `of` is.
Duration portion(Duration whole, std::uint64_t part, std::uint64_t of) {
  const double share = static_cast<double>(part) / static_cast<double>(of);
  return Duration(static_cast<Duration::rep>(static_cast<double>(whole.count()) * share));
}

}  // namespace

WalHistory::WalHistory() : moments_(kFine + kMiddle + kCoarse) {
  tiers_[coarse] = Tier{0, kCoarse, 0, 0, kCoarseGrain};
  tiers_[middle] = Tier{kCoarse, kMiddle, 0, 0, kMiddleGrain};
  tiers_[fine] = Tier{kCoarse + kMiddle, kFine, 0, 0, kFineGrain};
}

void WalHistory::sample(std::uint32_t timeline, Lsn lsn, Instant now) {
  if (!lsn.valid() || timeline == 0) return;
  if (!empty() && now < sampled_at()) return;
  // Each step follows one fork to a higher timeline: this ends.
  while (timeline_ != timeline) {
    const TimelineFork* fork = fork_of(timeline_);
    if (fork == nullptr || fork->new_timeline > timeline) {
      forget_samples();
      timeline_ = timeline;
    } else {
      apply(*fork);
    }
  }
  forget_beyond(lsn);
  if (!empty() && newest() == lsn) {
    newest_moment().last_seen = now;
    return;
  }
  append(fine, Moment{lsn, now, now});
}

void WalHistory::switched(const TimelineFork& fork) {
  if (fork.old_timeline == 0 || fork.new_timeline <= fork.old_timeline || !fork.at.valid()) return;
  auto* const begin = forks_.data();
  // A server that was rewound into another line of succession: the older word is void.
  auto* end = std::remove_if(begin, begin + fork_count_, [&](const TimelineFork& other) {
    return other.old_timeline == fork.old_timeline || other.new_timeline == fork.new_timeline;
  });
  if (end == begin + kMaxForks) {
    // The lowest timelines are the longest ago; forks are kept sorted.
    if (fork.old_timeline < begin->old_timeline) return;
    end = std::move(begin + 1, end, begin);
  }
  auto* const place = std::upper_bound(
      begin, end, fork,
      [](const TimelineFork& a, const TimelineFork& b) { return a.old_timeline < b.old_timeline; });
  std::move_backward(place, end, end + 1);
  *place = fork;
  fork_count_ = static_cast<std::size_t>(end + 1 - begin);
  if (fork.old_timeline == timeline_) apply(fork);
}

void WalHistory::clear() {
  forget_samples();
  fork_count_ = 0;
  timeline_ = 0;
}

LagEstimate WalHistory::lag_of(std::uint32_t timeline, Lsn lsn, Instant now) const {
  if (empty() || !lsn.valid()) return {};
  const Moment& first = moment(0);
  const auto here = position(timeline, lsn);
  if (!here) {
    if (timeline == 0 || timeline > timeline_) return {};
    // It cannot have what came first on this timeline, or was there at the first sample.
    if (!first_hand_from_.valid()) {
      return {true, true, age(first.first_seen, now), Duration::zero()};
    }
    LagEstimate estimate = lag_of(timeline_, first_hand_from_, now);
    estimate.at_least = true;
    return estimate;
  }
  if (*here >= newest()) return {true, false, Duration::zero(), age(sampled_at(), now)};
  if (*here < first.lsn) return {true, true, age(first.first_seen, now), Duration::zero()};
  std::size_t below = 0;  // its position is not beyond; the one of `above` is
  std::size_t above = size() - 1;
  while (above - below > 1) {
    const std::size_t half = below + (above - below) / 2;
    (moment(half).lsn <= *here ? below : above) = half;
  }
  const Moment& from = moment(below);
  const Moment& to = moment(above);
  const Duration gap = to.first_seen - from.last_seen;
  const Duration into =
      portion(gap, bytes_between(from.lsn, *here), bytes_between(from.lsn, to.lsn));
  return {true, *here < first_hand_from_, age(from.last_seen + into, now),
          std::max(into, gap - into)};
}

std::optional<Lsn> WalHistory::position(std::uint32_t timeline, Lsn lsn) const {
  if (timeline_ == 0) return std::nullopt;
  while (timeline != timeline_) {
    const TimelineFork* fork = fork_of(timeline);
    if (fork == nullptr || fork->new_timeline > timeline_) return std::nullopt;
    lsn = std::min(lsn, fork->at);
    timeline = fork->new_timeline;
  }
  return lsn;
}

std::optional<Lsn> WalHistory::end_at(Instant when) const {
  if (empty() || when < oldest()) return std::nullopt;
  std::size_t begun = 0;  // had begun by then; `later` had not
  std::size_t later = size();
  while (later - begun > 1) {
    const std::size_t half = begun + (later - begun) / 2;
    (moment(half).first_seen <= when ? begun : later) = half;
  }
  const Moment& from = moment(begun);
  if (later == size() || when <= from.last_seen) return from.lsn;
  const Moment& to = moment(later);
  const auto share = static_cast<double>((when - from.last_seen).count()) /
                     static_cast<double>((to.first_seen - from.last_seen).count());
  const auto bytes = static_cast<double>(bytes_between(from.lsn, to.lsn)) * share;
  return Lsn{from.lsn.value + static_cast<std::uint64_t>(bytes)};
}

std::size_t WalHistory::size() const {
  return tiers_[coarse].count + tiers_[middle].count + tiers_[fine].count;
}

Lsn WalHistory::newest() const { return empty() ? Lsn{} : moment(size() - 1).lsn; }

Instant WalHistory::sampled_at() const { return empty() ? kNever : moment(size() - 1).last_seen; }

Instant WalHistory::oldest() const { return empty() ? kNever : moment(0).first_seen; }

std::size_t WalHistory::bytes() const {
  return sizeof *this + moments_.capacity() * sizeof(Moment);
}

WalHistory::Moment& WalHistory::slot(const Tier& tier, std::size_t index) {
  return moments_[tier.offset + (tier.begin + index) % tier.capacity];
}

const WalHistory::Moment& WalHistory::slot(const Tier& tier, std::size_t index) const {
  return moments_[tier.offset + (tier.begin + index) % tier.capacity];
}

const WalHistory::Moment& WalHistory::moment(std::size_t index) const {
  for (const Tier& tier : tiers_) {
    if (index < tier.count) return slot(tier, index);
    index -= tier.count;
  }
  return moments_.front();  // never: callers stay below size()
}

WalHistory::Moment& WalHistory::newest_moment() {
  const auto newest =
      std::find_if(tiers_.rbegin(), tiers_.rend(), [](const Tier& tier) { return tier.count > 0; });
  return slot(*newest, newest->count - 1);
}

/// What a finer tier has no room for moves to the coarser one. There an entry is superfluous where
/// its neighbours are close enough to interpolate between; so the newest entry of a tier is always
/// the one that came last, and gives way to the next one if that is close enough to the one before.
/// A long pause is longer than the grain, and is thus kept with its beginning and its end.
void WalHistory::append(std::size_t which, const Moment& added) {
  Tier& tier = tiers_.at(which);
  if (tier.count > 1 && added.first_seen - slot(tier, tier.count - 2).last_seen <= tier.grain) {
    slot(tier, tier.count - 1) = added;
    return;
  }
  if (tier.count == tier.capacity) {
    if (which != coarse) append(which - 1, slot(tier, 0));
    tier.begin = (tier.begin + 1) % tier.capacity;
    --tier.count;
  }
  slot(tier, tier.count++) = added;
}

void WalHistory::pop() {
  const auto newest =
      std::find_if(tiers_.rbegin(), tiers_.rend(), [](const Tier& tier) { return tier.count > 0; });
  --newest->count;
}

/// The WAL ended at `lsn` since it first got there or beyond: what it had beyond is undone.
void WalHistory::forget_beyond(Lsn lsn) {
  if (newest() <= lsn) return;
  const Instant last_seen = sampled_at();
  Instant first_seen = last_seen;
  while (!empty() && newest() > lsn) {
    first_seen = newest_moment().first_seen;
    pop();
  }
  if (!empty() && newest() == lsn) {
    newest_moment().last_seen = last_seen;
  } else {
    append(fine, Moment{lsn, first_seen, last_seen});
  }
}

void WalHistory::forget_samples() {
  for (Tier& tier : tiers_) tier.begin = tier.count = 0;
  first_hand_from_ = Lsn{};
}

void WalHistory::apply(const TimelineFork& fork) {
  if (!empty()) {
    forget_beyond(fork.at);
    first_hand_from_ = fork.at;
  }
  timeline_ = fork.new_timeline;
}

const TimelineFork* WalHistory::fork_of(std::uint32_t old_timeline) const {
  for (std::size_t i = 0; i < fork_count_; ++i) {
    if (forks_[i].old_timeline == old_timeline) return &forks_[i];
  }
  return nullptr;
}

}  // namespace pgfed::core
