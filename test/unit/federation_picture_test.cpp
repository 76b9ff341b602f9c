#include <gtest/gtest.h>

#include <algorithm>

#include "pgfed/core/federation.hpp"
#include "pgfed/core/wire.hpp"

#include "federation_fixture.hpp"

namespace pgfed::core {
namespace {

using testing::Bench;
using testing::failure_of;
using testing::life;
using testing::link_of;
using testing::primary_facts;
using testing::report_of;
using testing::spec_of;
using testing::standby_facts;

TEST(Upstream, IsRecognisedByHostAndPort) {
  const struct {
    const char* row_host;
    const char* options;
    std::uint16_t row_port;
    const char* upstream_host;
    const char* expected;
  } cases[] = {
      {"leo.example.com", "", 5432, "leo.example.com", "leo"},
      {"leo.example.com", "", 5432, "LEO.Example.COM", "leo"},
      {"leo.example.com", "", 5433, "leo.example.com", ""},
      {"leo.example.com", "", 5432, "leo.example", ""},
      {"leo.example.com", "hostaddr=10.0.0.1", 5432, "10.0.0.1", "leo"},
      {"leo.example.com", "sslsni=0 hostaddr=10.0.0.1 keepalives=1", 5432, "10.0.0.1", "leo"},
      {"leo.example.com", "hostaddr='10.0.0.1'", 5432, "10.0.0.1", "leo"},
      {"leo.example.com", "hostaddr = 10.0.0.1", 5432, "10.0.0.1", "leo"},
      {"leo.example.com", "hostaddr=10.0.0.1", 5432, "10.0.0.10", ""},
      {"leo.example.com", "hostaddr=10.0.0.1", 5432, "leo.example.com", "leo"},
      {"leo.example.com", "", 5432, "", ""},
      {"fd00::1", "", 5432, "FD00::1", "leo"},
  };
  for (const auto& each : cases) {
    Bench leo("leo");
    leo.settle_three();
    NodeSpec row = spec_of("leo", each.row_host);
    row.options = each.options;
    row.port = each.row_port;
    leo.set_nodes({row, spec_of("ait"), spec_of("pit")});
    leo.servers["pit"].report.facts = standby_facts(0x1000, each.upstream_host);
    leo.run_for(seconds(2));
    EXPECT_EQ(leo.row("pit").upstream, each.expected)
        << each.row_host << " " << each.options << " " << each.upstream_host;
  }
}

TEST(Picture, PeersCarryWhatTheyReported) {
  Bench leo("leo");
  leo.start_three();
  Report& pit = leo.servers["pit"].report;
  pit.paths.sslrootcert = "/etc/pki/ca.crt";
  pit.server_version = 170002;
  leo.servers["pit"].latency = milliseconds(8);
  leo.run_for(seconds(3));
  const PeerRow row = leo.peer("pit");
  EXPECT_EQ(row.host, "127.0.0.4");
  EXPECT_EQ(row.port, 5432);
  EXPECT_EQ(row.rtt_us, 8000);
  EXPECT_EQ(row.server_version, 170002U);
  EXPECT_EQ(row.library_version, "0.1");
  EXPECT_EQ(row.extension_version, "0.1");
  EXPECT_EQ(row.system_identifier, testing::kSystem);
  EXPECT_EQ(row.tls_protocol, "TLSv1.3");
  EXPECT_EQ(row.client_dn, "/CN=leo");
  EXPECT_EQ(row.paths.sslrootcert, "/etc/pki/ca.crt");
  EXPECT_TRUE(happened(row.connected_since));
  leo.kill("pit");
  leo.run_for(seconds(1));
  EXPECT_TRUE(leo.peer("pit").tls_protocol.empty());
  EXPECT_FALSE(happened(leo.peer("pit").connected_since));
  EXPECT_EQ(leo.peer("pit").server_version, 170002U);
}

TEST(Picture, TheClockOffsetDoesNotDependOnWhenFactsWereTaken) {
  Bench leo("leo");
  leo.start_three();
  constexpr std::int64_t kNoon = 1700000000000000;
  Facts own = primary_facts();
  own.wall_clock = kNoon;
  leo.set_facts(own);  // and never again
  leo.servers["pit"].latency = milliseconds(100);
  // pit is 5 s ahead; its reply is made half a round trip before it comes.
  for (int i = 1; i < 10; ++i) {
    const std::int64_t wall = kNoon + (leo.now - Instant(seconds(1000))).count() + 5000000;
    leo.servers["pit"].report.facts.wall_clock = wall;
    leo.run_for(milliseconds(100));
    // What pit says is up to 100 ms old when it is sent here, so that is the error allowed.
    if (happened(leo.peer("pit").last_seen)) {
      EXPECT_NEAR(static_cast<double>(leo.peer("pit").clock_offset_us), 5e6, 110000) << i;
    }
  }
  leo.run_for(seconds(1));
  EXPECT_EQ(leo.peer("leo").clock_offset_us, 0);
}

TEST(Picture, ExtremeFiguresOfAPeerDoNoHarm) {
  Bench leo("leo");
  leo.settle_three();
  Report& pit = leo.servers["pit"].report;
  pit.facts.replay = Lsn{UINT64_MAX};
  pit.facts.wall_clock = INT64_MAX / 4;
  pit.facts.timeline = UINT32_MAX;
  pit.judged_by.lag_warning = Duration::zero();
  pit.judged_by.lag_critical = std::chrono::hours(24 * 3653);
  LinkReport link = link_of("ait", life("ait"), std::chrono::hours(24 * 3653));
  pit.links = {link, link, link_of("zeus", life("zeus")), link_of("", life("x"))};
  leo.run_for(seconds(3));
  EXPECT_EQ(leo.row("pit").lag_bytes, 0);
  EXPECT_EQ(leo.fed.links(leo.now).size(), 9U);
  pit.facts = primary_facts(UINT64_MAX);
  leo.run_for(seconds(3));
  EXPECT_EQ(leo.row("ait").lag_us, kNoValue);
}

// ---- links ---------------------------------------------------------------------------------------

TEST(Links, AreNTimesNTheOwnEndpointIncluded) {
  Bench leo("leo");
  leo.start_three();
  for (const char* observer : {"ait", "pit"}) {
    for (const char* target : {"pit", "leo", "ait"}) {  // not sorted
      LinkReport link = link_of(target, life(target), milliseconds(40));
      link.rtt = milliseconds(7);
      leo.servers[observer].report.links.push_back(link);
    }
  }
  leo.run_for(seconds(5));
  const auto links = leo.fed.links(leo.now);
  EXPECT_EQ(links.size(), 9U);
  for (const LinkRow& link : links) {
    EXPECT_TRUE(link.connected) << link.observer.view() << " " << link.target.view();
    EXPECT_TRUE(link.error.empty());
    EXPECT_LT(age(link.observed_at, leo.now), seconds(2));
  }
  EXPECT_EQ(leo.link("pit", "ait")->rtt_us, 7000);
  EXPECT_EQ(leo.link("leo", "ait")->rtt_us, 1000);
}

TEST(Links, CarryTheOneWayCut) {
  Bench leo("leo");
  leo.settle_three();
  LinkReport broken;
  broken.target = "ait";
  broken.error = "no connection within 2000 ms";
  broken.age = milliseconds(300);
  leo.servers["pit"].report.links = {broken};
  const std::uint64_t revision = leo.fed.links_revision();
  leo.run_for(seconds(1));
  EXPECT_GT(leo.fed.links_revision(), revision);
  const auto link = leo.link("pit", "ait");
  EXPECT_FALSE(link->connected);
  EXPECT_EQ(link->error, "no connection within 2000 ms");
  EXPECT_EQ(link->rtt_us, kNoValue);
}

TEST(Links, OfAnUnreachableObserverComeFromWhatItTellsElseAreUnknown) {
  Bench leo("leo");
  leo.settle_three();
  leo.servers["pit"].report.links = {link_of("ait", life("ait"))};
  leo.run_for(seconds(1));
  ASSERT_TRUE(leo.link("pit", "ait")->connected);
  const Instant last = leo.peer("pit").last_seen;
  leo.kill("pit");
  leo.run_for(seconds(10));
  EXPECT_FALSE(leo.link("leo", "pit")->connected);
  EXPECT_EQ(leo.link("leo", "pit")->error, "connection refused");
  EXPECT_FALSE(leo.link("pit", "ait")->connected);
  EXPECT_EQ(leo.link("pit", "ait")->error, "no report from node \"pit\"");
  EXPECT_FALSE(leo.link("pit", "ait")->known);
  EXPECT_TRUE(leo.link("leo", "pit")->known);
  EXPECT_LE(leo.link("pit", "ait")->observed_at, last);

  Report told = report_of("pit", standby_facts());
  told.links = {link_of("ait", life("ait"))};
  leo.step(Heard{told, "pit"});
  EXPECT_TRUE(leo.link("pit", "ait")->connected);
  EXPECT_FALSE(leo.link("leo", "pit")->connected);
  leo.run_for(seconds(4));
  EXPECT_FALSE(leo.link("pit", "ait")->connected);
}

TEST(Links, OfAnUnreadTableAreNone) {
  Bench leo("leo");
  EXPECT_TRUE(leo.fed.links(leo.now).empty());
  EXPECT_TRUE(leo.fed.picture(leo.now).federation.empty());
}

// ---- report --------------------------------------------------------------------------------------

TEST(OwnReport, SaysWhatPeersNeed) {
  Bench leo("leo");
  Settings settings;
  settings.lag_warning = seconds(3);
  settings.lag_critical = seconds(4);
  settings.peer_interval = milliseconds(700);
  settings.paths.sslcert = "/etc/pki/leo.crt";
  leo.set_settings(settings);
  leo.settle_three();
  leo.kill("pit");
  leo.run_for(seconds(2));
  const Report report = leo.fed.report(leo.now);
  EXPECT_EQ(report.protocol, kProtocol);
  EXPECT_EQ(report.node, "leo");
  EXPECT_EQ(report.federation, "iliad");
  EXPECT_EQ(report.incarnation, life("leo"));
  EXPECT_EQ(report.identity, Identity::confirmed);
  EXPECT_EQ(report.facts, primary_facts());
  EXPECT_EQ(report.judged_by.lag_warning, seconds(3));
  EXPECT_EQ(report.judged_by.lag_critical, seconds(4));
  EXPECT_EQ(report.judged_by.peer_interval, milliseconds(700));
  EXPECT_EQ(report.paths.sslcert, "/etc/pki/leo.crt");
  EXPECT_EQ(report.library_version, "0.1");
  EXPECT_EQ(report.extension_version, "0.1");
  EXPECT_EQ(report.server_version, 150010U);
  ASSERT_EQ(report.links.size(), 3U);
  EXPECT_EQ(report.links[0].target, "ait");
  EXPECT_TRUE(report.links[0].connected);
  EXPECT_EQ(report.links[0].incarnation, life("ait"));
  EXPECT_EQ(report.links[0].role, Role::standby);
  EXPECT_LT(report.links[0].age, seconds(1));
  EXPECT_EQ(report.links[1].target, "leo");
  EXPECT_TRUE(report.links[1].connected);
  EXPECT_EQ(report.links[2].target, "pit");
  EXPECT_FALSE(report.links[2].connected);
  EXPECT_FALSE(report.links[2].incarnation.known());
  EXPECT_EQ(report.links[2].error, "connection refused");
  EXPECT_LE(encode(report).size(), kMaxReport);
  EXPECT_TRUE(decode(encode(report)).ok());
}

/// A peer may hold what it is told against us: an observation is at least as old as the request
/// that made it.
TEST(OwnReport, AnObservationIsAsOldAsTheRequestForIt) {
  Bench leo("leo");
  leo.start_three();
  leo.servers["pit"].latency = milliseconds(600);
  leo.run_for(milliseconds(1210));
  const Report report = leo.fed.report(leo.now);
  ASSERT_TRUE(report.links[2].connected);
  EXPECT_GE(report.links[2].age, leo.now - leo.asked("pit")[0]);
}

}  // namespace
}  // namespace pgfed::core
