#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "pgfed/net/tls_files.hpp"
#include "pgfed/net/tls_trial.hpp"

#include "unit/net_certificates.hpp"

namespace pgfed::net {
namespace {

using core::CertificateSource;
using core::ProblemKind;
using core::Status;
using net_test::Folder;
using net_test::Identity;

std::int64_t wall_now() { return static_cast<std::int64_t>(time(nullptr)) * 1000000; }

/// A server with sound files in a folder of its own.
class NetTlsFiles : public testing::Test {
 protected:
  NetTlsFiles() {
    folder.write("server.crt", leaf.certificate());
    folder.write("server.key", leaf.key());
    folder.write("ca.crt", ca.certificate());
    server.ssl = true;
    server.data_directory = folder.path();
    server.ssl_cert_file = "server.crt";
    server.ssl_key_file = "server.key";
    server.ssl_ca_file = "ca.crt";
    server.ssl_min_protocol_version = "TLSv1.2";
    server.listen_addresses = "*";
    server.port = 5433;
    server.load_time = wall_now() + 3600LL * 1000000;
    // Not those of whoever runs the test.
    conninfo = {{"sslrootcert", folder.file("ca.crt")}, {"sslcertmode", "disable"}};
  }

  core::FilesRead read() {
    files.set_server(server);
    files.set_conninfo(conninfo);
    return files.read();
  }

  static const core::Problem* find(const core::FilesRead& read, ProblemKind kind) {
    const auto& problems = read.inventory.problems;
    const auto found = std::find_if(problems.begin(), problems.end(),
                                    [kind](const auto& one) { return one.kind == kind; });
    return found == problems.end() ? nullptr : &*found;
  }
  static std::string all_problems(const core::FilesRead& read) {
    std::string text;
    for (const core::Problem& one : read.inventory.problems) text += one.detail.str() + "\n";
    return text;
  }
  /// Expects this problem, its words, and that it keeps the server from loading the files.
  void expect_refused(ProblemKind kind, const std::string& words) {
    const core::FilesRead seen = read();
    const core::Problem* problem = find(seen, kind);
    ASSERT_NE(problem, nullptr) << all_problems(seen);
    EXPECT_EQ(problem->status, Status::critical);
    EXPECT_NE(problem->detail.view().find(words), std::string_view::npos) << problem->detail.view();
    EXPECT_FALSE(seen.server.loadable);
    EXPECT_NE(seen.server.why_not.view().find(words), std::string_view::npos);
  }

  Folder folder;
  Identity ca = Identity::authority("test ca");
  Identity leaf = ca.issue("leo");
  ServerTls server;
  Keywords conninfo;
  TlsFiles files;
};

TEST_F(NetTlsFiles, GoodSet) {
  const core::FilesRead seen = read();
  EXPECT_EQ(all_problems(seen), "");
  EXPECT_TRUE(seen.server.ssl);
  EXPECT_TRUE(seen.server.loadable);
  EXPECT_FALSE(seen.server.sealed);
  EXPECT_TRUE(seen.server.load_known);
  EXPECT_NE(seen.server.digest, 0U);
  EXPECT_EQ(seen.server.leaf.hex(), leaf.sha256());
  EXPECT_EQ(seen.server.listen_host, "127.0.0.1");
  EXPECT_EQ(seen.server.listen_port, 5433);
  ASSERT_EQ(seen.inventory.certificates.size(), 3U);
  const core::FileCertificate& own = seen.inventory.certificates[0];
  EXPECT_EQ(own.source, CertificateSource::ssl_cert_file);
  EXPECT_EQ(own.path, folder.file("server.crt"));
  EXPECT_EQ(own.certificate.common_name, "leo");
  EXPECT_EQ(own.anchor.hex(), ca.sha256());
  EXPECT_EQ(seen.inventory.certificates[1].source, CertificateSource::ssl_ca_file);
  EXPECT_EQ(seen.inventory.certificates[1].anchor.hex(), ca.sha256());
  EXPECT_EQ(seen.inventory.certificates[2].source, CertificateSource::sslrootcert);
}

TEST_F(NetTlsFiles, KeyOfAnotherCertificate) {
  folder.write("server.key", ca.issue("other").key());
  expect_refused(ProblemKind::key_mismatch, "does not belong to the certificate");
}

TEST_F(NetTlsFiles, KeyThatOthersMayRead) {
  chmod(folder.file("server.key").c_str(), 0644);
  expect_refused(ProblemKind::key_permissions, "has mode 0644");
  chmod(folder.file("server.key").c_str(), 0604);
  expect_refused(ProblemKind::key_permissions, "has mode 0604");
  // Root's may be read by a group, nobody else's.
  chmod(folder.file("server.key").c_str(), 0640);
  EXPECT_EQ(read().server.loadable, geteuid() == 0);
}

TEST_F(NetTlsFiles, FilesThatAreNotThere) {
  server.ssl_key_file = "no.key";
  expect_refused(ProblemKind::file_unreadable, "No such file or directory");
  server.ssl_key_file = "server.key";
  server.ssl_ca_file = "no.crt";
  expect_refused(ProblemKind::file_unreadable, "no.crt\" cannot be read");
  server.ssl_ca_file = "";
  server.ssl_cert_file = ".";
  expect_refused(ProblemKind::file_unreadable, "is a directory");
}

TEST_F(NetTlsFiles, FilesThatArePartlyWritten) {
  folder.write("server.crt", leaf.certificate().substr(0, 200));
  expect_refused(ProblemKind::reload_would_fail, "server.crt\" cannot be loaded");
  folder.write("server.crt", "");
  expect_refused(ProblemKind::reload_would_fail, "server.crt\" cannot be loaded");
  folder.write("server.crt", leaf.certificate());
  folder.write("ca.crt", ca.certificate() + ca.certificate().substr(0, 300));
  expect_refused(ProblemKind::reload_would_fail, "ca.crt\" cannot be loaded");
  folder.write("ca.crt", ca.certificate());
  server.ssl_crl_file = "ca.key";
  folder.write("ca.key", ca.key());
  expect_refused(ProblemKind::reload_would_fail, "no revocation list in it");
}

TEST_F(NetTlsFiles, FileThatIsTooLarge) {
  folder.write("ca.crt", ca.certificate() + std::string(2 << 20, '#'));
  expect_refused(ProblemKind::file_unreadable, "larger than 1024 kB");
}

TEST_F(NetTlsFiles, KeyWithPassphrase) {
  folder.write("server.key", leaf.sealed_key());
  core::FilesRead seen = read();
  EXPECT_FALSE(seen.server.loadable);
  EXPECT_TRUE(seen.server.sealed);
  const core::Problem* problem = find(seen, ProblemKind::key_passphrase);
  ASSERT_NE(problem, nullptr) << all_problems(seen);
  EXPECT_EQ(problem->status, Status::unknown);
  EXPECT_NE(problem->detail.view().find("would keep the old files"), std::string_view::npos);
  server.passphrase_reload = true;
  seen = read();
  problem = find(seen, ProblemKind::key_passphrase);
  ASSERT_NE(problem, nullptr);
  EXPECT_NE(problem->detail.view().find("cannot be told"), std::string_view::npos);
  // What is wrong elsewhere is seen all the same.
  folder.write("ca.crt", "nothing");
  expect_refused(ProblemKind::reload_would_fail, "no certificate in it");
}

TEST_F(NetTlsFiles, IncompleteChain) {
  const Identity middle = ca.issue("middle", true);
  const Identity below = middle.issue("leo");
  folder.write("server.key", below.key());
  folder.write("server.crt", below.certificate() + middle.certificate());
  EXPECT_EQ(all_problems(read()), "");
  EXPECT_EQ(read().inventory.certificates[1].depth, 1);
  EXPECT_EQ(read().inventory.certificates[0].anchor.hex(), ca.sha256());

  folder.write("server.crt", below.certificate());
  core::FilesRead seen = read();
  ASSERT_NE(find(seen, ProblemKind::chain_incomplete), nullptr);
  EXPECT_NE(all_problems(seen).find("\"CN=middle\", which is in no CA file here either"),
            std::string::npos)
      << all_problems(seen);
  EXPECT_TRUE(seen.server.loadable);

  folder.write("ca.crt", ca.certificate() + middle.certificate());
  seen = read();
  EXPECT_NE(all_problems(seen).find("which stands in a CA file here only"), std::string::npos)
      << all_problems(seen);
  EXPECT_EQ(seen.inventory.certificates[0].anchor.hex(), ca.sha256());
}

TEST_F(NetTlsFiles, TwoAuthoritiesDuringARotation) {
  const Identity next = Identity::authority("next ca");
  folder.write("ca.crt", ca.certificate() + next.certificate());
  core::FilesRead seen = read();
  EXPECT_EQ(all_problems(seen), "");
  ASSERT_EQ(seen.inventory.certificates.size(), 5U);
  EXPECT_EQ(seen.inventory.certificates[0].anchor.hex(), ca.sha256());
  EXPECT_EQ(seen.inventory.certificates[2].anchor.hex(), next.sha256());
  EXPECT_EQ(seen.inventory.certificates[2].depth, 1);
  const Identity renewed = next.issue("leo");
  folder.write("server.crt", renewed.certificate());
  folder.write("server.key", renewed.key());
  seen = read();
  EXPECT_EQ(seen.inventory.certificates[0].anchor.hex(), next.sha256());
}

TEST_F(NetTlsFiles, TooManyCertificates) {
  std::string many;
  for (int i = 0; i < 30; ++i) many += Identity::authority("ca " + std::to_string(i)).certificate();
  folder.write("ca.crt", many + ca.certificate());
  const core::FilesRead seen = read();
  EXPECT_EQ(seen.inventory.certificates.size(), core::kMaxNodeCertificates);
  EXPECT_EQ(seen.inventory.certificates[0].anchor.hex(), ca.sha256());
  ASSERT_NE(find(seen, ProblemKind::certificates_cut), nullptr);
}

TEST_F(NetTlsFiles, ClientCertificates) {
  const Identity client = ca.issue("pgfed");
  folder.write("client.crt", client.certificate());
  folder.write("client.key", client.key());
  conninfo = {{"sslrootcert", "ca.crt"}, {"sslcert", "client.crt"}, {"sslkey", "client.key"}};
  server.primary_conninfo =
      "host=a sslmode=verify-full sslcert=client.crt sslkey=client.key sslrootcert=ca.crt";
  core::FilesRead seen = read();
  EXPECT_EQ(all_problems(seen), "");
  ASSERT_EQ(seen.inventory.certificates.size(), 4U);
  EXPECT_EQ(seen.inventory.certificates[1].source, CertificateSource::sslcert);
  EXPECT_EQ(seen.inventory.certificates[1].anchor.hex(), ca.sha256());

  server.primary_conninfo =
      "host=a sslmode=verify-full sslcert=gone.crt sslkey=gone.key sslrootcert=server.crt";
  seen = read();
  EXPECT_NE(all_problems(seen).find("sslcert of primary_conninfo: "), std::string::npos)
      << all_problems(seen);
  folder.write("client.key", leaf.key());
  server.primary_conninfo = "";
  seen = read();
  ASSERT_NE(find(seen, ProblemKind::key_mismatch), nullptr) << all_problems(seen);
  EXPECT_TRUE(seen.server.loadable);
}

TEST_F(NetTlsFiles, WithoutTls) {
  server.ssl = false;
  const core::FilesRead seen = read();
  EXPECT_NE(find(seen, ProblemKind::tls_off), nullptr);
  EXPECT_EQ(seen.server.digest, 0U);
  EXPECT_TRUE(seen.server.listen_host.empty());
}

TEST_F(NetTlsFiles, OldProtocols) {
  for (const char* least : {"TLSv1", "TLSv1.1", ""}) {
    server.ssl_min_protocol_version = least;
    EXPECT_NE(find(read(), ProblemKind::old_tls_protocol), nullptr) << least;
  }
  server.ssl_min_protocol_version = "TLSv1.3";
  EXPECT_EQ(all_problems(read()), "");
}

TEST_F(NetTlsFiles, HostsFile) {
  folder.write("pg_hosts.conf",
               "# HOSTNAME\n* server.crt server.key\n"
               "a.example, b.example \"server.crt\" wrong.key ca.crt \"echo x\" on\n");
  folder.write("wrong.key", ca.key());
  server.hosts_file = "pg_hosts.conf";
  expect_refused(ProblemKind::hosts_file, "line 3 of pg_hosts.conf (\"a.example,b.example\"): key");
}

TEST_F(NetTlsFiles, DigestIsOfTheBytes) {
  const std::uint64_t before = read().server.digest;
  folder.write("ca.crt", ca.certificate() + "\n");
  const std::uint64_t after = read().server.digest;
  EXPECT_NE(before, after);
  folder.write("ca.crt", ca.certificate());
  EXPECT_EQ(read().server.digest, before);
}

TEST_F(NetTlsFiles, WhatIsLoadedIsKnownByTime) {
  EXPECT_TRUE(read().server.load_known);
  server.load_time = wall_now() - 3600LL * 1000000;
  EXPECT_FALSE(read().server.load_known);
  // Other bytes without any load in between, whatever the time stamps say.
  server.load_time = wall_now() + 3600LL * 1000000;
  EXPECT_TRUE(read().server.load_known);
  folder.write("ca.crt", ca.certificate() + "\n");
  EXPECT_FALSE(read().server.load_known);
  EXPECT_FALSE(read().server.load_known);
  ++server.load_time;
  EXPECT_TRUE(read().server.load_known);
}

TEST_F(NetTlsFiles, ChangesAreNoticedOnceTheyStandStill) {
  core::Instant now{core::seconds(100)};
  const auto due_after = [&](core::Duration wait) { return files.due(now += wait); };
  EXPECT_FALSE(files.due(now)) << "nothing is known yet";
  EXPECT_EQ(files.next_look(), core::kForever);
  files.set_server(server);
  EXPECT_TRUE(files.due(now));
  read();
  EXPECT_FALSE(files.due(now));
  EXPECT_FALSE(due_after(core::seconds(2)));
  folder.write("server.crt", leaf.certificate() + "\n");
  EXPECT_FALSE(due_after(core::milliseconds(500))) << "not looked at yet";
  EXPECT_FALSE(due_after(core::milliseconds(600)));
  EXPECT_TRUE(due_after(core::milliseconds(1100)));
  read();
  EXPECT_FALSE(due_after(core::seconds(2)));
  // One that never stands still.
  int looks = 0;
  do {
    folder.write("server.crt", leaf.certificate() + std::string(++looks, '\n'));
  } while (!due_after(core::milliseconds(1100)) && looks < 20);
  EXPECT_EQ(looks, 6);
  read();
  chmod(folder.file("server.key").c_str(), 0644);
  EXPECT_FALSE(due_after(core::seconds(2)));
  EXPECT_TRUE(due_after(core::seconds(2))) << "a mode is a change";
  read();
  server.port = 1;
  files.set_server(server);
  EXPECT_TRUE(files.due(now)) << "settings are a change";
}

TEST_F(NetTlsFiles, SymlinksOfASecretAreFollowed) {
  // As Kubernetes mounts a secret: server.crt -> ..data/server.crt, ..data -> ..1
  const Identity renewed = ca.issue("leo");
  for (const auto& [name, identity] : {std::pair{"..1", leaf}, std::pair{"..2", renewed}}) {
    folder.make(name);
    folder.write(std::string(name) + "/tls.crt", identity.certificate());
    folder.write(std::string(name) + "/tls.key", identity.key());
  }
  folder.link("..1", "..data");
  folder.link("..data/tls.crt", "tls.crt");
  folder.link("..data/tls.key", "tls.key");
  server.ssl_cert_file = "tls.crt";
  server.ssl_key_file = "tls.key";
  core::Instant now{core::seconds(100)};
  core::FilesRead seen = read();
  EXPECT_EQ(seen.server.leaf.hex(), leaf.sha256()) << all_problems(seen);
  EXPECT_FALSE(files.due(now += core::seconds(2)));
  folder.link("..2", "..data");
  EXPECT_FALSE(files.due(now += core::seconds(2)));
  EXPECT_TRUE(files.due(now += core::seconds(2)));
  seen = read();
  EXPECT_EQ(seen.server.leaf.hex(), renewed.sha256());
  EXPECT_TRUE(seen.server.loadable) << all_problems(seen);
  EXPECT_EQ(seen.inventory.certificates[0].path, folder.file("tls.crt"));
  // A loop of links is no file.
  folder.link("loop", "loop");
  server.ssl_cert_file = "loop";
  expect_refused(ProblemKind::file_unreadable, "cannot be read");
}

TEST(NetTlsTrial, PathsAreCutAtTheirBeginning) {
  EXPECT_EQ(shown_path("/a/b.crt"), "\"/a/b.crt\"");
  const std::string text = shown_path("/" + std::string(300, 'x') + "/server.key");
  EXPECT_EQ(text.size(), 82U);
  EXPECT_TRUE(text.starts_with("\"...x")) << text;
  EXPECT_TRUE(text.ends_with("x/server.key\"")) << text;
}

TEST(NetServerTls, LocalAddress) {
  EXPECT_EQ(local_address("*"), "127.0.0.1");
  EXPECT_EQ(local_address("localhost"), "127.0.0.1");
  EXPECT_EQ(local_address("::"), "::1");
  EXPECT_EQ(local_address("db.example, 10.0.0.5"), "10.0.0.5");
  EXPECT_EQ(local_address(" '127.0.0.2' "), "");
  EXPECT_EQ(local_address("127.0.0.2,127.0.0.3"), "127.0.0.2");
  EXPECT_EQ(local_address("db.example"), "");
  EXPECT_EQ(local_address(""), "");
}

}  // namespace
}  // namespace pgfed::net
