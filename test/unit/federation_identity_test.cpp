#include <gtest/gtest.h>

#include "pgfed/core/federation.hpp"

#include "federation_fixture.hpp"

namespace pgfed::core {
namespace {

using testing::Bench;
using testing::failure_of;
using testing::life;
using testing::link_of;
using testing::primary_facts;
using testing::refused;
using testing::report_of;
using testing::spec_of;
using testing::standby_facts;

/// A copy of leo: carries its name and table, but leo itself answers at leo's endpoint.
void start_copy(Bench& copy, const Facts& facts = primary_facts()) {
  copy.start_three();
  copy.set_facts(facts);
  copy.servers["leo"].report.incarnation = life("leo", 2);
}

// ---- its own endpoint ----------------------------------------------------------------------------

TEST(Identity, ItDialsNobodyBeforeItsOwnEndpointAnswered) {
  Bench leo("leo");
  leo.servers["leo"].latency = milliseconds(500);
  leo.start_three();
  EXPECT_EQ(leo.fed.identity(), Identity::checking);
  EXPECT_EQ(leo.dials(), 1U);
  EXPECT_EQ(leo.dials("leo"), 1U);
  leo.run_for(milliseconds(999));
  EXPECT_EQ(leo.dials(), 1U);
  EXPECT_EQ(leo.verdict(check::kIdentity, "leo"), "unknown");
  EXPECT_EQ(leo.verdict(check::kPeer, "ait"), "unknown");
  EXPECT_EQ(leo.check(check::kPeer, "ait")->detail,
            "not looked at: this server dials its own endpoint first");
  leo.run_for(milliseconds(1));
  EXPECT_EQ(leo.fed.identity(), Identity::confirmed);
  EXPECT_EQ(leo.dials(), 3U);
  EXPECT_EQ(leo.verdict(check::kIdentity, "leo"), "ok");
  EXPECT_EQ(leo.records("identity_confirmed").size(), 1U);
}

TEST(Identity, AnotherServerAtItsEndpointMeansQuarantine) {
  for (const bool standby : {false, true}) {
    Bench copy("leo");
    start_copy(copy, standby ? standby_facts(0x1000, "10.0.0.1") : primary_facts());
    copy.run_for(seconds(200));
    EXPECT_EQ(copy.fed.identity(), Identity::quarantine);
    EXPECT_EQ(copy.dials("ait") + copy.dials("pit"), 0U);
    EXPECT_EQ(copy.records("quarantine").size(), 1U);
    EXPECT_EQ(copy.records("quarantine")[0].severity, Severity::critical);
    const auto critical = copy.checks_at(Status::critical);
    ASSERT_EQ(critical.size(), 1U);  // and nothing else: it judges nobody
    EXPECT_EQ(critical[0].name, check::kIdentity);
    EXPECT_EQ(critical[0].node, "leo");
    EXPECT_FALSE(critical[0].hint.empty());
    EXPECT_TRUE(copy.checks_at(Status::warning).empty());
    EXPECT_EQ(copy.verdict(check::kPeer, "ait"), "unknown");
    EXPECT_EQ(copy.row("ait").status, Status::unknown);
    EXPECT_EQ(copy.row("leo").status, Status::critical);
    EXPECT_EQ(copy.fed.report(copy.now).identity, Identity::quarantine);
  }
}

TEST(Identity, AStandbyWithoutAStreamInQuarantineHasOneCriticalCheck) {
  Bench copy("leo");
  Facts facts = standby_facts(0x1000, "");
  facts.state = State::not_streaming;
  start_copy(copy, facts);
  copy.run_for(seconds(5));
  ASSERT_EQ(copy.fed.identity(), Identity::quarantine);
  EXPECT_EQ(copy.checks_at(Status::critical).size(), 1U);
}

TEST(Identity, AnyServerOfAnyClusterAtItsEndpointMeansQuarantine) {
  for (const int what : {0, 1, 2}) {
    Bench copy("leo");
    copy.start_three();
    Report& stranger = copy.servers["leo"].report;
    stranger.incarnation = life("stranger");
    if (what == 0) stranger.node = "zeus";
    if (what == 1) stranger.federation = "odyssey";
    if (what == 2) stranger.facts.system_identifier = 5;
    copy.run_for(seconds(5));
    EXPECT_EQ(copy.fed.identity(), Identity::quarantine);
    EXPECT_EQ(copy.dials("ait"), 0U);
  }
}

TEST(Identity, QuarantineEndsWhenItsEndpointReachesIt) {
  Bench copy("leo");
  start_copy(copy);
  copy.run_for(seconds(10));
  ASSERT_EQ(copy.fed.identity(), Identity::quarantine);
  copy.servers["leo"].report.incarnation = life("leo");  // the address was moved here
  copy.run_for(seconds(2));
  EXPECT_EQ(copy.fed.identity(), Identity::confirmed);
  EXPECT_EQ(copy.records("quarantine_over").size(), 1U);
  EXPECT_EQ(copy.row("ait").state, State::streaming);
  EXPECT_EQ(copy.verdict(check::kIdentity, "leo"), "ok");
}

TEST(Identity, TheDeathOfTheOriginalDoesNotFreeTheCopy) {
  Bench copy("leo");
  start_copy(copy);
  copy.run_for(seconds(10));
  copy.kill("leo");
  copy.run_for(seconds(300));
  EXPECT_EQ(copy.fed.identity(), Identity::quarantine);
  EXPECT_EQ(copy.dials("ait"), 0U);
}

TEST(Identity, AnEstablishedNodeDoubtsItselfOnlyTheSecondTimeInARow) {
  Bench leo("leo");
  leo.settle_three();
  Report& own = leo.servers["leo"].report;
  own.incarnation = life("leo", 2);
  leo.run_for(seconds(1));
  EXPECT_EQ(leo.fed.identity(), Identity::confirmed);
  own.incarnation = life("leo");
  leo.run_for(seconds(1));
  own.incarnation = life("leo", 2);
  leo.run_for(seconds(1));
  EXPECT_EQ(leo.fed.identity(), Identity::confirmed);  // two, but not in a row
  leo.run_for(seconds(1));
  EXPECT_EQ(leo.fed.identity(), Identity::quarantine);
  EXPECT_EQ(leo.peer("ait").state, SessionState::idle);
  EXPECT_EQ(leo.peer("leo").state, SessionState::connected);
}

TEST(Identity, AnEndpointThatFailsLaterIsNoReasonToDoubt) {
  Bench leo("leo");
  leo.settle_three();
  leo.servers["leo"].silent = true;
  leo.run_for(seconds(60));
  EXPECT_EQ(leo.fed.identity(), Identity::confirmed);
  EXPECT_EQ(leo.row("ait").status, Status::ok);
  EXPECT_EQ(leo.row("leo").state, State::running);
  EXPECT_EQ(leo.row("leo").status, Status::ok);
}

TEST(Identity, NotInTheTableItDialsNobody) {
  Bench zed("zed");
  zed.start_three();
  zed.run_for(seconds(20));
  EXPECT_EQ(zed.dials(), 0U);
  EXPECT_EQ(zed.verdict(check::kSettings, "zed"), "critical");
  EXPECT_EQ(zed.row("leo").status, Status::unknown);
  EXPECT_EQ(zed.checks_at(Status::critical).size(), 1U);
}

TEST(Identity, WithoutANameOrAFederationItDialsNobody) {
  for (const bool name : {true, false}) {
    Self self = testing::self_named("leo");
    if (name) {
      self.node = "";
    } else {
      self.federation = "";
    }
    Bench leo(self);
    leo.set_facts(primary_facts());
    leo.set_nodes({spec_of("leo"), spec_of("ait")});
    leo.run_for(seconds(10));
    EXPECT_EQ(leo.dials(), 0U);
    EXPECT_EQ(leo.verdict(check::kSettings, name ? "" : "leo"), "critical");
  }
}

// ---- upstream answers to its own name ------------------------------------------------------------

TEST(Identity, AStandbyWhoseUpstreamIsItsOwnEndpointIsACopy) {
  Bench copy("leo");  // cloned from leo together with its node_name; leo lets no peer in
  copy.servers["leo"].refuses =
      failure_of(Stage::authenticate, FailureKind::rejected, "no pg_hba.conf entry");
  copy.start_three();
  copy.set_facts(standby_facts(0x1000, "127.0.0.2"));
  copy.run_for(seconds(200));
  EXPECT_EQ(copy.fed.identity(), Identity::quarantine);
  EXPECT_EQ(copy.dials("ait") + copy.dials("pit"), 0U);
  EXPECT_EQ(copy.records("quarantine").size(), 1U);
}

TEST(Identity, TheSameWhenTheStreamComesLater) {
  Bench copy("leo");
  copy.servers["leo"].refuses = refused();
  copy.start_three();
  Facts facts = standby_facts(0x1000, "");
  copy.set_facts(facts);
  copy.run_for(seconds(3));
  EXPECT_EQ(copy.fed.identity(), Identity::observing);
  facts.upstream_host = "127.0.0.2";
  copy.set_facts(facts);
  EXPECT_EQ(copy.fed.identity(), Identity::quarantine);
  EXPECT_EQ(copy.peer("ait").state, SessionState::idle);
  copy.actions.clear();
  copy.run_for(seconds(200));
  EXPECT_EQ(copy.dials("ait"), 0U);
  EXPECT_TRUE(copy.records("quarantine").empty());
  copy.servers["leo"].refuses.reset();  // it got the address and another upstream
  facts.upstream_host = "127.0.0.3";
  copy.set_facts(facts);
  copy.run_for(seconds(3));
  EXPECT_EQ(copy.fed.identity(), Identity::confirmed);
}

TEST(Identity, AnUpstreamThatAnswersToItsNameMakesItACopy) {
  Bench copy("pit");  // a standby cloned from pit, with its name; pit is reached as "ait" from here
  copy.servers["pit"].silent = true;
  copy.start_three();
  copy.set_facts(standby_facts(0x1000, "127.0.0.3"));
  copy.servers["ait"].report = report_of("pit", standby_facts());
  copy.servers["ait"].report.incarnation = life("pit", 2);
  copy.run_for(seconds(4));
  EXPECT_EQ(copy.fed.identity(), Identity::quarantine);
  copy.actions.clear();
  copy.run_for(seconds(30));
  EXPECT_EQ(copy.dials("ait") + copy.dials("leo"), 0U);
}

// ---- no way to its own endpoint from inside ------------------------------------------------------

class NoHairpin : public ::testing::Test {
 protected:
  NoHairpin() {
    leo.servers["leo"].refuses = refused();
    leo.start_three();
  }
  void see(const std::string& observer, const Incarnation& incarnation,
           Duration age = milliseconds(10)) {
    leo.servers[observer].report.links = {link_of("leo", incarnation, age)};
  }
  Bench leo{"leo"};
};

TEST_F(NoHairpin, ItObservesUntilAPeerSettlesIt) {
  leo.run_for(milliseconds(20));
  EXPECT_EQ(leo.fed.identity(), Identity::observing);
  EXPECT_EQ(leo.row("ait").state, State::streaming);  // it sees
  EXPECT_EQ(leo.verdict(check::kIdentity, "leo"), "unknown");
  EXPECT_TRUE(leo.checks_at(Status::critical).empty());
  leo.run_for(seconds(300));
  EXPECT_EQ(leo.fed.identity(), Identity::observing);  // as long as nobody knows
  see("ait", life("leo"));
  leo.run_for(seconds(1));
  EXPECT_EQ(leo.fed.identity(), Identity::confirmed);
  EXPECT_EQ(leo.records("identity_confirmed").size(), 1U);
  EXPECT_EQ(leo.verdict(check::kIdentity, "leo"), "ok");
  leo.run_for(seconds(100));
  EXPECT_EQ(leo.fed.identity(), Identity::confirmed);
}

TEST_F(NoHairpin, APeerThatReachesAnotherServerMeansQuarantine) {
  leo.run_for(seconds(3));
  leo.actions.clear();
  see("ait", life("leo", 2));
  leo.run_for(seconds(1));
  EXPECT_EQ(leo.fed.identity(), Identity::quarantine);
  EXPECT_EQ(leo.count<Hangup>(), 2U);
  EXPECT_EQ(leo.checks_at(Status::critical).size(), 1U);
  leo.actions.clear();
  leo.run_for(seconds(50));
  EXPECT_EQ(leo.dials("ait") + leo.dials("pit"), 0U);
}

TEST_F(NoHairpin, ItAsksItsPeersAgainAfterAWhileWithoutNews) {
  see("ait", life("leo", 2));
  leo.run_for(seconds(600));
  EXPECT_EQ(leo.fed.identity(), Identity::quarantine);
  EXPECT_GE(leo.dials("ait"), 8U);
  EXPECT_LE(leo.dials("ait"), 12U);
  EXPECT_EQ(leo.records("quarantine").size(), 1U) << leo.words();
  EXPECT_EQ(leo.records("quarantine_over").size(), 0U);
  see("ait", life("leo"));
  leo.run_for(seconds(61));
  EXPECT_EQ(leo.fed.identity(), Identity::confirmed);
  EXPECT_EQ(leo.records("quarantine_over").size(), 1U);
  EXPECT_EQ(leo.records("quarantine").size(), 1U);
}

TEST_F(NoHairpin, WhatPeersSawOfAnEarlierLifeDoesNotMislead) {
  // ait still holds an observation of the life before this one.
  see("ait", life("leo", 9), seconds(2));
  leo.run_for(seconds(1));
  EXPECT_EQ(leo.fed.identity(), Identity::observing);
  leo.servers["ait"].report.links.clear();
  leo.run_for(seconds(2));
  EXPECT_EQ(leo.fed.identity(), Identity::observing);
  see("pit", life("leo"));
  leo.run_for(seconds(1));
  EXPECT_EQ(leo.fed.identity(), Identity::confirmed);
}

TEST_F(NoHairpin, NorWhenTheReportItselfWasLongOnItsWay) {
  // Asked 0.9 s after the start and here 0.9 s later, it tells of an answer seen a second before it
  // was made: perhaps of this life, perhaps of the one before.
  leo.servers["ait"].latency = milliseconds(900);
  leo.servers["pit"].silent = true;
  see("ait", life("leo", 9), milliseconds(1000));
  leo.run_for(milliseconds(1850));
  EXPECT_TRUE(happened(leo.row("ait").seen));
  EXPECT_EQ(leo.fed.identity(), Identity::observing);
}

TEST_F(NoHairpin, StaleUnknownAndBrokenLinksSettleNothing) {
  leo.run_for(seconds(30));
  for (int what = 0; what < 4; ++what) {
    LinkReport link = link_of("leo", life("leo", 2));
    if (what == 0) link.age = seconds(4);
    if (what == 1) link.connected = false;
    if (what == 2) link.incarnation = Incarnation{};
    if (what == 3) link.age = std::chrono::hours(24 * 3653);
    leo.servers["ait"].report.links = {link};
    leo.run_for(seconds(3));
    EXPECT_EQ(leo.fed.identity(), Identity::observing) << what;
  }
}

TEST_F(NoHairpin, NobodyElseSettlesIt) {
  leo.run_for(seconds(30));
  Report odyssey = report_of("ait", standby_facts());
  odyssey.links = {link_of("leo", life("leo", 2))};
  leo.step(Heard{odyssey, "ait"});  // hearsay
  odyssey.federation = "odyssey";
  leo.servers["ait"].report = odyssey;  // another federation
  leo.run_for(seconds(5));
  EXPECT_EQ(leo.fed.identity(), Identity::observing);
}

TEST_F(NoHairpin, ItsOwnEndpointHasTheLastWord) {
  leo.run_for(seconds(3));
  leo.servers["leo"].refuses.reset();
  leo.run_for(seconds(2));
  EXPECT_EQ(leo.fed.identity(), Identity::confirmed);
}

// ---- its own row moves ---------------------------------------------------------------------------

TEST(Identity, AQuarantinedNodeIsFreedByCorrectingItsAddress) {
  Bench leo("leo");
  start_copy(leo);
  leo.run_for(seconds(5));
  ASSERT_EQ(leo.fed.identity(), Identity::quarantine);
  leo.servers["leo"].refuses = refused();  // the new address has no hairpin
  leo.servers["ait"].report.links = {link_of("leo", life("leo"))};
  leo.set_nodes({spec_of("leo", "127.0.0.9"), spec_of("ait"), spec_of("pit")});
  leo.run_for(seconds(1));
  EXPECT_EQ(leo.fed.identity(), Identity::confirmed);
  EXPECT_EQ(leo.records("quarantine_over").size(), 1U);
}

TEST(Identity, OneWhoseNameWasGivenToAnotherAddressMustProveItselfAgain) {
  Bench leo("leo");
  leo.settle_three();
  leo.servers["leo"].silent = true;  // the new address cannot be reached from here
  leo.set_nodes({spec_of("leo", "127.0.0.9"), spec_of("ait"), spec_of("pit")});
  EXPECT_EQ(leo.fed.identity(), Identity::observing);
  EXPECT_EQ(leo.peer("ait").state, SessionState::connected);  // but nobody is hung up on
  leo.run_for(seconds(1));
  leo.servers["ait"].report.links = {link_of("leo", life("leo", 2))};
  leo.run_for(seconds(2));
  EXPECT_EQ(leo.fed.identity(), Identity::quarantine);
}

TEST(Identity, AMovedNodeThatReachesItselfGoesOn) {
  Bench leo("leo");
  leo.settle_three();
  leo.set_nodes({spec_of("leo", "127.0.0.9"), spec_of("ait"), spec_of("pit")});
  leo.run_for(milliseconds(10));
  EXPECT_EQ(leo.fed.identity(), Identity::confirmed);
  EXPECT_EQ(leo.dials("ait") + leo.dials("pit"), 0U);
}

}  // namespace
}  // namespace pgfed::core
