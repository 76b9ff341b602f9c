#include "pgfed/core/peer.hpp"

#include <gtest/gtest.h>

#include "federation_fixture.hpp"

namespace pgfed::core {
namespace {

using testing::failure_of;
using testing::primary_facts;
using testing::report_of;
using testing::self_named;
using testing::spec_of;
using testing::standby_facts;

TEST(PeerState, FollowsFromTheFailure) {
  const struct {
    FailureKind kind;
    State never_seen;
    State seen_streaming;
  } cases[] = {
      {FailureKind::network, State::unreachable, State::unreachable},
      {FailureKind::tls, State::unreachable, State::unreachable},
      {FailureKind::rejected, State::unreachable, State::unreachable},
      {FailureKind::crowded, State::unknown, State::streaming},  // it lives: its last word stands
      {FailureKind::starting, State::starting, State::starting},
      {FailureKind::not_loaded, State::no_pgfed, State::no_pgfed},
      {FailureKind::not_permitted, State::unreachable, State::unreachable},
      {FailureKind::query, State::unreachable, State::unreachable},
      {FailureKind::protocol, State::unreachable, State::unreachable},
      {FailureKind::other_system, State::wrong_system, State::wrong_system},
      {FailureKind::other_node, State::unreachable, State::unreachable},
  };
  for (const auto& each : cases) {
    Peer peer(spec_of("pit"), 1);
    EXPECT_EQ(peer.derive_state(), State::unknown);
    peer.failing = true;
    peer.failure = failure_of(Stage::query, each.kind, "x");
    EXPECT_EQ(peer.derive_state(), each.never_seen) << static_cast<int>(each.kind);
    peer.report = report_of("pit", standby_facts());
    peer.report_stands = true;
    EXPECT_EQ(peer.derive_state(), each.seen_streaming) << static_cast<int>(each.kind);
    peer.failing = false;
    EXPECT_EQ(peer.derive_state(), State::streaming);
  }
}

bool running_primary(const std::optional<Report>& report, State state) {
  Peer peer(spec_of("leo"), 1);
  peer.report = report;
  peer.state = state;
  return peer.is_running_primary();
}

TEST(PeerState, ARunningPrimaryIsOneThatSaysSoAndRuns) {
  EXPECT_FALSE(running_primary({}, State::unknown));
  EXPECT_TRUE(running_primary(report_of("leo", primary_facts()), State::running));
  EXPECT_FALSE(running_primary(report_of("leo", primary_facts()), State::unreachable));
  EXPECT_FALSE(running_primary(report_of("leo", standby_facts()), State::running));
}

TEST(PeerState, TheSessionInWords) {
  Peer peer(spec_of("leo"), 1);
  Counters counters;
  Actions actions;
  const Instant now(seconds(1000));
  EXPECT_EQ(peer.session_state(), SessionState::idle);
  peer.session.start(now);
  EXPECT_EQ(peer.session_state(), SessionState::connecting);
  peer.session.tick(now, Timing{}, peer.spec, counters, actions);
  EXPECT_EQ(peer.session_state(), SessionState::connecting);
  peer.failing = true;
  EXPECT_EQ(peer.session_state(), SessionState::failed);
  peer.failing = false;
  peer.session.opened(now);
  EXPECT_EQ(peer.session_state(), SessionState::connected);
  EXPECT_FALSE(peer.reachable());  // nothing said yet
  peer.report = report_of("leo", primary_facts());
  EXPECT_TRUE(peer.reachable());
  peer.failing = true;  // the session stands, but another node answers on it
  EXPECT_EQ(peer.session_state(), SessionState::failed);
  EXPECT_FALSE(peer.reachable());
}

TEST(FindMismatch, TakesANodesOwnWordOnly) {
  const Self self = self_named("leo");
  const Name pit = "pit";
  const Report good = report_of("pit", standby_facts());
  EXPECT_FALSE(find_mismatch(good, pit, self));

  Report other = good;
  other.facts.system_identifier = 99;
  auto failure = find_mismatch(other, pit, self);
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->kind, FailureKind::other_system);
  EXPECT_EQ(failure->stage, Stage::query);
  EXPECT_EQ(failure->message, "another cluster answers: its system identifier is 99, ours is " +
                                  std::to_string(testing::kSystem));

  other = good;
  other.federation = "odyssey";
  failure = find_mismatch(other, pit, self);
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->kind, FailureKind::other_system);
  EXPECT_EQ(failure->message, "another federation answers: \"odyssey\" instead of \"iliad\"");

  other = good;
  other.node = "ait";
  failure = find_mismatch(other, pit, self);
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->kind, FailureKind::other_node);
  EXPECT_EQ(failure->message, "another node answers: \"ait\" instead of \"pit\"");
}

}  // namespace
}  // namespace pgfed::core
