#include "pgfed/core/federation.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>

#include "federation_fixture.hpp"

namespace pgfed::core {
namespace {

using testing::Bench;
using testing::expect_on_time;
using testing::failure_of;
using testing::primary_facts;
using testing::refused;
using testing::report_of;
using testing::spec_of;
using testing::standby_facts;

// ---- all well --------------------------------------------------------------------------------

TEST(Federation, ThreeNodesThatAreWell) {
  Bench leo("leo");
  leo.settle_three();
  EXPECT_EQ(leo.fed.identity(), Identity::confirmed);
  EXPECT_EQ(leo.row("leo").state, State::running);
  EXPECT_EQ(leo.row("ait").state, State::streaming);
  EXPECT_EQ(leo.row("pit").state, State::streaming);
  for (const char* node : {"leo", "ait", "pit"}) {
    EXPECT_EQ(leo.row(node).status, Status::ok) << leo.row(node).detail.view();
    EXPECT_EQ(leo.peer(node).state, SessionState::connected);
    EXPECT_EQ(leo.peer(node).stage, Stage::none);
    EXPECT_EQ(leo.peer(node).failures, 0U);
    expect_on_time(leo, node);
  }
  EXPECT_EQ(leo.row("ait").upstream, "leo");
  EXPECT_EQ(leo.row("ait").lag_bytes, 0);
  EXPECT_EQ(leo.row("ait").lag_us, 0);
  for (const CheckRow& check : leo.fed.picture(leo.now).checks) {
    EXPECT_EQ(check.status, Status::ok) << check.name.view() << " " << check.detail.view();
  }
  const std::uint64_t revision = leo.fed.revision();
  const std::uint64_t links = leo.fed.links_revision();
  leo.run_for(seconds(60));
  EXPECT_EQ(leo.words(), "");  // nothing happens, nothing is told, nobody is dialled anew
  EXPECT_EQ(leo.dials(), 0U);
  EXPECT_EQ(leo.fed.revision(), revision);
  EXPECT_EQ(leo.fed.links_revision(), links);
}

TEST(Federation, NothingIsWrongWhileEveryoneIsStillBeingDialled) {
  Bench ait("ait");
  ait.start_three();
  for (int i = 0; i < 100; ++i) {
    ait.run_for(milliseconds(1));
    EXPECT_TRUE(ait.checks_at(Status::critical).empty());
    EXPECT_TRUE(ait.checks_at(Status::warning).empty());
  }
  EXPECT_TRUE(ait.records("check").empty()) << ait.words();
}

TEST(Federation, ThousandsOfRoundsLeaveNothingBehind) {
  Bench leo("leo");
  leo.settle_three();
  for (int i = 0; i < 10000; ++i) {
    leo.run_for(seconds(1));
    EXPECT_LT(leo.pending().size(), 10U);
    leo.actions.clear();
  }
  EXPECT_EQ(leo.row("ait").state, State::streaming);
}

// ---- what comes late, twice or from nowhere ----------------------------------------------------

TEST(FederationEvents, LateDuplicateAndForeignOnesChangeNothing) {
  Bench leo("leo");
  leo.settle_three();
  const Attempt attempt = leo.attempt("pit");
  Report lie = report_of("pit", primary_facts(0x9999, 9));
  const std::uint64_t revision = leo.fed.revision();
  leo.step(ReplyReceived{attempt, 1, lie});         // of a request answered long ago
  leo.step(ReplyReceived{attempt, 0, lie});         // of no request
  leo.step(ReplyReceived{attempt, 999999, lie});    // of one never made
  leo.step(ReplyReceived{attempt + 1000, 1, lie});  // of an attempt never made
  leo.step(ReplyReceived{leo.attempt("ait"), 1, lie});
  leo.step(ReplyReceived{0, 0, lie});
  leo.step(SessionOpened{attempt, SessionInfo{}});  // opened twice
  leo.step(SessionOpened{attempt + 1000, SessionInfo{}});
  leo.step(SessionFailed{attempt + 1000, refused()});
  leo.step(SessionFailed{0, refused()});
  leo.step(SessionProgress{attempt + 1000, Stage::tls});
  leo.step(SessionProgress{0, Stage::tls});
  EXPECT_EQ(leo.fed.revision(), revision);
  EXPECT_EQ(leo.words(), "");
  EXPECT_EQ(leo.row("pit").state, State::streaming);
  EXPECT_EQ(leo.peer("pit").tls_protocol, "TLSv1.3");

  leo.kill("pit");
  leo.run_for(milliseconds(10));
  ASSERT_EQ(leo.row("pit").state, State::unreachable);
  const std::uint32_t failures = leo.peer("pit").failures;
  for (RequestId request = 0; request < 100; ++request) {
    leo.step(ReplyReceived{attempt, request, report_of("pit", standby_facts())});
  }
  leo.step(SessionOpened{attempt, SessionInfo{}});
  leo.step(SessionFailed{attempt, failure_of(Stage::query, FailureKind::starting, "late")});
  EXPECT_EQ(leo.row("pit").state, State::unreachable);
  EXPECT_EQ(leo.peer("pit").failures, failures);
  EXPECT_EQ(leo.peer("pit").error, "connection refused");
}

TEST(FederationEvents, EveryReplyTwiceAndLate) {
  Bench leo("leo");
  leo.start_three();
  for (int i = 0; i < 300; ++i) {
    const std::multimap<Instant, Event> coming = leo.pending();
    for (const auto& [at, event] : coming) {
      if (at < leo.now + milliseconds(2)) leo.pending().emplace(at + milliseconds(730), event);
    }
    leo.run_for(milliseconds(100));
    if (leo.pending().size() > 50) leo.pending().clear();
  }
  leo.run_for(seconds(5));
  EXPECT_EQ(leo.row("pit").state, State::streaming);
  EXPECT_EQ(leo.verdict(check::kDuplicate, "pit"), "ok");
}

// ---- settings, facts and the table ---------------------------------------------------------------

TEST(FederationSettings, OffHangsUpAndSaysSo) {
  Bench leo("leo");
  leo.settle_three();
  Settings settings;
  settings.mode = Mode::off;
  leo.set_settings(settings);
  EXPECT_EQ(leo.count<Hangup>(), 3U);
  EXPECT_EQ(leo.records("mode_changed").size(), 1U);
  EXPECT_EQ(leo.records("mode_changed")[0].detail, "active to off");
  leo.run_for(seconds(30));
  EXPECT_EQ(leo.dials(), 0U);
  for (const char* node : {"leo", "ait", "pit"}) {
    EXPECT_EQ(leo.peer(node).state, SessionState::idle);
    EXPECT_EQ(leo.row(node).status, Status::unknown) << node;
  }
  EXPECT_EQ(leo.row("leo").detail, "pgfed.mode is off: no node is looked at");
  EXPECT_EQ(leo.row("ait").detail, "not looked at: pgfed.mode is off");
  EXPECT_EQ(leo.row("ait").state, State::unknown);
  EXPECT_EQ(leo.row("leo").state, State::running);  // it needs nobody to know this
  EXPECT_EQ(leo.verdict(check::kSettings, "leo"), "unknown");
  EXPECT_EQ(leo.fed.report(leo.now).judged_by.mode, Mode::off);

  settings.mode = Mode::active;
  leo.set_settings(settings);
  leo.run_for(milliseconds(100));
  EXPECT_EQ(leo.row("ait").state, State::streaming);
  EXPECT_EQ(leo.row("ait").status, Status::ok);
}

TEST(FederationSettings, ObserveSeesEverything) {
  Bench leo("leo");
  leo.settle_three();
  Settings settings;
  settings.mode = Mode::observe;
  leo.set_settings(settings);
  leo.run_for(seconds(10));
  EXPECT_EQ(leo.count<Hangup>(), 0U);
  EXPECT_EQ(leo.dials(), 0U);
  EXPECT_EQ(leo.row("ait").status, Status::ok);
  EXPECT_EQ(leo.fed.report(leo.now).judged_by.mode, Mode::observe);
  expect_on_time(leo, "ait");
}

TEST(FederationSettings, OffFromTheStart) {
  Bench leo("leo");
  Settings settings;
  settings.mode = Mode::off;
  leo.set_settings(settings);
  leo.start_three();
  leo.run_for(seconds(5));
  EXPECT_EQ(leo.dials(), 0U);
  EXPECT_EQ(leo.row("leo").state, State::running);
  EXPECT_TRUE(leo.records("mode_changed").empty());
}

TEST(FederationSettings, AShorterIntervalIsObeyedAtOnce) {
  Bench leo("leo");
  Settings settings;
  settings.peer_interval = std::chrono::hours(1);
  leo.set_settings(settings);
  leo.settle_three();
  const std::size_t before = leo.asked("ait").size();
  leo.run_for(seconds(600));
  EXPECT_EQ(leo.asked("ait").size(), before);
  settings.peer_interval = milliseconds(100);
  settings.peer_timeout = milliseconds(200);
  leo.set_settings(settings);
  leo.run_for(seconds(2));
  EXPECT_GE(leo.asked("ait").size(), before + 18);
  leo.servers["ait"].silent = true;
  leo.run_for(milliseconds(301));
  EXPECT_EQ(leo.row("ait").state, State::unreachable);
}

TEST(FederationFacts, OwnRoleAndStateAreShownAtOnce) {
  Bench ait("ait");
  ait.settle_three();
  Facts facts = standby_facts();
  facts.state = State::not_streaming;
  ait.set_facts(facts);
  EXPECT_EQ(ait.row("ait").state, State::not_streaming);
  EXPECT_EQ(ait.verdict(check::kReplication, "ait"), "critical");
  EXPECT_EQ(ait.records("node_state", "ait").size(), 1U);
  EXPECT_EQ(ait.records()[0].severity, Severity::critical);
  ait.set_facts(primary_facts(0x2000, 2));
  EXPECT_EQ(ait.records("role_changed").size(), 1U);
  EXPECT_EQ(ait.records("role_changed")[0].detail, "standby to primary, timeline 2");
  EXPECT_EQ(ait.row("ait").state, State::running);
  EXPECT_EQ(ait.row("ait").role, Role::primary);
}

TEST(FederationFacts, KnownBeforeTheTableIsRead) {
  Bench leo("leo");
  leo.set_facts(primary_facts());
  leo.servers["leo"].silent = true;
  leo.set_nodes({spec_of("leo")});
  EXPECT_EQ(leo.row("leo").state, State::running);
}

TEST(FederationFacts, ARoleChangeIsToldSoon) {
  Bench ait("ait");
  ait.settle_three();
  ait.run_for(milliseconds(400));
  const std::size_t before = ait.asked("pit").size();
  ait.set_facts(primary_facts(0x2000, 2));
  ait.run_for(milliseconds(60));
  EXPECT_EQ(ait.asked("pit").size(), before + 1);
  for (int i = 0; i < 1000; ++i) {  // but no storm of changes makes a storm of requests
    Facts facts = standby_facts();
    facts.state = i % 2 == 0 ? State::catchup : State::streaming;
    ait.set_facts(facts);
    ait.run_for(milliseconds(1));
  }
  EXPECT_LE(ait.asked("pit").size(), before + 1 + 6);
}

TEST(FederationNodes, AddRemoveMoveKeep) {
  Bench leo("leo");
  leo.settle_three();
  leo.servers["zed"].report = report_of("zed", standby_facts());

  leo.set_nodes({spec_of("leo"), spec_of("ait"), spec_of("pit")});  // nothing new
  leo.run_for(seconds(2));
  EXPECT_EQ(leo.words(), "");
  EXPECT_EQ(leo.dials() + leo.count<Hangup>(), 0U);

  leo.set_nodes({spec_of("leo"), spec_of("ait"), spec_of("pit"), spec_of("zed")});
  EXPECT_EQ(leo.dials(), 1U);  // at once
  leo.run_for(milliseconds(10));
  EXPECT_EQ(leo.row("zed").state, State::streaming);

  NodeSpec elsewhere = spec_of("pit", "127.0.0.9");
  leo.set_nodes({spec_of("leo"), spec_of("ait"), elsewhere, spec_of("zed")});
  EXPECT_EQ(leo.count<Hangup>(), 1U);
  EXPECT_EQ(leo.dials("pit"), 1U);
  EXPECT_EQ(leo.peer("pit").host, "127.0.0.9");
  EXPECT_EQ(leo.row("pit").state, State::unknown);
  leo.run_for(milliseconds(10));
  EXPECT_EQ(leo.row("pit").state, State::streaming);

  NodeSpec commented = elsewhere;
  commented.site = "rome";
  commented.upstream = "ait";
  leo.set_nodes({spec_of("leo"), spec_of("ait"), commented, spec_of("zed")});
  EXPECT_EQ(leo.count<Hangup>(), 1U);  // still the same endpoint
  EXPECT_EQ(leo.row("pit").site, "rome");

  leo.set_nodes({spec_of("leo"), commented, spec_of("zed")});
  EXPECT_EQ(leo.count<Hangup>(), 2U);
  EXPECT_EQ(leo.fed.picture(leo.now).federation.size(), 3U);
  EXPECT_FALSE(leo.check(check::kPeer, "ait"));
  leo.run_for(seconds(5));
  EXPECT_EQ(leo.dials("ait"), 0U);
  expect_on_time(leo, "pit", leo.asked("pit").size() - 4);
}

TEST(FederationNodes, APortOrOptionMovesItToo) {
  for (const bool port : {true, false}) {
    Bench leo("leo");
    leo.settle_three();
    NodeSpec moved = spec_of("pit");
    if (port) {
      moved.port = 5433;
    } else {
      moved.options = "sslsni=0";
    }
    leo.set_nodes({spec_of("leo"), spec_of("ait"), moved});
    EXPECT_EQ(leo.dials("pit"), 1U);
    EXPECT_EQ(leo.dials("ait"), 0U);
  }
}

TEST(FederationNodes, WhatAnOldEndpointSaysLateIsIgnored) {
  Bench leo("leo");
  leo.settle_three();
  const Attempt old = leo.attempt("pit");
  leo.set_nodes({spec_of("leo"), spec_of("ait"), spec_of("pit", "127.0.0.9")});
  for (RequestId request = 1; request < 100; ++request) {
    leo.step(ReplyReceived{old, request, report_of("pit", primary_facts())});
  }
  EXPECT_EQ(leo.row("pit").state, State::unknown);
}

TEST(FederationNodes, TheTableGoesAndComes) {
  const struct {
    CatalogState state;
    const char* status;
  } cases[] = {{CatalogState::no_database, "critical"},
               {CatalogState::no_extension, "critical"},
               {CatalogState::bad_table, "critical"},
               {CatalogState::foreign, "critical"},
               {CatalogState::unknown, "warning"}};
  for (const auto& each : cases) {
    Bench leo("leo");
    leo.settle_three();
    NodesChanged change = Bench::nodes_changed({spec_of("leo"), spec_of("ait")});
    change.state = each.state;
    leo.step(change);
    EXPECT_EQ(leo.count<Hangup>(), 3U);
    leo.run_for(seconds(10));
    EXPECT_EQ(leo.dials(), 0U);
    EXPECT_TRUE(leo.fed.picture(leo.now).federation.empty());
    EXPECT_EQ(leo.verdict(check::kCatalog, "leo"), each.status);
    EXPECT_EQ(leo.fed.picture(leo.now).checks.size(), 1U);
    leo.set_nodes({spec_of("leo"), spec_of("ait"), spec_of("pit")});
    leo.run_for(milliseconds(50));
    EXPECT_EQ(leo.row("ait").state, State::streaming);
    EXPECT_EQ(leo.verdict(check::kCatalog, "leo"), "ok");
  }
}

// ---- the same always, and cheap ------------------------------------------------------------------

TEST(Federation, TheSameEventsGiveTheSameActions) {
  const auto story = [] {
    Bench leo("leo");
    leo.settle_three();
    leo.kill("pit");
    leo.run_for(seconds(7));
    leo.servers["ait"].silent = true;
    leo.run_for(seconds(9));
    std::vector<std::string> all;
    for (const Action& action : leo.actions) {
      if (const auto* dial = std::get_if<Dial>(&action)) all.push_back(dial->node.name.str());
      if (const auto* ask = std::get_if<Ask>(&action)) all.push_back(std::to_string(ask->request));
      if (const auto* record = std::get_if<Record>(&action)) all.push_back(record->detail.str());
    }
    for (const Instant at : leo.asked("leo")) {
      all.push_back(std::to_string(at.time_since_epoch().count()));
    }
    return all;
  };
  EXPECT_EQ(story(), story());
}

/// Printed, not judged: how long a step and a picture take among a hundred.
TEST(Federation, CostOfAHundredPeers) {
  Bench leo("leo", 100);
  std::vector<NodeSpec> nodes{spec_of("leo")};
  leo.servers["leo"].report = report_of("leo", primary_facts());
  for (int i = 0; i < 99; ++i) {
    const std::string name = "n" + std::to_string(i);
    nodes.push_back(spec_of(name));
    leo.servers[name].report = report_of(name, standby_facts());
  }
  leo.set_facts(primary_facts());
  leo.set_nodes(nodes);
  const auto cost = [](const char* what, int times, const auto& work) {
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < times; ++i) work();
    const auto spent = std::chrono::steady_clock::now() - begin;
    const double us = std::chrono::duration<double, std::micro>(spent).count() / times;
    std::printf("[     cost ] %s: %.1f us\n", what, us);
  };
  leo.run_for(seconds(3));
  EXPECT_EQ(leo.row("n98").state, State::streaming);
  cost("a second of 100 peers", 10, [&] { leo.run_for(seconds(1)); });
  cost("a picture of 100 peers", 10, [&] { (void)leo.fed.picture(leo.now); });
  cost("100 x 100 links", 10, [&] { (void)leo.fed.links(leo.now); });
  cost("a report of 100 peers", 10, [&] { (void)leo.fed.report(leo.now); });
}

}  // namespace
}  // namespace pgfed::core
