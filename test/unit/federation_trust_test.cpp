#include <gtest/gtest.h>

#include <string>

#include "unit/federation_fixture.hpp"

namespace pgfed::core::testing {
namespace {

constexpr std::int64_t kDay = 86400;
constexpr std::int64_t kMicroseconds = 1000000;

Facts at_day(Facts facts, std::int64_t day) {
  facts.wall_clock = day * kDay * kMicroseconds;
  return facts;
}

TlsRow tls_of(const Bench& bench, std::string_view node) {
  for (const TlsRow& row : bench.fed.trust(bench.now).tls) {
    if (row.node == node) return row;
  }
  ADD_FAILURE() << "no row for " << node;
  return {};
}

FileCertificate file_of(CertificateSource source, const Certificate& certificate) {
  FileCertificate file;
  file.source = source;
  file.path = std::string(word(source)) + ".pem";
  file.certificate = certificate;
  return file;
}

Certificate authority(std::uint8_t number, std::string_view name = "Iliad CA") {
  Certificate certificate = certificate_of(name, number, 3650);
  certificate.issuer = certificate.subject;
  certificate.self_issued = true;
  certificate.is_ca = true;
  return certificate;
}

Inventory inventory_of(std::uint64_t digest, std::vector<FileCertificate> files,
                       std::vector<Problem> problems = {}) {
  Inventory inventory;
  inventory.digest = digest;
  inventory.certificates = std::move(files);
  inventory.problems = std::move(problems);
  return inventory;
}

/// As the reports of a peer carry it.
void tell(Server& server, const Inventory& inventory) {
  server.report.inventory = inventory;
  server.report.inventory_digest = inventory.digest;
}

FilesRead files_of(std::uint64_t digest, const Certificate& leaf) {
  FilesRead read;
  read.inventory = inventory_of(0, {file_of(CertificateSource::ssl_cert_file, leaf),
                                    file_of(CertificateSource::ssl_ca_file, authority(9))});
  read.server.ssl = true;
  read.server.digest = digest;
  read.server.leaf = leaf.sha256;
  read.server.loadable = true;
  read.server.load_known = true;
  return read;
}

class FederationTrust : public ::testing::Test {
 protected:
  FederationTrust() : bench("leo") {
    bench.settle_three();
    bench.set_facts(at_day(primary_facts(), 1));
    bench.run_for(seconds(6));
    bench.actions.clear();
  }
  void run_interval() { bench.run_for(seconds(70)); }

  Bench bench;
};

TEST_F(FederationTrust, ProbesEveryEndpointAtOnceAndThenEachInterval) {
  for (const char* host : {"127.0.0.2", "127.0.0.3", "127.0.0.4"}) {
    ASSERT_EQ(bench.probed(host).size(), 1U) << host;
    EXPECT_LT(bench.probed(host)[0] - Instant(seconds(1000)), seconds(1));
  }
  run_interval();
  for (const char* host : {"127.0.0.2", "127.0.0.3", "127.0.0.4"}) {
    ASSERT_GE(bench.probed(host).size(), 2U) << host;
    const Duration gap = bench.probed(host)[1] - bench.probed(host)[0];
    EXPECT_GE(gap, seconds(54));
    EXPECT_LE(gap, seconds(60));
  }
  const TlsRow row = tls_of(bench, "ait");
  EXPECT_EQ(row.diagnosis, Diagnosis::ok);
  EXPECT_EQ(row.status, Status::ok);
  EXPECT_EQ(row.chain_ok, 1);
  EXPECT_EQ(bench.verdict("tls", "ait"), "ok");
  EXPECT_EQ(bench.verdict("certificate", "ait"), "ok");
  EXPECT_EQ(bench.row("ait").certificate, CertificateState::ok);
  EXPECT_EQ(bench.row("ait").not_after, 365 * kDay);
  EXPECT_EQ(bench.records("tls_diagnosis").size(), 0U);
}

TEST_F(FederationTrust, AnEndpointThatMovedIsProbedAtOnce) {
  bench.set_nodes({spec_of("leo"), spec_of("ait", "127.0.0.9"), spec_of("pit")});
  EXPECT_EQ(bench.probed("127.0.0.9").size(), 1U);
}

TEST_F(FederationTrust, AllEndpointsAreProbedAgainWhenPeersAreDialledInAnotherWay) {
  bench.step(TrustChanged{});
  for (const char* host : {"127.0.0.2", "127.0.0.3", "127.0.0.4"}) {
    EXPECT_EQ(bench.probed(host).size(), 2U) << host;
  }
}

TEST_F(FederationTrust, ADiagnosisIsACheckWithAHintAndAnEvent) {
  bench.servers["ait"].probe = bad_probe(Diagnosis::route_missing, "no route for \"ait\"");
  run_interval();
  const auto check = bench.check("tls", "ait");
  ASSERT_TRUE(check);
  EXPECT_EQ(check->status, Status::critical);
  EXPECT_EQ(check->detail, "no route for \"ait\"");
  EXPECT_NE(check->hint.view().find("passthrough"), std::string_view::npos);
  ASSERT_EQ(bench.records("tls_diagnosis", "ait").size(), 1U);
  EXPECT_EQ(bench.records("tls_diagnosis", "ait")[0].detail,
            "ok to route_missing: no route for \"ait\"");
  EXPECT_EQ(bench.row("ait").status, Status::critical);
  bench.servers["ait"].probe.reset();
  run_interval();
  ASSERT_EQ(bench.records("tls_diagnosis", "ait").size(), 2U);
  EXPECT_EQ(bench.verdict("tls", "ait"), "ok");
}

TEST_F(FederationTrust, WithoutAHairpinTheOwnEndpointIsNoFault) {
  bench.servers["leo"].probe = bad_probe(Diagnosis::tcp_timeout);
  run_interval();
  EXPECT_EQ(tls_of(bench, "leo").status, Status::unknown);
  EXPECT_EQ(bench.verdict("tls", "leo"), "none");
  bench.servers["leo"].probe = bad_probe(Diagnosis::expired);
  run_interval();
  EXPECT_EQ(bench.verdict("tls", "leo"), "critical");
}

TEST_F(FederationTrust, APathThatFailedIsLookedAtAgainSoon) {
  bench.servers["ait"].probe = bad_probe(Diagnosis::tcp_timeout);
  bench.step(TrustChanged{});
  bench.run_for(seconds(2));
  EXPECT_EQ(bench.verdict("tls", "ait"), "critical");
  bench.servers["ait"].probe.reset();
  bench.run_for(seconds(11));
  EXPECT_EQ(bench.verdict("tls", "ait"), "ok");
}

TEST_F(FederationTrust, WhenTheSessionComesBackTheEndpointIsProbedAtOnce) {
  bench.servers["ait"].probe = bad_probe(Diagnosis::handshake_failed);
  bench.kill("ait");
  bench.step(TrustChanged{});
  bench.run_for(seconds(2));
  EXPECT_EQ(bench.verdict("tls", "ait"), "critical");
  bench.servers["ait"].probe.reset();
  bench.restart("ait", 2);
  bench.run_for(seconds(3));
  EXPECT_EQ(bench.verdict("tls", "ait"), "ok");
}

TEST_F(FederationTrust, TheServersVersionSettlesAGuess) {
  ProbeResult guess = bad_probe(Diagnosis::route_missing);
  guess.guessed = true;
  bench.servers["ait"].probe = guess;
  run_interval();
  EXPECT_EQ(tls_of(bench, "ait").diagnosis, Diagnosis::backend_too_old_for_direct);
  bench.servers["ait"].report.server_version = 170002;
  bench.servers["ait"].probe->diagnosis = Diagnosis::backend_too_old_for_direct;
  run_interval();
  EXPECT_EQ(tls_of(bench, "ait").diagnosis, Diagnosis::route_missing);
}

TEST_F(FederationTrust, WhatOnlyPgHbaAsksForIsLearntFromTheSession) {
  bench.servers["ait"].refuses =
      failure_of(Stage::authenticate, FailureKind::rejected,
                 "connection requires a valid client certificate", "28000");
  bench.break_sessions("ait", refused());
  run_interval();
  EXPECT_EQ(tls_of(bench, "ait").diagnosis, Diagnosis::client_certificate_required);
  EXPECT_EQ(bench.verdict("tls", "ait"), "critical");
}

TEST_F(FederationTrust, ARenewedCertificateIsAnEvent) {
  bench.servers["ait"].probe = good_probe(certificate_of("127.0.0.3", 2, 700));
  run_interval();
  const auto records = bench.records("certificate_changed", "ait");
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].detail.view().substr(0, 10), "from 01010");
  EXPECT_NE(records[0].detail.view().find(" to 0202"), std::string_view::npos);
}

TEST_F(FederationTrust, AProbeThatFailsOnItsWayForgetsNoCertificate) {
  bench.set_facts(at_day(primary_facts(), 340));
  bench.run_for(seconds(6));
  bench.actions.clear();
  bench.servers["ait"].probe = bad_probe(Diagnosis::tcp_refused);
  bench.step(TrustChanged{});
  bench.run_for(seconds(6));
  EXPECT_EQ(bench.verdict("certificate", "ait"), "warning");
  bench.servers["ait"].probe = good_probe(certificate_of("127.0.0.3", 2, 1000));
  bench.run_for(seconds(12));
  EXPECT_EQ(bench.records("certificate_changed", "ait").size(), 1U);
  EXPECT_EQ(bench.records("certificate_renewed", "ait").size(), 1U);
  EXPECT_EQ(bench.records("certificate_expiring", "ait").size(), 0U);
}

TEST_F(FederationTrust, ExpiryIsSeenAsItComes) {
  bench.set_facts(at_day(primary_facts(), 340));
  bench.run_for(seconds(6));
  EXPECT_EQ(bench.verdict("certificate", "ait"), "warning");
  EXPECT_EQ(bench.row("ait").certificate, CertificateState::expiring);
  EXPECT_EQ(bench.records("certificate_expiring", "ait").size(), 1U);
  bench.set_facts(at_day(primary_facts(), 360));
  bench.run_for(seconds(6));
  EXPECT_EQ(bench.verdict("certificate", "ait"), "critical");
  bench.set_facts(at_day(primary_facts(), 366));
  bench.run_for(seconds(6));
  EXPECT_EQ(bench.row("ait").certificate, CertificateState::expired);
  EXPECT_EQ(bench.records("certificate_expired", "ait").size(), 1U);
  bench.servers["ait"].probe = good_probe(certificate_of("127.0.0.3", 2, 1000));
  run_interval();
  EXPECT_EQ(bench.verdict("certificate", "ait"), "ok");
  EXPECT_EQ(bench.records("certificate_renewed", "ait").size(), 1U);
}

TEST_F(FederationTrust, AnAuthorityThatANodeLacksIsNamed) {
  Certificate leaf = certificate_of("127.0.0.3", 5);
  const FileCertificate old_ca = file_of(CertificateSource::ssl_ca_file, authority(9));
  const FileCertificate new_ca = file_of(CertificateSource::ssl_ca_file, authority(8, "New CA"));
  tell(bench.servers["ait"],
       inventory_of(1, {file_of(CertificateSource::ssl_cert_file, leaf), old_ca, new_ca}));
  tell(bench.servers["pit"], inventory_of(2, {old_ca}));
  FilesRead own = files_of(1, certificate_of("127.0.0.2", 4));
  own.inventory.certificates.push_back(new_ca);
  bench.step(own);
  bench.run_for(seconds(6));
  const auto check = bench.check("trust");
  ASSERT_TRUE(check);
  EXPECT_EQ(check->status, Status::warning);
  EXPECT_NE(check->detail.view().find("trusted by 2 of 3 nodes: missing on pit"),
            std::string_view::npos)
      << check->detail.view();
  // It hurts as soon as a certificate ends in it.
  FileCertificate signed_by_new = file_of(CertificateSource::ssl_cert_file, leaf);
  signed_by_new.anchor = new_ca.certificate.sha256;
  tell(bench.servers["ait"], inventory_of(3, {signed_by_new, old_ca, new_ca}));
  bench.run_for(seconds(6));
  EXPECT_EQ(bench.verdict("trust"), "critical");
  tell(bench.servers["pit"], inventory_of(4, {old_ca, new_ca}));
  bench.run_for(seconds(6));
  EXPECT_EQ(bench.verdict("trust"), "ok");
}

TEST_F(FederationTrust, ASharedCertificateThatDiffersNamesWhoMissedTheRenewal) {
  Certificate shared = certificate_of("all", 5);
  shared.ip_addresses = {"127.0.0.2", "127.0.0.3", "127.0.0.4"};
  Certificate renewed = shared;
  renewed.sha256.bytes.fill(6);
  renewed.not_before = kDay;
  tell(bench.servers["ait"], inventory_of(1, {file_of(CertificateSource::ssl_cert_file, renewed)}));
  tell(bench.servers["pit"], inventory_of(2, {file_of(CertificateSource::ssl_cert_file, shared)}));
  bench.step(files_of(1, renewed));
  bench.run_for(seconds(6));
  const auto check = bench.check("shared_certificate");
  ASSERT_TRUE(check);
  EXPECT_EQ(check->status, Status::warning);
  EXPECT_NE(check->detail.view().find("pit another one"), std::string_view::npos)
      << check->detail.view();
}

TEST_F(FederationTrust, AMissingNameIsAProblemOfItsFiles) {
  bench.step(files_of(1, certificate_of("10.9.9.9", 4)));
  bench.run_for(seconds(1));
  const auto check = bench.check("tls_files", "leo");
  ASSERT_TRUE(check);
  EXPECT_EQ(check->status, Status::critical);
  EXPECT_NE(check->detail.view().find("127.0.0.2 is not in the certificate"),
            std::string_view::npos);
}

TEST_F(FederationTrust, ProblemsOfAPeerAreShownUnderTheirCheck) {
  Problem mismatch;
  mismatch.kind = ProblemKind::key_mismatch;
  mismatch.status = Status::critical;
  mismatch.detail = "the key is another's";
  Problem trust;
  trust.kind = ProblemKind::hba_trust;
  trust.status = Status::critical;
  trust.detail = "line 7";
  tell(bench.servers["pit"], inventory_of(7, {}, {mismatch, trust}));
  bench.run_for(seconds(3));
  EXPECT_EQ(bench.check("tls_files", "pit")->detail, "the key is another's");
  EXPECT_EQ(bench.check("security", "pit")->detail, "line 7");
  EXPECT_FALSE(bench.check("security", "pit")->hint.empty());
}

TEST_F(FederationTrust, AnInventoryIsAskedForOnce) {
  tell(bench.servers["ait"],
       inventory_of(77, {file_of(CertificateSource::ssl_cert_file, certificate_of("x", 3))}));
  bench.run_for(seconds(2));
  bench.servers["ait"].report.inventory.reset();  // as the peer does, once it is known
  bench.actions.clear();
  bench.run_for(seconds(5));
  std::size_t knowing = 0;
  for (const Action& action : bench.actions) {
    const auto* ask = std::get_if<Ask>(&action);
    if (ask != nullptr && ask->known_inventory == 77) ++knowing;
  }
  EXPECT_GE(knowing, 4U);
  std::size_t files = 0;
  for (const CertificateRow& row : bench.fed.trust(bench.now).certificates) {
    files += row.node == "ait" && row.source == CertificateSource::ssl_cert_file ? 1 : 0;
  }
  EXPECT_EQ(files, 1U);
}

// ---- reloads -----------------------------------------------------------------------------------

class FederationReload : public FederationTrust {
 protected:
  FederationReload() {
    files = files_of(1, certificate_of("127.0.0.2", 1));
    files.server.listen_host = "127.0.0.200";
    files.server.listen_port = 5432;
    serve(1);
    bench.step(files);
    bench.run_for(seconds(2));
    bench.actions.clear();
    files = files_of(2, certificate_of("127.0.0.2", 2));
    files.server.listen_host = "127.0.0.200";
    files.server.listen_port = 5432;
    files.server.load_known = false;
  }
  void serve(std::uint8_t number) {
    bench.servers["127.0.0.200"].probe = good_probe(certificate_of("127.0.0.2", number));
  }
  FilesRead files;
};

TEST_F(FederationReload, NewFilesAreLoadedOnce) {
  bench.step(files);
  EXPECT_EQ(bench.count<ReloadServer>(), 1U);
  serve(2);
  files.server.load_known = true;
  bench.step(files);
  bench.run_for(seconds(150));
  EXPECT_EQ(bench.count<ReloadServer>(), 1U);
  EXPECT_EQ(bench.records("tls_reload").size(), 1U);
  EXPECT_EQ(bench.verdict("tls_files", "leo"), "ok");
}

TEST_F(FederationReload, NotWhenTheyWouldNotLoad) {
  files.server.loadable = false;
  bench.step(files);
  bench.run_for(seconds(150));
  EXPECT_EQ(bench.count<ReloadServer>(), 0U);
}

TEST_F(FederationReload, WhatALoadRefusedIsLoadedOnceItIsPutRight) {
  files.server.loadable = false;
  files.server.load_known = true;  // a load came, and Postgres kept the old ones
  bench.step(files);
  EXPECT_EQ(bench.count<ReloadServer>(), 0U);
  files.server.loadable = true;  // the key's mode, say: the same bytes
  files.server.load_known = false;
  bench.step(files);
  EXPECT_EQ(bench.count<ReloadServer>(), 1U);
}

TEST_F(FederationReload, NotWhenSomethingElseWasEdited) {
  files.server.other_edit = "postgresql.conf";
  bench.step(files);
  bench.run_for(seconds(150));
  EXPECT_EQ(bench.count<ReloadServer>(), 0U);
  const auto check = bench.check("tls_files", "leo");
  ASSERT_TRUE(check);
  EXPECT_EQ(check->status, Status::warning);
  EXPECT_NE(check->detail.view().find("postgresql.conf was edited"), std::string_view::npos);
  files.server.other_edit.clear();
  bench.step(files);
  EXPECT_EQ(bench.count<ReloadServer>(), 1U);
}

TEST_F(FederationReload, NotWhenToldNotTo) {
  Settings settings;
  settings.tls_reload = false;
  bench.set_settings(settings);
  bench.step(files);
  bench.run_for(seconds(10));
  EXPECT_EQ(bench.count<ReloadServer>(), 0U);
  EXPECT_EQ(bench.verdict("tls_files", "leo"), "warning");
  settings.tls_reload = true;
  settings.mode = Mode::observe;
  bench.set_settings(settings);
  bench.step(files);
  bench.run_for(seconds(10));
  EXPECT_EQ(bench.count<ReloadServer>(), 0U);
}

TEST_F(FederationReload, AgainWhereTheServerStillServesTheOldOne) {
  bench.step(files);
  files.server.load_known = true;  // but the file was changed just before that was looked at
  bench.step(files);
  bench.run_for(seconds(150));
  EXPECT_GE(bench.count<ReloadServer>(), 2U);
  EXPECT_LE(bench.count<ReloadServer>(), 4U);
}

}  // namespace
}  // namespace pgfed::core::testing
