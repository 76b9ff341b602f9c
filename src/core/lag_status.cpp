#include "pgfed/core/lag_status.hpp"

namespace pgfed::core {

std::optional<LagStatus::Transition> LagStatus::update(std::optional<Duration> lag, bool stale,
                                                       const JudgedBy& judged_by, Instant now) {
  Status next = Status::unknown;
  if (lag) {
    const Duration patience = 2 * judged_by.peer_interval;
    warning_.update(*lag, stale, judged_by.lag_warning, patience, now);
    critical_.update(*lag, stale, judged_by.lag_critical, patience, now);
    next = critical_.on ? Status::critical : warning_.on ? Status::warning : Status::ok;
  }
  if (!happened(since_)) since_ = now;
  if (next == status_) return std::nullopt;
  const Transition transition{status_, next, now, lag};
  status_ = next;
  since_ = now;
  return transition;
}

void LagStatus::Level::update(Duration lag, bool stale, Duration threshold, Duration patience,
                              Instant now) {
  if (lag >= threshold) {
    on = true;
    below_since = kNever;
    return;
  }
  if (!on) return;
  if (stale || lag >= threshold * 4 / 5) {
    below_since = kNever;
    return;
  }
  if (!happened(below_since)) below_since = now;
  if (now - below_since >= patience) on = false;
}

}  // namespace pgfed::core
