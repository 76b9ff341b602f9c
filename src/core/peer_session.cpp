#include "pgfed/core/peer_session.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace pgfed::core {

namespace {

constexpr Duration kFirstWait = milliseconds(50);
constexpr Duration kHurry = milliseconds(50);

std::string milliseconds_text(Duration duration) {
  return std::to_string(std::chrono::duration_cast<milliseconds>(duration).count()) + " ms";
}

Failure timed_out(Stage stage, const Timing& timing) {
  Failure failure;
  failure.stage = stage == Stage::none ? Stage::connect : stage;
  failure.kind = FailureKind::network;
  switch (failure.stage) {
    case Stage::resolve:
      failure.message =
          "could not resolve the host name within " + milliseconds_text(timing.timeout);
      break;
    case Stage::query:
      failure.message = "no reply within " + milliseconds_text(timing.timeout);
      break;
    default:
      failure.message = "no connection within " + milliseconds_text(timing.timeout);
      break;
  }
  return failure;
}

}  // namespace

void PeerSession::start(Instant now) {
  if (phase_ != Phase::idle) return;
  phase_ = Phase::waiting;
  due_ = now;
  dials_failed_ = 0;
}

void PeerSession::stop(Actions& actions) {
  if (open() || phase_ == Phase::dialling) actions.emplace_back(Hangup{attempt_});
  phase_ = Phase::idle;
  opened_at_ = kNever;
  request_ = 0;
}

void PeerSession::restart(Instant now, Actions& actions) {
  stop(actions);
  start(now);
}

void PeerSession::hurry(Instant now, const Timing& timing) {
  // At most five times the usual rate, whatever happens around us.
  const Instant soonest =
      std::max(now + random_.between(milliseconds(1), kHurry), asked_at_ + timing.interval / 5);
  if (phase_ == Phase::ready) due_ = std::min(due_, soonest);
  // The outstanding request carried what was so before, and so may its reply.
  if (phase_ == Phase::asking) hurried_ = true;
}

void PeerSession::shorten(Instant now, const Timing& timing) {
  switch (phase_) {
    case Phase::idle:
      break;
    case Phase::waiting:
      due_ = std::min(due_, now + timing.interval / 2);
      break;
    case Phase::ready:
      due_ = std::min(due_, now + timing.interval);
      break;
    case Phase::dialling:
    case Phase::asking:
      due_ = std::min(due_, now + timing.timeout);
      break;
  }
}

std::optional<Failure> PeerSession::tick(Instant now, const Timing& timing, const NodeSpec& node,
                                         Counters& counters, Actions& actions) {
  if (phase_ == Phase::idle || now < due_) return std::nullopt;
  switch (phase_) {
    case Phase::waiting:
      attempt_ = ++counters.last_attempt;
      phase_ = Phase::dialling;
      dialled_at_ = now;
      stage_ = Stage::none;
      due_ = now + timing.timeout;
      actions.emplace_back(Dial{attempt_, node});
      break;
    case Phase::ready:
      request_ = ++counters.last_request;
      phase_ = Phase::asking;
      asked_at_ = now;
      hurried_ = false;
      due_ = now + timing.timeout;
      actions.emplace_back(Ask{attempt_, request_});
      break;
    case Phase::dialling:
    case Phase::asking: {
      Failure failure = timed_out(phase_ == Phase::asking ? Stage::query : stage_, timing);
      actions.emplace_back(Hangup{attempt_});
      failed(now, timing);
      return failure;
    }
    case Phase::idle:
      break;
  }
  return std::nullopt;
}

void PeerSession::opened(Instant now) {
  phase_ = Phase::ready;
  opened_at_ = now;
  due_ = now;
}

bool PeerSession::failed(Instant now, const Timing& timing) {
  const bool stood = open();
  opened_at_ = kNever;
  request_ = 0;
  phase_ = Phase::waiting;
  if (stood && dials_failed_ == 0) {
    due_ = now;
    // Should it break again before a reply has come, it waits like a failed dial: a server that
    // accepts logins and then dies must not be dialled in a tight loop.
    dials_failed_ = 1;
    return true;
  }
  wait(now, timing);
  return false;
}

void PeerSession::wait(Instant now, const Timing& timing) {
  const Duration most = timing.interval / 2;
  const Duration wanted = kFirstWait * (1U << std::min(dials_failed_, 10U));
  const Duration longest = std::min(most, wanted);
  ++dials_failed_;
  // Counted from the last dial, so that one which took its whole time is not paid for twice.
  const Duration jitter = random_.between(milliseconds(1), std::min(most, kFirstWait));
  due_ = std::max(dialled_at_ + random_.between(longest / 2, longest), now + jitter);
}

std::optional<Duration> PeerSession::replied(RequestId request, Instant now, const Timing& timing) {
  if (phase_ != Phase::asking || request != request_) return std::nullopt;
  phase_ = Phase::ready;
  dials_failed_ = 0;
  request_ = 0;
  // The beat goes by when requests are sent, not by when replies come, so that a slow path is asked
  // as often as a quick one.
  due_ = std::max(now, asked_at_ + timing.interval);
  if (std::exchange(hurried_, false)) hurry(now, timing);
  return age(asked_at_, now);
}

Instant PeerSession::deadline() const { return phase_ == Phase::idle ? kForever : due_; }

}  // namespace pgfed::core
