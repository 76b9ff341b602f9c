#include "pgfed/core/lag_judge.hpp"

#include <algorithm>
#include <array>

namespace pgfed::core {
namespace {

/// Beyond the setting: what the standby still has to replay once the delay is over, and our grain.
constexpr Duration kDelaySlack = seconds(1);
/// Reports closer together say nothing of a rate.
constexpr Duration kRateGrain = milliseconds(10);
/// A surplus of less than this part of the rate is noise, not catching up.
constexpr double kCatchUpPart = 0.05;
/// Nobody waits for longer than that.
constexpr double kCatchUpLimit = 30.0 * 24 * 3600;

constexpr bool is_fact(LagCause cause) {
  return cause == LagCause::disconnected || cause == LagCause::replay_paused;
}

/// A bound of "at least nothing" is no knowledge.
bool usable(const LagEstimate& estimate) {
  return estimate.known && (!estimate.at_least || estimate.lag > Duration::zero());
}

std::int64_t to_us(const LagEstimate& estimate) {
  return usable(estimate) ? estimate.lag.count() : kNoValue;
}

/// What is flushed was written, and what is replayed was flushed, whoever brought it.
StandbyWal in_order(StandbyWal report) {
  if (report.received_timeline == 0) report.received_timeline = report.timeline;
  if (report.received_timeline == report.timeline) {
    report.flush = std::max(report.flush, report.replay);
  }
  report.write = std::max(report.write, report.flush);
  return report;
}

}  // namespace

LagRow LagJudge::judge(const LagInput& input, const WalHistory& primary, Instant now) {
  if (input.report && (!report_ || input.report->reported_at >= report_->reported_at)) {
    report_ = in_order(*input.report);
  }
  LagRow row;
  row.fresh_until = now;
  if (report_) {
    row.write = report_->write;
    row.flush = report_->flush;
    row.replay = report_->replay;
    row.fresh_until = report_->reported_at + input.freshness;
  }
  const bool fresh = report_ && now < row.fresh_until;
  if (fresh && input.primary_known) measure(primary, row);
  const bool measured = row.replay_lag_us != kNoValue;
  if (fresh && report_->reported_at > counted_at_) take_report(*report_, row, primary);
  if (measured) {
    forecast(row);
    last_ = row;
  } else {
    row.lag_bytes = last_.lag_bytes;
    row.write_lag_us = last_.write_lag_us;
    row.flush_lag_us = last_.flush_lag_us;
    row.replay_lag_us = last_.replay_lag_us;
    row.measured_at = last_.measured_at;
    row.as_of = last_.as_of;
    row.fresh_until = last_.measured_at;  // long ago: aged() makes it grow
    if (report_ && input.primary_known) {
      const auto end = primary.position(report_->timeline, report_->replay);
      if (end) row.lag_bytes = static_cast<std::int64_t>(bytes_between(*end, primary.newest()));
    }
  }
  // Not heard of, while nobody says that its stream stands.
  if (!fresh && report_ && !input.attached.value_or(false)) {
    if (cause_ != LagCause::disconnected) become(LagCause::disconnected, report_->reported_at);
  }
  row.node = input.node;
  row.upstream = input.upstream;
  row.measured_by = input.measured_by;
  row.state = input.state;
  row.sent = input.sent;
  row.cause = cause_;
  row.since = since_;
  return aged(row, now);
}

void LagJudge::remember(const LagRow& row) {
  if (row.replay_lag_us == kNoValue || row.measured_at <= last_.measured_at) return;
  last_ = row;
  if (!happened(since_) && happened(row.since)) become(row.cause, row.since);
}

void LagJudge::measure(const WalHistory& primary, LagRow& row) const {
  const StandbyWal& report = *report_;
  const Instant then = report.reported_at;
  const LagEstimate replay = primary.lag_of(report.timeline, report.replay, then);
  if (!usable(replay)) return;
  const LagEstimate flush = primary.lag_of(report.received_timeline, report.flush, then);
  const LagEstimate write = primary.lag_of(report.received_timeline, report.write, then);
  row.stale = replay.at_least;
  row.replay_lag_us = to_us(replay);
  // On a timeline that we do not know yet, it may have received more than it has replayed.
  row.flush_lag_us = std::min(to_us(flush), row.replay_lag_us);
  row.write_lag_us = std::min(to_us(write), row.flush_lag_us);
  if (!replay.at_least) {
    row.uncertainty_us = (replay.uncertainty + report.round_trip / 2).count();
  }
  const auto position = primary.position(report.timeline, report.replay);
  if (position) {
    const Lsn end = primary.end_at(then).value_or(primary.newest());
    row.lag_bytes = static_cast<std::int64_t>(bytes_between(*position, end));
  }
  row.measured_at = then;
  row.as_of = then;
}

void LagJudge::take_report(const StandbyWal& report, const LagRow& row, const WalHistory& primary) {
  counted_at_ = report.reported_at;
  const auto position = primary.position(report.timeline, report.replay);
  const auto end = primary.end_at(report.reported_at);
  if (position) {
    replay_rate_.take(*position, report.reported_at);
  } else {
    replay_rate_.clear();
  }
  if (end) primary_rate_.take(*end, report.reported_at);
  settle(cause_of(report, row), report.reported_at);
}

LagCause LagJudge::cause_of(const StandbyWal& report, const LagRow& row) const {
  if (!report.streaming) return LagCause::disconnected;
  if (report.replay_paused) return LagCause::replay_paused;
  // Nothing can be compared now: nothing new is known, but that those facts are over.
  if (row.replay_lag_us == kNoValue) return is_fact(cause_) ? LagCause::none : cause_;
  const Duration threshold = cause_ == LagCause::none ? kNamed : kUnnamed;
  if (row.replay_lag_us < threshold.count()) return LagCause::none;

  struct Leg {
    LagCause cause;
    std::int64_t us;
  };
  const std::int64_t write = std::max<std::int64_t>(row.write_lag_us, 0);
  const std::int64_t flush = std::max<std::int64_t>(row.flush_lag_us, write);
  const std::int64_t replay = row.replay_lag_us - flush;
  // A walreceiver that waits for its disk leaves the WAL in the network's buffers.
  const LagCause receiving = report.writing ? LagCause::write : LagCause::network;
  LagCause replaying = LagCause::replay;
  if (report.recovery_conflict) {
    replaying = LagCause::recovery_conflict;
  } else if (report.delaying || (report.apply_delay > Duration::zero() &&
                                 replay <= (report.apply_delay + kDelaySlack).count())) {
    replaying = LagCause::apply_delay;
  }
  const std::array<Leg, 3> legs{Leg{replaying, replay}, Leg{LagCause::flush, flush - write},
                                Leg{receiving, write}};
  const auto* const largest = std::max_element(
      legs.begin(), legs.end(), [](const Leg& a, const Leg& b) { return a.us < b.us; });
  const auto* const present =
      std::find_if(legs.begin(), legs.end(), [&](const Leg& leg) { return leg.cause == cause_; });
  if (present != legs.end() && largest->us <= present->us + present->us / 4) return cause_;
  return largest->cause;
}

void LagJudge::settle(LagCause seen, Instant at) {
  const bool first = !happened(since_);
  if (!first && seen == cause_) {
    pending_ = cause_;
  } else if (first || is_fact(seen) || is_fact(cause_)) {
    become(seen, at);
  } else if (pending_ != cause_) {
    // Where legs take turns, what began with the first of them is that there is a lag to name.
    become(seen, seen == pending_ || cause_ == LagCause::none ? pending_since_ : at);
  } else {
    pending_ = seen;
    pending_since_ = at;
  }
}

void LagJudge::become(LagCause cause, Instant since) {
  cause_ = cause;
  since_ = since;
  pending_ = cause;
}

/// How long until nothing is missing, if both go on as they do.
void LagJudge::forecast(LagRow& row) const {
  const auto replayed = replay_rate_.bytes_per_second();
  if (replayed) row.bytes_per_second = static_cast<std::int64_t>(*replayed);
  if (row.stale) return;
  if (row.replay_lag_us == 0) {
    row.catch_up_in_us = 0;
    return;
  }
  // It stands still, or stays behind on purpose.
  if (is_fact(cause_) || cause_ == LagCause::apply_delay) return;
  const auto written = primary_rate_.bytes_per_second();
  if (row.lag_bytes == kNoValue || !replayed || !written) return;
  const double surplus = *replayed - *written;
  if (surplus <= *replayed * kCatchUpPart || surplus <= 0) return;
  const double left = static_cast<double>(row.lag_bytes) / surplus;
  if (left <= kCatchUpLimit) row.catch_up_in_us = static_cast<std::int64_t>(left * 1e6);
}

void LagJudge::Rate::take(Lsn position, Instant at) {
  if (!happened(at_) || position < position_) {
    *this = Rate{};
  } else {
    const Duration passed = at - at_;
    if (passed < kRateGrain) return;
    const auto interval = static_cast<double>(passed.count());
    const double now = static_cast<double>(bytes_between(position_, position)) * 1e6 / interval;
    const double weight = interval / (interval + static_cast<double>(kRateWindow.count()));
    rate_ = rate_ ? *rate_ + weight * (now - *rate_) : now;
  }
  position_ = position;
  at_ = at;
}

}  // namespace pgfed::core
