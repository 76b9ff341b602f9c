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
using testing::standby_facts;

Report claim(std::string_view node, std::uint8_t number, Identity identity = Identity::confirmed) {
  Report report = report_of(node, standby_facts());
  report.incarnation = life(node, number);
  report.identity = identity;
  return report;
}

TEST(Duplicate, ACopyThatCallsIsProvenOnceTheNodeAnswersAsBefore) {
  Bench leo("leo");
  leo.settle_three();
  leo.step(Heard{claim("pit", 2), ""});
  EXPECT_EQ(leo.verdict(check::kDuplicate, "pit"), "ok");  // it may have been started anew
  leo.run_for(milliseconds(1100));
  EXPECT_EQ(leo.verdict(check::kDuplicate, "pit"), "ok");  // or have been long on its way
  leo.step(Heard{claim("pit", 2), ""});
  leo.run_for(milliseconds(1100));
  EXPECT_EQ(leo.verdict(check::kDuplicate, "pit"), "critical");
  EXPECT_EQ(leo.records("check", "pit").size(), 1U);
  for (int i = 0; i < 10; ++i) {
    leo.step(Heard{claim("pit", 2), ""});
    leo.run_for(seconds(1));
    EXPECT_EQ(leo.verdict(check::kDuplicate, "pit"), "critical");
  }
  EXPECT_EQ(leo.records("check", "pit").size(), 1U);
  EXPECT_EQ(leo.row("pit").state, State::streaming);  // the real one is shown all the while
  leo.run_for(seconds(4));
  EXPECT_EQ(leo.verdict(check::kDuplicate, "pit"), "ok");
}

TEST(Duplicate, OneThatIsNotSureOfItselfIsAWarning) {
  Bench leo("leo");
  leo.settle_three();
  for (int i = 0; i < 2; ++i) {
    leo.step(Heard{claim("pit", 2, Identity::checking), ""});
    leo.run_for(milliseconds(1100));
  }
  EXPECT_EQ(leo.verdict(check::kDuplicate, "pit"), "warning");
}

TEST(Duplicate, ARestartedNodeIsNone) {
  // Its new life calls here before this node has noticed that the old one is gone.
  for (const Duration late : {milliseconds(1), milliseconds(900), milliseconds(1900)}) {
    Bench leo("leo");
    leo.settle_three();
    leo.servers["pit"].silent = true;
    leo.run_for(late);
    leo.servers["pit"].silent = false;
    leo.servers["pit"].report.incarnation = life("pit", 2);
    leo.step(Heard{claim("pit", 2), ""});
    leo.break_sessions("pit", failure_of(Stage::query, FailureKind::network, "reset"));
    for (int i = 0; i < 100; ++i) {
      leo.run_for(milliseconds(50));
      ASSERT_EQ(leo.verdict(check::kDuplicate, "pit"), "ok");
    }
    EXPECT_EQ(leo.row("pit").state, State::streaming);
  }
}

TEST(Duplicate, ALateReplyOfTheOldLifeProvesNothing) {
  Bench leo("leo");
  leo.settle_three();
  leo.servers["pit"].latency = milliseconds(1500);
  leo.run_for(milliseconds(1000));  // asked; the old life's reply is on its way
  leo.step(Heard{claim("pit", 2), ""});
  leo.run_for(milliseconds(1500));
  EXPECT_EQ(leo.verdict(check::kDuplicate, "pit"), "ok");
  leo.restart("pit", 2);
  leo.run_for(seconds(10));
  EXPECT_EQ(leo.verdict(check::kDuplicate, "pit"), "ok");
}

TEST(Duplicate, ALateCallOfTheOldLifeProvesNothing) {
  Bench leo("leo");
  leo.settle_three();
  leo.restart("pit", 2);
  leo.run_for(milliseconds(500));
  ASSERT_EQ(leo.row("pit").state, State::streaming);
  leo.step(Heard{claim("pit", 1), ""});  // sent before its death, here after its rebirth
  for (int i = 0; i < 50; ++i) {
    leo.run_for(milliseconds(100));
    ASSERT_EQ(leo.verdict(check::kDuplicate, "pit"), "ok");
  }
}

TEST(Duplicate, WhatAThirdNodeSawOfTheOldLifeProvesNothing) {
  Bench leo("leo");
  leo.settle_three();
  leo.restart("pit", 2);
  leo.run_for(milliseconds(5));
  ASSERT_EQ(leo.peer("pit").state, SessionState::connected);
  // ait has not noticed yet: its session with the old life gave its last answer a second ago.
  leo.servers["ait"].report.links = {link_of("pit", life("pit", 1), milliseconds(1000))};
  leo.run_for(milliseconds(990));
  leo.servers["ait"].report.links = {link_of("pit", life("pit", 1), milliseconds(2000))};
  for (int i = 0; i < 50; ++i) {
    leo.run_for(milliseconds(20));
    ASSERT_EQ(leo.verdict(check::kDuplicate, "pit"), "ok");
  }
  leo.servers["ait"].report.links = {link_of("pit", life("pit", 2))};
  leo.run_for(seconds(5));
  EXPECT_EQ(leo.verdict(check::kDuplicate, "pit"), "ok");
}

TEST(Duplicate, AThirdNodeThatReachesAnotherServerProvesTwo) {
  Bench leo("leo");
  leo.settle_three();
  leo.servers["ait"].report.links = {link_of("pit", life("pit", 2))};
  leo.run_for(seconds(3));
  EXPECT_EQ(leo.verdict(check::kDuplicate, "pit"), "critical");
  EXPECT_EQ(leo.row("pit").status, Status::critical);
  leo.run_for(seconds(30));
  EXPECT_EQ(leo.records("check", "pit").size(), 1U);
  leo.servers["ait"].report.links.clear();
  leo.run_for(seconds(5));
  EXPECT_EQ(leo.verdict(check::kDuplicate, "pit"), "ok");
}

TEST(Duplicate, AnEndpointThatLeadsNowHereNowThereIsTwo) {
  Bench leo("leo");
  leo.settle_three();
  leo.restart("pit", 2);
  leo.run_for(seconds(2));
  EXPECT_EQ(leo.verdict(check::kDuplicate, "pit"), "ok");
  leo.restart("pit", 1);  // incarnations never come back: both live
  leo.run_for(seconds(1));
  EXPECT_EQ(leo.verdict(check::kDuplicate, "pit"), "critical");
}

TEST(Duplicate, TheRealOneWorksOnWhileItsCopyCalls) {
  Bench leo("leo");
  leo.settle_three();
  for (int i = 0; i < 30; ++i) {
    Report copy = claim("leo", 2, Identity::checking);
    leo.step(Heard{copy, "leo"});
    leo.run_for(seconds(1));
  }
  EXPECT_EQ(leo.fed.identity(), Identity::confirmed);
  EXPECT_EQ(leo.verdict(check::kDuplicate, "leo"), "warning");
  EXPECT_EQ(leo.dials(), 0U);
  EXPECT_EQ(leo.count<Hangup>(), 0U);
  EXPECT_EQ(leo.row("ait").status, Status::ok);
  EXPECT_EQ(leo.verdict(check::kPrimary), "ok");
  EXPECT_EQ(leo.records().size(), 1U) << leo.words();
  leo.run_for(seconds(4));
  EXPECT_EQ(leo.verdict(check::kDuplicate, "leo"), "ok");
}

TEST(Duplicate, AnEstablishedNodeWhosePeersReachAnotherSaysSoAndWorksOn) {
  Bench leo("leo");
  leo.settle_three();
  leo.servers["ait"].report.links = {link_of("leo", life("leo", 2))};
  leo.run_for(seconds(5));
  EXPECT_EQ(leo.fed.identity(), Identity::confirmed);
  EXPECT_EQ(leo.verdict(check::kDuplicate, "leo"), "critical");
}

// ---- hearsay -------------------------------------------------------------------------------------

TEST(Hearsay, IsNeverActedUpon) {
  Bench ait("ait");
  ait.settle_three();
  ait.kill("pit");
  ait.run_for(seconds(1));
  const FederationRow before = ait.row("pit");
  ait.actions.clear();
  Report says = report_of("pit", primary_facts(0x9000, 2));
  for (int i = 0; i < 10; ++i) {
    ait.step(Heard{says, "pit"});
    ait.run_for(milliseconds(500));
  }
  EXPECT_EQ(ait.row("pit").role, before.role);
  EXPECT_EQ(ait.row("pit").state, State::unreachable);
  EXPECT_EQ(ait.row("pit").lsn, before.lsn);
  EXPECT_EQ(ait.row("pit").seen, before.seen);
  EXPECT_EQ(ait.verdict(check::kPrimary), "ok");
  EXPECT_EQ(ait.words(), "");
  // But it is shown that the node lives.
  EXPECT_NE(ait.check(check::kPeer, "pit")->detail.view().find("it reached this server"),
            std::string::npos);
  ait.run_for(seconds(4));
  EXPECT_EQ(ait.check(check::kPeer, "pit")->detail, "connection refused");
}

TEST(Hearsay, OfStrangersIsNotEvenShown) {
  for (const int what : {0, 1, 2, 3}) {
    Bench ait("ait");
    ait.settle_three();
    ait.kill("pit");
    ait.run_for(seconds(1));
    Report says = report_of("pit", standby_facts());
    Heard heard{says, ""};
    if (what == 0) heard.report.federation = "odyssey";
    if (what == 1) heard.report.facts.system_identifier = 5;
    if (what == 2) heard.certificate_node = "leo";
    if (what == 3) heard.report.node = "zeus";
    ait.step(heard);
    ait.run_for(milliseconds(300));
    EXPECT_EQ(ait.check(check::kPeer, "pit")->detail, "connection refused") << what;
  }
}

TEST(Hearsay, UnderAForeignCertificateMakesNoDuplicate) {
  Bench leo("leo");
  leo.settle_three();
  for (int i = 0; i < 3; ++i) {
    leo.step(Heard{claim("pit", 2), "ait"});
    leo.step(Heard{claim("leo", 2), "ait"});
    leo.run_for(seconds(1));
  }
  EXPECT_EQ(leo.verdict(check::kDuplicate, "pit"), "ok");
  EXPECT_EQ(leo.verdict(check::kDuplicate, "leo"), "ok");
  leo.step(Heard{claim("leo", 1), "leo"});  // its own call of itself
  leo.run_for(seconds(2));
  EXPECT_EQ(leo.verdict(check::kDuplicate, "leo"), "ok");
}

}  // namespace
}  // namespace pgfed::core
