#include "pgfed/core/peer_session.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <vector>

namespace pgfed::core {
namespace {

using Phase = PeerSession::Phase;

constexpr Instant kStart{seconds(1000)};

class PeerSessionTest : public ::testing::Test {
 protected:
  std::optional<Failure> tick() { return session.tick(now, timing, node, counters, actions); }
  void advance(Duration duration) { now += duration; }
  void advance_to_deadline() { now = session.deadline(); }
  void dial() {
    session.start(now);
    EXPECT_FALSE(tick());
    ASSERT_EQ(session.phase(), Phase::dialling);
  }
  void open() {
    dial();
    session.opened(now);
    EXPECT_FALSE(tick());
    ASSERT_EQ(session.phase(), Phase::asking);
  }
  void open_and_answer() {
    open();
    ASSERT_TRUE(session.replied(counters.last_request, now, timing));
  }
  template <typename T>
  std::size_t count() const {
    return static_cast<std::size_t>(
        std::count_if(actions.begin(), actions.end(),
                      [](const Action& action) { return std::holds_alternative<T>(action); }));
  }

  Timing timing;
  NodeSpec node;
  Counters counters;
  Actions actions;
  PeerSession session{42};
  Instant now = kStart;
};

TEST_F(PeerSessionTest, IsIdleUntilStarted) {
  EXPECT_EQ(session.phase(), Phase::idle);
  EXPECT_EQ(session.deadline(), kForever);
  EXPECT_FALSE(tick());
  EXPECT_TRUE(actions.empty());
  session.stop(actions);
  EXPECT_TRUE(actions.empty());
}

TEST_F(PeerSessionTest, DialsOpensAsksAndAsksAgain) {
  node.name = "leo";
  dial();
  ASSERT_EQ(actions.size(), 1U);
  EXPECT_EQ(std::get<Dial>(actions[0]).attempt, 1U);
  EXPECT_EQ(std::get<Dial>(actions[0]).node.name, "leo");
  EXPECT_EQ(session.deadline(), now + timing.timeout);
  EXPECT_TRUE(session.owns(1));
  EXPECT_FALSE(session.owns(2));
  EXPECT_FALSE(session.open());

  advance(milliseconds(20));
  session.opened(now);
  EXPECT_TRUE(session.open());
  EXPECT_EQ(session.connected_since(), now);
  EXPECT_FALSE(tick());
  ASSERT_EQ(count<Ask>(), 1U);
  const Instant asked = now;

  advance(milliseconds(300));
  EXPECT_EQ(session.replied(counters.last_request, now, timing), milliseconds(300));
  EXPECT_EQ(session.phase(), Phase::ready);
  // The beat goes by the request, not by the reply.
  EXPECT_EQ(session.deadline(), asked + timing.interval);
  advance_to_deadline();
  EXPECT_FALSE(tick());
  EXPECT_EQ(count<Ask>(), 2U);
  EXPECT_EQ(counters.last_request, 2U);
}

TEST_F(PeerSessionTest, ASlowReplyIsFollowedByTheNextRequestAtOnce) {
  open();
  advance(milliseconds(1500));
  ASSERT_TRUE(session.replied(counters.last_request, now, timing));
  EXPECT_EQ(session.deadline(), now);
}

TEST_F(PeerSessionTest, TakesNoReplyTwiceAndNoForeignOne) {
  EXPECT_FALSE(session.replied(0, now, timing));
  dial();
  EXPECT_FALSE(session.replied(0, now, timing));
  session.opened(now);
  EXPECT_FALSE(session.replied(0, now, timing));
  tick();
  EXPECT_FALSE(session.replied(counters.last_request + 1, now, timing));
  EXPECT_FALSE(session.replied(counters.last_request - 1, now, timing));
  EXPECT_TRUE(session.replied(counters.last_request, now, timing));
  EXPECT_FALSE(session.replied(counters.last_request, now, timing));
  EXPECT_FALSE(session.replied(0, now, timing));
}

TEST_F(PeerSessionTest, ADialEndsAtItsDeadlineAndNamesTheStage) {
  const struct {
    Stage stage;
    Stage named;
    const char* message;
  } cases[] = {
      {Stage::none, Stage::connect, "no connection within 2000 ms"},
      {Stage::resolve, Stage::resolve, "could not resolve the host name within 2000 ms"},
      {Stage::connect, Stage::connect, "no connection within 2000 ms"},
      {Stage::tls, Stage::tls, "no connection within 2000 ms"},
      {Stage::authenticate, Stage::authenticate, "no connection within 2000 ms"},
  };
  for (const auto& each : cases) {
    session = PeerSession(1);
    actions.clear();
    dial();
    session.progress(each.stage);
    advance(timing.timeout - microseconds(1));
    EXPECT_FALSE(tick());
    advance(microseconds(1));
    const auto failure = tick();
    ASSERT_TRUE(failure);
    EXPECT_EQ(failure->stage, each.named);
    EXPECT_EQ(failure->kind, FailureKind::network);
    EXPECT_EQ(failure->message, each.message);
    EXPECT_EQ(count<Hangup>(), 1U);
    EXPECT_EQ(session.phase(), Phase::waiting);
    EXPECT_GT(session.deadline(), now);
  }
}

TEST_F(PeerSessionTest, TheStageOfAnEarlierDialIsForgotten) {
  dial();
  session.progress(Stage::authenticate);
  advance_to_deadline();
  ASSERT_TRUE(tick());
  advance_to_deadline();
  tick();
  ASSERT_EQ(session.phase(), Phase::dialling);
  advance_to_deadline();
  EXPECT_EQ(tick()->stage, Stage::connect);
}

TEST_F(PeerSessionTest, ARequestEndsAtItsDeadline) {
  open_and_answer();
  advance_to_deadline();
  tick();
  advance(timing.timeout - microseconds(1));
  EXPECT_FALSE(tick());
  advance(microseconds(1));
  const Attempt attempt = counters.last_attempt;
  const auto failure = tick();
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->stage, Stage::query);
  EXPECT_EQ(failure->message, "no reply within 2000 ms");
  EXPECT_EQ(std::get<Hangup>(actions.back()).attempt, attempt);
  EXPECT_FALSE(session.owns(attempt));
  EXPECT_FALSE(session.open());
  EXPECT_EQ(session.connected_since(), kNever);
}

TEST_F(PeerSessionTest, AStandingSessionThatBreaksIsDialledAgainAtOnce) {
  open_and_answer();
  EXPECT_TRUE(session.failed(now, timing));
  EXPECT_EQ(session.deadline(), now);
  tick();
  EXPECT_EQ(session.phase(), Phase::dialling);
  EXPECT_EQ(counters.last_attempt, 2U);
}

TEST_F(PeerSessionTest, OneThatBreaksBeforeItsFirstReplyWaitsTheSecondTime) {
  open();
  EXPECT_TRUE(session.failed(now, timing));
  EXPECT_EQ(session.deadline(), now);
  for (int i = 0; i < 20; ++i) {
    tick();
    session.opened(now);
    tick();
    ASSERT_EQ(session.phase(), Phase::asking);
    EXPECT_FALSE(session.failed(now, timing));
    EXPECT_GE(session.deadline(), now + milliseconds(50)) << i;
    advance_to_deadline();
  }
}

TEST_F(PeerSessionTest, ADialThatFailsIsNeverRepeatedAtOnce) {
  dial();
  EXPECT_FALSE(session.failed(now, timing));
  EXPECT_GE(session.deadline(), now + milliseconds(25));
  EXPECT_LE(session.deadline(), now + milliseconds(50));
}

TEST_F(PeerSessionTest, WaitsLongerEachTimeWithJitterUpToHalfAnInterval) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    session = PeerSession(seed);
    session.start(now);
    Duration longest = milliseconds(50);
    for (int i = 0; i < 40; ++i) {
      tick();
      ASSERT_EQ(session.phase(), Phase::dialling);
      session.failed(now, timing);
      const Duration waits = session.deadline() - now;
      EXPECT_GE(waits, longest / 2) << i;
      EXPECT_LE(waits, longest) << i;
      advance_to_deadline();
      longest = std::min<Duration>(2 * longest, timing.interval / 2);
    }
  }
}

TEST_F(PeerSessionTest, NodesDoNotDialInStep) {
  std::set<Duration> waits;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    session = PeerSession(seed);
    dial();
    session.failed(now, timing);
    waits.insert(session.deadline() - now);
  }
  EXPECT_GT(waits.size(), 95U);
}

/// A peer whose packets are dropped until now: the dial that began just before ends at its deadline,
/// then one wait, one dial, one round trip.
TEST_F(PeerSessionTest, ComesBackWithinThreeIntervalsOfTheDefaults) {
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    session = PeerSession(seed);
    dial();
    for (int i = 0; i < 20; ++i) {  // at its longest wait
      advance_to_deadline();
      tick();
    }
    while (session.phase() != Phase::dialling) {
      advance_to_deadline();
      tick();
    }
    const Instant healed = now + microseconds(1);
    advance_to_deadline();
    tick();
    advance_to_deadline();
    tick();
    ASSERT_EQ(session.phase(), Phase::dialling);
    EXPECT_LE(now - healed, timing.timeout + timing.interval / 2);
    EXPECT_LT(now - healed + milliseconds(200), 3 * timing.interval);
  }
}

TEST_F(PeerSessionTest, AReplyMakesItForgetFailedDials) {
  dial();
  for (int i = 0; i < 10; ++i) {
    session.failed(now, timing);
    advance_to_deadline();
    tick();
  }
  session.opened(now);
  tick();
  ASSERT_TRUE(session.replied(counters.last_request, now, timing));
  EXPECT_TRUE(session.failed(now, timing));
  EXPECT_EQ(session.deadline(), now);
}

TEST_F(PeerSessionTest, StopHangsUpWhatStandsOrIsBeingDialled) {
  dial();
  session.stop(actions);
  EXPECT_EQ(std::get<Hangup>(actions.back()).attempt, 1U);
  EXPECT_EQ(session.phase(), Phase::idle);
  EXPECT_FALSE(session.owns(1));

  open_and_answer();
  session.stop(actions);
  EXPECT_EQ(std::get<Hangup>(actions.back()).attempt, 2U);
  EXPECT_EQ(session.connected_since(), kNever);
  EXPECT_FALSE(session.replied(counters.last_request, now, timing));

  session.start(now);
  tick();
  session.failed(now, timing);
  const std::size_t hangups = count<Hangup>();
  session.stop(actions);  // nothing is open while it waits
  EXPECT_EQ(count<Hangup>(), hangups);
}

TEST_F(PeerSessionTest, StartLeavesARunningSessionAlone) {
  open_and_answer();
  const Instant due = session.deadline();
  session.start(now);
  EXPECT_EQ(session.phase(), Phase::ready);
  EXPECT_EQ(session.deadline(), due);
}

TEST_F(PeerSessionTest, RestartDialsAnew) {
  open_and_answer();
  session.restart(now, actions);
  EXPECT_EQ(count<Hangup>(), 1U);
  tick();
  EXPECT_EQ(session.phase(), Phase::dialling);
  EXPECT_TRUE(session.owns(2));
}

TEST_F(PeerSessionTest, NumbersAreNeverUsedAgain) {
  std::set<Attempt> attempts;
  for (int i = 0; i < 50; ++i) {
    session.restart(now, actions);
    tick();
    EXPECT_TRUE(attempts.insert(counters.last_attempt).second);
  }
  PeerSession other(7);
  other.start(now);
  other.tick(now, timing, node, counters, actions);
  EXPECT_EQ(counters.last_attempt, 51U);
}

TEST_F(PeerSessionTest, HurryAsksSoonButNotFiveTimesAsOften) {
  open_and_answer();
  const Instant asked = now;
  advance(milliseconds(10));
  session.hurry(now, timing);
  EXPECT_GE(session.deadline(), asked + timing.interval / 5);
  EXPECT_LE(session.deadline(), asked + timing.interval / 5 + milliseconds(50));

  advance(milliseconds(500));
  session = PeerSession(3);
  open_and_answer();
  advance(milliseconds(500));
  session.hurry(now, timing);
  EXPECT_GT(session.deadline(), now);  // not now: the step that hurried it is done with it
  EXPECT_LE(session.deadline(), now + milliseconds(50));
}

TEST_F(PeerSessionTest, HurryNeverDelaysAndDisturbsNoOtherPhase) {
  open_and_answer();
  now = session.deadline() - milliseconds(1);
  for (int i = 0; i < 100; ++i) {
    session.hurry(now, timing);
    ASSERT_LE(session.deadline(), now + milliseconds(1));
  }
  advance_to_deadline();
  tick();
  ASSERT_EQ(session.phase(), Phase::asking);
  const Instant due = session.deadline();
  session.hurry(now, timing);
  EXPECT_EQ(session.deadline(), due);

  PeerSession idle(1);
  idle.hurry(now, timing);
  EXPECT_EQ(idle.deadline(), kForever);
}

TEST_F(PeerSessionTest, TheSameSeedWaitsTheSame) {
  std::vector<Instant> first;
  for (int round = 0; round < 2; ++round) {
    now = kStart;
    session = PeerSession(99);
    dial();
    for (std::size_t i = 0; i < 50; ++i) {
      session.failed(now, timing);
      if (round == 0) {
        first.push_back(session.deadline());
      } else {
        EXPECT_EQ(session.deadline(), first[i]);
      }
      advance_to_deadline();
      tick();
    }
  }
}

TEST_F(PeerSessionTest, KeepsItsMannersAtTheShortestInterval) {
  timing = Timing{milliseconds(10), milliseconds(10)};
  dial();
  for (int i = 0; i < 100; ++i) {
    session.failed(now, timing);
    const Duration waits = session.deadline() - now;
    EXPECT_GE(waits, microseconds(2500));
    EXPECT_LE(waits, milliseconds(5));
    advance_to_deadline();
    tick();
  }
}

}  // namespace
}  // namespace pgfed::core
