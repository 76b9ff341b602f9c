#include <gtest/gtest.h>

#include "pgfed/core/federation.hpp"

#include "federation_fixture.hpp"

namespace pgfed::core {
namespace {

using testing::Bench;
using testing::expect_on_time;
using testing::failure_of;
using testing::primary_facts;
using testing::refused;
using testing::report_of;
using testing::standby_facts;

struct BadPeer {
  const char* what;
  Failure failure;
  bool on_request;
  State state;
  Status status;
  bool keeps_last_state = false;
};

std::vector<BadPeer> bad_peers() {
  return {
      {"nothing listens", refused(), false, State::unreachable, Status::critical},
      {"name unknown",
       failure_of(Stage::resolve, FailureKind::network, "host name does not resolve"), false,
       State::unreachable, Status::critical},
      {"bad certificate", failure_of(Stage::tls, FailureKind::tls, "certificate verify failed"),
       false, State::unreachable, Status::critical},
      {"wrong password",
       failure_of(Stage::authenticate, FailureKind::rejected, "password authentication failed"),
       false, State::unreachable, Status::critical},
      {"too many clients",
       failure_of(Stage::authenticate, FailureKind::crowded, "sorry, too many clients already"),
       false, State::streaming, Status::warning, true},
      {"starting up",
       failure_of(Stage::authenticate, FailureKind::starting, "the database system is starting up"),
       false, State::starting, Status::warning},
      {"not preloaded",
       failure_of(Stage::query, FailureKind::not_loaded, "pgfed is not loaded there"), true,
       State::no_pgfed, Status::warning},
      {"not permitted", failure_of(Stage::query, FailureKind::not_permitted, "permission denied"),
       true, State::unreachable, Status::critical},
      {"garbage", failure_of(Stage::query, FailureKind::protocol, "not a report"), true,
       State::unreachable, Status::critical},
      {"another error", failure_of(Stage::query, FailureKind::query, "out of memory"), true,
       State::unreachable, Status::critical},
      {"dies mid-reply",
       failure_of(Stage::query, FailureKind::network, "server closed the connection unexpectedly"),
       true, State::unreachable, Status::critical},
  };
}

void make_bad(Bench& bench, const std::string& node, const BadPeer& bad) {
  if (bad.on_request) {
    bench.servers[node].breaks = bad.failure;
  } else {
    bench.servers[node].refuses = bad.failure;
    bench.break_sessions(node, failure_of(Stage::query, FailureKind::network, "closed"));
  }
}

TEST(FederationBadPeers, EachIsNamedAndDisturbsNoOther) {
  for (const BadPeer& bad : bad_peers()) {
    SCOPED_TRACE(bad.what);
    Bench leo("leo");
    leo.settle_three();
    make_bad(leo, "pit", bad);
    leo.run_for(seconds(20));

    EXPECT_EQ(leo.row("pit").state, bad.state);
    EXPECT_EQ(leo.row("pit").status, bad.status);
    EXPECT_EQ(leo.row("pit").detail, bad.failure.message.view());
    EXPECT_EQ(leo.row("pit").role, Role::standby);  // as it said last
    EXPECT_GT(age(leo.row("pit").seen, leo.now), seconds(18));
    const PeerRow peer = leo.peer("pit");
    EXPECT_NE(peer.state, SessionState::connected);
    EXPECT_EQ(peer.stage, bad.failure.stage);
    EXPECT_EQ(peer.error, bad.failure.message.view());
    EXPECT_GT(peer.failures, 5U);
    EXPECT_EQ(leo.verdict(check::kPeer, "pit"), word(bad.status));
    EXPECT_FALSE(leo.check(check::kPeer, "pit")->hint.empty());

    expect_on_time(leo, "ait");
    expect_on_time(leo, "leo");
    EXPECT_EQ(leo.row("ait").status, Status::ok);
    EXPECT_EQ(leo.verdict(check::kPrimary), "ok");
    // Told once; dialled again and again, but in no tight loop.
    EXPECT_EQ(leo.records("node_state", "pit").size(), bad.keeps_last_state ? 0U : 1U)
        << leo.words();
    EXPECT_LE(leo.dials("pit"), 100U);
    EXPECT_GE(leo.dials("pit"), 20U);

    // And back.
    leo.servers["pit"].breaks.reset();
    leo.servers["pit"].refuses.reset();
    leo.run_for(milliseconds(600));
    EXPECT_EQ(leo.row("pit").state, State::streaming);
    EXPECT_EQ(leo.row("pit").status, Status::ok);
    EXPECT_EQ(leo.peer("pit").failures, 0U);
    EXPECT_TRUE(leo.peer("pit").error.empty());
    EXPECT_EQ(leo.records("node_state", "pit").size(), bad.keeps_last_state ? 0U : 2U);
  }
}

TEST(FederationBadPeers, TheSameWhenTheyWereNeverSeen) {
  for (const BadPeer& bad : bad_peers()) {
    SCOPED_TRACE(bad.what);
    Bench leo("leo");
    if (bad.on_request) {
      leo.servers["pit"].breaks = bad.failure;
    } else {
      leo.servers["pit"].refuses = bad.failure;
    }
    leo.start_three();
    leo.run_for(seconds(10));
    EXPECT_EQ(leo.row("pit").state, bad.keeps_last_state ? State::unknown : bad.state);
    EXPECT_EQ(leo.row("pit").role, Role::unknown);
    EXPECT_EQ(leo.row("pit").status, bad.status);
    EXPECT_EQ(leo.row("pit").seen, kNever);
    EXPECT_EQ(leo.peer("pit").error, bad.failure.message.view());
    EXPECT_EQ(leo.peer("pit").stage, bad.failure.stage);
    EXPECT_EQ(leo.peer("pit").rtt_us, kNoValue);
    expect_on_time(leo, "ait");
  }
}

TEST(FederationBadPeers, AnotherSystemFederationOrName) {
  struct Case {
    const char* what;
    State state;
    const char* error;
    void (*spoil)(Report&);
  };
  const Case cases[] = {
      {"system", State::wrong_system, "another cluster answers",
       [](Report& report) { report.facts.system_identifier = 99; }},
      {"federation", State::wrong_system, "another federation answers",
       [](Report& report) { report.federation = "odyssey"; }},
      {"node", State::unreachable, "another node answers",
       [](Report& report) { report.node = "ait"; }},
  };
  for (const Case& each : cases) {
    SCOPED_TRACE(each.what);
    for (const bool seen_before : {false, true}) {
      Bench leo("leo");
      if (seen_before) leo.settle_three();
      Report wrong = report_of("pit", primary_facts(0x9999, 9));
      each.spoil(wrong);
      if (!seen_before) leo.start_three();
      leo.servers["pit"].report = wrong;
      leo.run_for(seconds(10));
      EXPECT_EQ(leo.row("pit").state, each.state);
      EXPECT_EQ(leo.row("pit").status, Status::critical);
      EXPECT_EQ(leo.peer("pit").stage, Stage::query);
      EXPECT_EQ(leo.peer("pit").error.view().substr(0, std::string_view(each.error).size()),
                each.error);
      EXPECT_EQ(leo.peer("pit").state, SessionState::failed);
      // Not a word of it is believed: it says that it is a primary.
      EXPECT_EQ(leo.row("pit").role, seen_before ? Role::standby : Role::unknown);
      EXPECT_EQ(leo.verdict(check::kPrimary), "ok");
      EXPECT_EQ(leo.verdict(check::kDuplicate, "ait"), "ok");
      EXPECT_EQ(leo.records("two_primaries").size(), 0U);
      EXPECT_LT(leo.dials("pit"), 3U);  // the session stands; it is only the wrong one
      expect_on_time(leo, "ait");
      leo.servers["pit"].report = report_of("pit", standby_facts());
      leo.run_for(milliseconds(1100));
      EXPECT_EQ(leo.row("pit").state, State::streaming);
      EXPECT_EQ(leo.row("pit").status, Status::ok);
    }
  }
}

TEST(FederationBadPeers, ASilentOneIsUnreachableAtTheDeadline) {
  for (int offset = 0; offset < 1000; offset += 37) {
    Bench leo("leo");
    leo.settle_three();
    leo.run_for(milliseconds(offset));
    leo.servers["pit"].silent = true;
    const Instant cut = leo.now;
    const Instant last = leo.asked("pit").back();
    // Asked in its turn, and unreachable exactly when the time for the reply is over.
    const Instant expected = last + seconds(1) + seconds(2);
    leo.run_for(expected - microseconds(1) - leo.now);
    EXPECT_EQ(leo.row("pit").state, State::streaming);
    leo.run_for(microseconds(1));
    EXPECT_EQ(leo.row("pit").state, State::unreachable);
    EXPECT_EQ(leo.row("pit").since, leo.now);
    EXPECT_LE(leo.now - cut, seconds(3));
    EXPECT_EQ(leo.peer("pit").error, "no reply within 2000 ms");
    EXPECT_EQ(leo.peer("pit").stage, Stage::query);
    EXPECT_EQ(leo.records("node_state", "pit").size(), 1U);
    leo.run_for(seconds(10));
    EXPECT_EQ(leo.peer("pit").error, "no connection within 2000 ms");
    EXPECT_EQ(leo.peer("pit").stage, Stage::connect);
    EXPECT_EQ(leo.records("node_state", "pit").size(), 1U);
    expect_on_time(leo, "ait");
    leo.servers["pit"].silent = false;
    leo.run_for(milliseconds(2600));
    EXPECT_EQ(leo.row("pit").state, State::streaming);
  }
}

TEST(FederationBadPeers, AStoppedServerAcceptsAndStaysSilent) {
  Bench leo("leo");
  leo.settle_three();
  leo.servers["pit"].frozen = true;
  leo.run_for(seconds(4));
  EXPECT_EQ(leo.row("pit").state, State::unreachable);
  leo.run_for(seconds(30));
  EXPECT_EQ(leo.row("pit").state, State::unreachable);
  EXPECT_EQ(leo.peer("pit").error, "no reply within 2000 ms");
  EXPECT_EQ(leo.peer("pit").stage, Stage::query);
  EXPECT_EQ(leo.records("node_state", "pit").size(), 1U);
  expect_on_time(leo, "ait");
  leo.servers["pit"].frozen = false;
  leo.run_for(milliseconds(2600));
  EXPECT_EQ(leo.row("pit").state, State::streaming);
}

TEST(FederationBadPeers, TheStageThatADialHungInIsNamed) {
  Bench leo("leo");
  leo.servers["pit"].silent = true;
  leo.start_three();
  leo.run_for(milliseconds(10));
  leo.step(SessionProgress{leo.attempt("pit"), Stage::resolve});
  leo.run_for(seconds(2));
  EXPECT_EQ(leo.peer("pit").stage, Stage::resolve);
  EXPECT_EQ(leo.peer("pit").error, "could not resolve the host name within 2000 ms");
  EXPECT_NE(leo.check(check::kPeer, "pit")->hint.view().find("name servers"), std::string::npos);
}

TEST(FederationBadPeers, KilledOnesAreUnreachableAtOnce) {
  Bench leo("leo");
  leo.settle_three();
  leo.kill("pit");
  const Instant killed = leo.now;
  EXPECT_EQ(leo.row("pit").state, State::streaming);  // dialled again before anything is said
  EXPECT_EQ(leo.dials("pit"), 1U);
  EXPECT_EQ(leo.peer("pit").state, SessionState::connecting);
  EXPECT_EQ(leo.peer("pit").error, "server closed the connection unexpectedly");
  EXPECT_FALSE(leo.link("leo", "pit")->connected);
  leo.run_for(milliseconds(2));
  EXPECT_EQ(leo.row("pit").state, State::unreachable);
  EXPECT_LE(leo.row("pit").since - killed, milliseconds(1));
  EXPECT_EQ(leo.peer("pit").error, "connection refused");
}

TEST(FederationBadPeers, ATerminatedBackendIsNoNews) {
  Bench leo("leo");
  leo.settle_three();
  for (int i = 0; i < 5; ++i) {
    leo.break_sessions("pit", failure_of(Stage::query, FailureKind::network, "terminated"));
    leo.run_for(seconds(3));
  }
  EXPECT_EQ(leo.words(), "");
  EXPECT_EQ(leo.dials("pit"), 5U);
  EXPECT_EQ(leo.row("pit").state, State::streaming);
  EXPECT_TRUE(leo.peer("pit").error.empty());
}

TEST(FederationBadPeers, TheOthersHearOfItBeforeTheirTurn) {
  Bench leo("leo");
  leo.settle_three();
  leo.run_for(milliseconds(300));
  const std::size_t before = leo.asked("ait").size();
  leo.kill("pit");
  leo.run_for(milliseconds(260));
  EXPECT_EQ(leo.asked("ait").size(), before + 1);
}

}  // namespace
/// What a node said before it was gone is no word on what it is now.
TEST(BadPeer, ACrowdedOneThatHadBeenGoneIsNotTakenForWhatItWas) {
  Bench pit("pit");
  pit.settle_three();
  const Failure crowded = failure_of(Stage::authenticate, FailureKind::crowded, "too many clients");

  // Only the session broke, and there is no place for another: its word stands.
  pit.servers["leo"].refuses = crowded;
  pit.break_sessions("leo", refused());
  pit.run_for(seconds(2));
  EXPECT_EQ(pit.row("leo").state, State::running);

  // It died; ait took over; it came back, as a standby, with no place for us.
  pit.kill("leo");
  pit.run_for(seconds(2));
  pit.servers["ait"].report.facts = primary_facts();
  pit.servers["ait"].report.facts.timeline = 2;
  pit.run_for(seconds(2));
  pit.servers["leo"].refuses = crowded;
  pit.run_for(seconds(3));
  EXPECT_EQ(pit.row("leo").state, State::unknown);
  EXPECT_EQ(pit.verdict(check::kPrimary, ""), "ok");
}

TEST(BadPeer, WithoutAPrimaryInSightLagIsNotJudged) {
  Bench pit("pit");
  pit.settle_three();
  EXPECT_EQ(pit.verdict(check::kLag, "ait"), "ok");
  pit.kill("leo");
  pit.run_for(seconds(5));
  EXPECT_EQ(pit.verdict(check::kLag, "ait"), "unknown");
}

TEST(BadPeer, AShorterTimeoutReachesWhatIsUnderWay) {
  Bench pit("pit");
  Settings patient;
  patient.peer_timeout = std::chrono::hours(1);
  pit.set_settings(patient);
  pit.settle_three();
  pit.servers["leo"].frozen = true;
  pit.run_for(seconds(5));
  EXPECT_EQ(pit.row("leo").state, State::running);
  pit.set_settings(Settings{});
  pit.run_for(seconds(3));
  EXPECT_EQ(pit.row("leo").state, State::unreachable);
}

}  // namespace pgfed::core
