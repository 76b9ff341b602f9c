#include <gtest/gtest.h>

#include "pgfed/core/federation.hpp"

#include "federation_fixture.hpp"

namespace pgfed::core {
namespace {

using testing::Bench;
using testing::failure_of;
using testing::primary_facts;
using testing::refused;
using testing::report_of;
using testing::spec_of;
using testing::standby_facts;

// ---- primaries -----------------------------------------------------------------------------------

TEST(TwoPrimaries, AreCriticalOnEveryNodeThatSeesBoth) {
  for (const char* me : {"leo", "ait", "pit"}) {
    SCOPED_TRACE(me);
    Bench bench(me);
    bench.settle_three();
    const Facts promoted = primary_facts(0x2000, 2);
    bench.servers["ait"].report.facts = promoted;
    if (std::string_view(me) == "ait") bench.set_facts(promoted);
    bench.run_for(seconds(2));
    EXPECT_EQ(bench.verdict(check::kPrimary), "critical");
    EXPECT_EQ(bench.verdict(check::kPrimary, "leo"), "critical");
    EXPECT_EQ(bench.verdict(check::kPrimary, "ait"), "critical");
    EXPECT_EQ(bench.verdict(check::kPrimary, "pit"), "none");
    EXPECT_EQ(bench.check(check::kPrimary)->detail,
              "more than one primary: ait (timeline 2), leo (timeline 1)");
    EXPECT_EQ(bench.row("leo").status, Status::critical);
    EXPECT_EQ(bench.row("ait").status, Status::critical);
    bench.run_for(seconds(60));
    ASSERT_EQ(bench.records("two_primaries").size(), 1U);
    EXPECT_EQ(bench.records("two_primaries")[0].severity, Severity::critical);
    EXPECT_TRUE(bench.records("check").empty()) << bench.words();  // one event, not two
    EXPECT_EQ(bench.row("pit").lag_us, kNoValue);                  // behind which?
    EXPECT_EQ(bench.verdict(check::kLag, "pit"), "unknown");

    bench.servers["leo"].report.facts = standby_facts(0x2000, "127.0.0.3");
    if (std::string_view(me) == "leo") bench.set_facts(standby_facts(0x2000, "127.0.0.3"));
    bench.run_for(seconds(2));
    EXPECT_EQ(bench.verdict(check::kPrimary), "ok");
    EXPECT_EQ(bench.verdict(check::kPrimary, "ait"), "none");
    EXPECT_EQ(bench.records("two_primaries").size(), 1U);
    EXPECT_EQ(bench.records("two_primaries_over").size(), 1U);
    EXPECT_TRUE(bench.records("check").empty()) << bench.words();
  }
}

TEST(TwoPrimaries, AreNotSeenWhereOneIsUnreachable) {
  Bench pit("pit");
  pit.settle_three();
  pit.kill("leo");
  pit.run_for(milliseconds(10));
  pit.servers["ait"].report.facts = primary_facts(0x2000, 2);
  pit.run_for(seconds(5));
  EXPECT_TRUE(pit.records("two_primaries").empty());
  EXPECT_EQ(pit.verdict(check::kPrimary), "ok");
  pit.servers["leo"].refuses.reset();  // the old one comes back as it was
  pit.run_for(seconds(2));
  EXPECT_EQ(pit.records("two_primaries").size(), 1U);
}

TEST(NoPrimary, IsCriticalWithOneEventAndItsEnd) {
  Bench ait("ait");
  ait.settle_three();
  ait.kill("leo");
  ait.run_for(seconds(30));
  EXPECT_EQ(ait.verdict(check::kPrimary), "critical");
  EXPECT_EQ(ait.check(check::kPrimary)->detail, "no primary is seen");
  EXPECT_EQ(ait.records("no_primary").size(), 1U);
  ait.servers["leo"].refuses.reset();
  ait.run_for(seconds(2));
  EXPECT_EQ(ait.verdict(check::kPrimary), "ok");
  EXPECT_EQ(ait.records("no_primary").size(), 1U);
  EXPECT_EQ(ait.records("no_primary_over").size(), 1U);
}

TEST(NoPrimary, ACrowdedOneIsStillThePrimary) {
  Bench ait("ait");
  ait.settle_three();
  ait.servers["leo"].refuses =
      failure_of(Stage::authenticate, FailureKind::crowded, "sorry, too many clients already");
  ait.break_sessions("leo", failure_of(Stage::query, FailureKind::network, "closed"));
  ait.run_for(seconds(10));
  EXPECT_EQ(ait.row("leo").state, State::running);
  EXPECT_EQ(ait.verdict(check::kPrimary), "ok");
  EXPECT_TRUE(ait.records().empty()) << ait.words();
}

// ---- replication and lag -------------------------------------------------------------------------

TEST(Lag, IsJudgedByTheNodesOwnThresholds) {
  Bench leo("leo");
  Settings strict;  // this server's own count for its own row only
  strict.lag_warning = milliseconds(1);
  strict.lag_critical = milliseconds(2);
  leo.set_settings(strict);
  leo.settle_three();
  leo.servers["pit"].report.judged_by.lag_warning = seconds(5);
  leo.servers["pit"].report.judged_by.lag_critical = seconds(8);
  leo.servers["ait"].report.judged_by.lag_warning = std::chrono::hours(1);
  leo.servers["ait"].report.judged_by.lag_critical = std::chrono::hours(2);
  std::uint64_t lsn = 0x1000;
  leo.set_facts(primary_facts(lsn));
  const auto write_for = [&](int rounds) {
    for (int i = 0; i < rounds; ++i) {
      leo.set_facts(primary_facts(lsn += 100));
      leo.run_for(milliseconds(100));
    }
  };
  write_for(40);  // both standbys stand still
  EXPECT_EQ(leo.verdict(check::kLag, "pit"), "ok");
  write_for(20);
  EXPECT_EQ(leo.verdict(check::kLag, "pit"), "warning");
  EXPECT_EQ(leo.row("pit").status, Status::warning);
  EXPECT_EQ(leo.row("pit").detail, leo.check(check::kLag, "pit")->detail.view());
  const Instant since = leo.check(check::kLag, "pit")->since;
  write_for(10);
  EXPECT_EQ(leo.check(check::kLag, "pit")->since, since);
  write_for(15);
  EXPECT_EQ(leo.verdict(check::kLag, "pit"), "critical");
  EXPECT_EQ(leo.verdict(check::kLag, "ait"), "ok");
  EXPECT_EQ(leo.verdict(check::kLag, "leo"), "none");
  EXPECT_EQ(leo.records("check", "pit").size(), 2U) << leo.words();
  EXPECT_GT(leo.row("pit").lag_us, 8000000);
  EXPECT_EQ(leo.row("pit").lag_bytes, static_cast<std::int64_t>(lsn - 0x1000));
  const std::int64_t lag = leo.row("pit").lag_us;
  leo.now += milliseconds(10);  // it grows by itself
  EXPECT_EQ(leo.row("pit").lag_us, lag + 10000);
}

TEST(Lag, OfThisStandbyByItsOwnSettings) {
  Bench ait("ait");
  Settings settings;
  settings.lag_warning = seconds(2);
  settings.lag_critical = seconds(4);
  ait.set_settings(settings);
  ait.settle_three();
  std::uint64_t lsn = 0x1000;
  for (int i = 0; i < 6; ++i) {
    ait.servers["leo"].report.facts = primary_facts(lsn += 0x100);
    ait.run_for(seconds(1));
  }
  EXPECT_EQ(ait.verdict(check::kLag, "ait"), "critical");
  Facts paused = standby_facts(0x1100);
  paused.replay_paused = true;
  ait.set_facts(paused);
  EXPECT_NE(ait.check(check::kLag, "ait")->detail.view().find("replay is paused"),
            std::string::npos);
  ait.set_facts(standby_facts(lsn));
  EXPECT_EQ(ait.row("ait").lag_us, 0);
  EXPECT_EQ(ait.row("ait").lag_bytes, 0);
}

TEST(Lag, WithoutAPrimaryIsUnknown) {
  Bench ait("ait");
  ait.servers["leo"].refuses = refused();
  ait.start_three();
  ait.run_for(seconds(5));
  EXPECT_EQ(ait.verdict(check::kLag, "pit"), "unknown");
  EXPECT_EQ(ait.row("pit").lag_us, kNoValue);
  EXPECT_EQ(ait.row("pit").lag_bytes, kNoValue);
}

TEST(Lag, StartsAfreshAfterAPromotion) {
  Bench pit("pit");
  pit.settle_three();
  pit.servers["leo"].report.facts = primary_facts(0x9000);
  pit.run_for(seconds(2));
  pit.kill("leo");
  pit.servers["ait"].report.facts = primary_facts(0x2000, 2);
  pit.set_facts(standby_facts(0x2000, "127.0.0.3"));
  pit.run_for(seconds(3));
  EXPECT_EQ(pit.row("pit").lag_us, 0);
  EXPECT_EQ(pit.row("pit").upstream, "ait");
}

TEST(Replication, IsCriticalWithoutAStream) {
  Bench leo("leo");
  leo.settle_three();
  Facts& facts = leo.servers["pit"].report.facts;
  facts.state = State::catchup;
  leo.run_for(seconds(1));
  EXPECT_EQ(leo.verdict(check::kReplication, "pit"), "warning");
  EXPECT_EQ(leo.row("pit").state, State::catchup);
  facts.state = State::not_streaming;
  leo.run_for(seconds(1));
  EXPECT_EQ(leo.verdict(check::kReplication, "pit"), "critical");
  EXPECT_EQ(leo.row("pit").detail, "no stream from its upstream");
  facts.state = State::streaming;
  leo.run_for(seconds(1));
  EXPECT_EQ(leo.row("pit").status, Status::ok);
  EXPECT_EQ(leo.records().size(), 3U) << leo.words();
}

// ---- the rest ------------------------------------------------------------------------------------

TEST(Version, ADifferentLibraryIsAWarning) {
  Bench leo("leo");
  leo.servers["pit"].report.library_version = "0.2";
  leo.start_three();
  leo.servers["pit"].report.library_version = "0.2";
  leo.run_for(seconds(5));
  EXPECT_EQ(leo.verdict(check::kVersion, "pit"), "warning");
  EXPECT_EQ(leo.verdict(check::kVersion, "ait"), "ok");
  EXPECT_EQ(leo.check(check::kVersion, "pit")->detail, "library version 0.2 there, 0.1 here");
  EXPECT_EQ(leo.records("check").size(), 1U);
}

TEST(Settings, RowsLeftOutAreAWarning) {
  Bench leo("leo", 3);
  leo.start_three();
  leo.set_nodes({spec_of("leo"), spec_of("ait"), spec_of("pit"), spec_of("zed")});
  leo.run_for(seconds(2));
  EXPECT_EQ(leo.verdict(check::kSettings, "leo"), "warning");
  EXPECT_EQ(leo.row("ait").state, State::streaming);
}

TEST(Settings, TheOwnRowLeftOutIsCritical) {
  Bench pit("pit", 2);
  pit.start_three();
  pit.run_for(seconds(2));
  EXPECT_EQ(pit.verdict(check::kSettings, "pit"), "critical");
  EXPECT_EQ(pit.dials(), 0U);
}

TEST(Catalog, NotReadYetIsNoFaultAtFirst) {
  Bench leo("leo");
  leo.set_facts(primary_facts());
  leo.run_for(seconds(2));
  EXPECT_EQ(leo.verdict(check::kCatalog, "leo"), "unknown");
  leo.run_for(seconds(2));
  EXPECT_EQ(leo.verdict(check::kCatalog, "leo"), "warning");
  EXPECT_EQ(leo.dials(), 0U);
  EXPECT_TRUE(leo.records().empty());
}

TEST(Catalog, AForeignTableNamesBothClusters) {
  Bench leo("leo");
  NodesChanged change = Bench::nodes_changed({spec_of("leo")});
  change.state = CatalogState::foreign;
  change.table_system_identifier = 123;
  leo.step(change);
  EXPECT_EQ(leo.verdict(check::kCatalog, "leo"), "critical");
  EXPECT_EQ(leo.check(check::kCatalog, "leo")->detail,
            "pgfed.nodes belongs to the cluster with system identifier 123, this is " +
                std::to_string(testing::kSystem));
  EXPECT_NE(leo.check(check::kCatalog, "leo")->hint.view().find("pgfed.adopt()"),
            std::string::npos);
  leo.run_for(seconds(60));
  EXPECT_EQ(leo.records("check").size(), 1U);
}

/// Each kind of failure says what to type, and no text is cut.
TEST(Hints, FitAndAreSentences) {
  for (int kind = 1; kind <= static_cast<int>(FailureKind::other_node); ++kind) {
    Bench leo("leo");
    leo.settle_three();
    leo.servers["pit"].refuses =
        failure_of(Stage::query, static_cast<FailureKind>(kind), "something is wrong");
    leo.break_sessions("pit", failure_of(Stage::query, FailureKind::network, "closed"));
    leo.run_for(seconds(1));
    const auto check = leo.check(check::kPeer, "pit");
    ASSERT_TRUE(check);
    EXPECT_EQ(check->hint.view().back(), '.') << check->hint.view();
    EXPECT_LT(check->hint.view().size(), sizeof(check->hint) - 1);
  }
}

TEST(Checks, SinceIsKeptAndEachChangeIsPublished) {
  Bench leo("leo");
  leo.settle_three();
  const Instant began = leo.check(check::kPeer, "pit")->since;
  leo.run_for(seconds(10));
  EXPECT_EQ(leo.check(check::kPeer, "pit")->since, began);
  const std::uint64_t revision = leo.fed.revision();
  leo.kill("pit");
  leo.run_for(milliseconds(2));
  EXPECT_GT(leo.fed.revision(), revision);
  EXPECT_EQ(leo.check(check::kPeer, "pit")->since, leo.row("pit").since);
  leo.run_for(seconds(10));
  EXPECT_EQ(leo.check(check::kPeer, "pit")->since, leo.row("pit").since);
}

TEST(Checks, ANodeThatComesBackIsNotToldOfTwice) {
  Bench leo("leo");
  leo.start_three();
  leo.servers["pit"].report.library_version = "0.2";
  leo.run_for(seconds(5));
  leo.actions.clear();
  leo.kill("pit");
  leo.run_for(seconds(5));
  leo.servers["pit"].refuses.reset();
  leo.run_for(seconds(5));
  EXPECT_EQ(leo.records().size(), 2U) << leo.words();  // gone and back: the version is no news
}

}  // namespace
}  // namespace pgfed::core
