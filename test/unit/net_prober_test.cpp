#include <gtest/gtest.h>
#include <libpq-fe.h>

#include "pgfed/net/prober.hpp"

#include "net_peers.hpp"
#include "net_tls_peers.hpp"

/// The prober against servers with good and bad certificates, on loopback.
namespace pgfed::net {
namespace {

using core::ClientCertificate;
using core::Diagnosis;
using core::ProbeResult;
using core::ProbeStage;
using net_test::Authority;
using net_test::Credential;
using net_test::FakeServer;
using net_test::make_credential;
using net_test::pem;
using net_test::ProbeDrill;

constexpr const char* kHere = "127.0.0.1";
constexpr long kDay = 86400;

/// What libpq says of the same server with sslmode=verify-full.
std::string libpq_says(const Authority& our, const std::string& host, std::uint16_t port) {
  Keywords keywords = our.conninfo({{"host", host},
                                    {"hostaddr", kHere},
                                    {"port", std::to_string(port)},
                                    {"sslmode", "verify-full"},
                                    {"gssencmode", "disable"},
                                    {"user", "x"},
                                    {"connect_timeout", "5"}});
  const std::unique_ptr<PGconn, decltype(&PQfinish)> connection(
      PQconnectdb(format_conninfo(keywords).c_str()), &PQfinish);
  return PQerrorMessage(connection.get());
}

TEST(NetProber, GoodServer) {
  const Authority our;
  const Credential leaf = our.server();
  FakeServer server(net_test::postgres_server({.credential = &leaf}));
  ProbeDrill drill(our.conninfo());
  const ProbeResult result = drill.probe(kHere, server.port());
  net_test::expect_result(result, Diagnosis::ok, ProbeStage::done, "");
  EXPECT_EQ(result.detail, "");
  EXPECT_EQ(result.protocol, "TLSv1.3");
  EXPECT_EQ(result.chain_ok, true);
  EXPECT_EQ(result.host_match, true);
  EXPECT_EQ(result.client_certificate, ClientCertificate::not_requested);
  ASSERT_EQ(result.chain.size(), 1U);
  EXPECT_EQ(result.chain[0], certificate_of(leaf.x509()));
  EXPECT_EQ(result.anchor, fingerprint_of(our.ca.x509()));
  EXPECT_EQ(result.steps.size(), 7U);
  net_test::expect_result(drill.probe("localhost", server.port()), Diagnosis::ok, ProbeStage::done,
                          "");
  EXPECT_EQ(drill.descriptors, 2);  // the epoll sets' own
}

TEST(NetProber, BadCertificates) {
  const Authority our;
  const Credential other = make_credential({.common_name = "Other CA", .authority = true});
  const Credential old_ca = make_credential(
      {.common_name = "Old CA", .authority = true, .begins = -9 * kDay, .ends = -kDay});
  const Credential middle =
      make_credential({.common_name = "Middle CA", .issuer = &our.ca, .authority = true});
  our.folder.write("cas.crt", pem(our.ca.x509()) + pem(old_ca.x509()));
  const Credential mine = make_credential({.common_name = "me", .issuer = &middle});
  our.folder.write("me.crt", pem(mine.x509()) + pem(middle.x509()));
  our.folder.write("me.key", pem(mine.key.get()));
  our.folder.write("crl", net_test::make_crl(our.ca, {0xBAD}));
  our.folder.write("old_crl", net_test::make_crl(our.ca, {}, -60));
  const auto file = [&](const char* name) { return our.folder.file(name); };

  struct Case {
    const char* what;
    Credential credential;
    std::vector<X509*> more;
    Keywords conninfo;
    Diagnosis diagnosis;
    std::string words;
    ProbeStage stage = ProbeStage::chain;
  };
  std::vector<Case> cases;
  cases.push_back({"expired",
                   our.server({.begins = -9 * kDay, .ends = -kDay}),
                   {},
                   {},
                   Diagnosis::expired,
                   "certificate expired on 20"});
  cases.push_back({"not yet",
                   our.server({.begins = kDay}),
                   {},
                   {},
                   Diagnosis::not_yet_valid,
                   "certificate is not valid before 20"});
  cases.push_back({"self-signed",
                   make_credential({.common_name = "me", .alt_names = "IP:127.0.0.1"}),
                   {},
                   {},
                   Diagnosis::self_signed,
                   "signed by itself, and not trusted here: \"CN=me\""});
  cases.push_back({"other CA",
                   our.server({.issuer = &other}),
                   {},
                   {},
                   Diagnosis::unknown_ca,
                   "not trusted here: \"CN=Other CA\"; the server sent only its own"});
  cases.push_back({"other CA, sent",
                   our.server({.issuer = &other}),
                   {other.x509()},
                   {},
                   Diagnosis::unknown_ca,
                   "CA that is not trusted here: \"CN=Other CA\""});
  cases.push_back({"old CA",
                   our.server({.issuer = &old_ca}),
                   {},
                   {{"sslrootcert", file("cas.crt")}},
                   Diagnosis::ca_expired,
                   "CA certificate \"CN=Old CA\" expired on 20"});
  cases.push_back({"middle missing",
                   our.server({.issuer = &middle}),
                   {},
                   {},
                   Diagnosis::unknown_ca,
                   "\"CN=Middle CA\"; the server sent only its own"});
  cases.push_back({"middle missing, and known",
                   our.server({.issuer = &middle}),
                   {},
                   {{"sslcert", file("me.crt")}, {"sslkey", file("me.key")}},
                   Diagnosis::chain_incomplete,
                   "intermediate certificate \"CN=Middle CA\""});
  cases.push_back({"middle sent",
                   our.server({.issuer = &middle}),
                   {middle.x509()},
                   {},
                   Diagnosis::ok,
                   "",
                   ProbeStage::done});
  cases.push_back({"revoked",
                   our.server({.serial = 0xBAD}),
                   {},
                   {{"sslcrl", file("crl")}},
                   Diagnosis::revoked,
                   "certificate is revoked: serial number 0BAD"});
  cases.push_back({"not revoked",
                   our.server(),
                   {},
                   {{"sslcrl", file("crl")}},
                   Diagnosis::ok,
                   "",
                   ProbeStage::done});
  cases.push_back({"old CRL",
                   our.server(),
                   {},
                   {{"sslcrl", file("old_crl")}},
                   Diagnosis::crl_missing,
                   "no valid CRL of \"CN=Our CA\": CRL has expired"});
  cases.push_back({"no CRL",
                   our.server(),
                   {},
                   {{"sslcrldir", our.folder.path()}},
                   Diagnosis::crl_missing,
                   "no valid CRL of \"CN=Our CA\""});
  cases.push_back({"weak key",
                   our.server({.key = "RSA 1024"}),
                   {},
                   {},
                   Diagnosis::weak_key,
                   "key of certificate is too weak: RSA 1024"});
  cases.push_back({"purpose",
                   our.server({.extended_usage = "clientAuth"}),
                   {},
                   {},
                   Diagnosis::wrong_purpose,
                   "not meant for a server"});
  cases.push_back({"name",
                   our.server({.alt_names = "DNS:leo.example,IP:10.0.0.1"}),
                   {},
                   {},
                   Diagnosis::name_mismatch,
                   "certificate is for DNS leo.example, IP 10.0.0.1, not for \"127.0.0.1\"",
                   ProbeStage::name});
  for (const Case& one : cases) {
    SCOPED_TRACE(one.what);
    FakeServer server(net_test::postgres_server({.credential = &one.credential, .more = one.more}));
    ProbeDrill drill(our.conninfo(one.conninfo));
    const ProbeResult result = drill.probe(kHere, server.port());
    net_test::expect_result(result, one.diagnosis, one.stage, one.words);
    EXPECT_EQ(result.chain.size(), 1 + one.more.size());
    EXPECT_EQ(result.anchor.known(), result.chain_ok.value_or(false));
    if (one.conninfo.empty()) {
      const std::string said = libpq_says(our, kHere, server.port());
      const bool refused = said.find("certificate verify failed") != std::string::npos;
      EXPECT_EQ(refused, result.chain_ok == false) << said;
    }
  }
}

TEST(NetProber, AgreesWithLibpqOnNames) {
  using namespace std::string_literals;
  const Authority our;
  struct Case {
    net_test::Wanted wanted;
    std::vector<std::string> hosts;
  };
  const std::vector<Case> cases = {
      {{.common_name = "cn.example", .alt_names = "DNS:leo.example"},
       {"leo.example", "LEO.Example", "cn.example", "leo.example.", "x.leo.example"}},
      {{.common_name = "cn.example", .alt_names = "DNS:*.example,DNS:l*.test,DNS:*.*.org"},
       {"leo.example", "a.b.example", ".example", "..example", "a..example", "leo.test",
        "a.b.org"}},
      {{.common_name = "*.cn.example", .alt_names = "email:a@b"}, {"a.cn.example", "cn.example"}},
      {{.common_name = "10.0.0.1", .alt_names = "DNS:a"}, {"10.0.0.1", "10.1", "a"}},
      {{.common_name = "10.0.0.1", .alt_names = "IP:10.0.0.2"}, {"10.0.0.1", "10.0.0.2", "10.2"}},
      {{.common_name = "cn.example", .alt_names = "IP:10.0.0.2"}, {"cn.example", "0x0a000002"}},
      {{.common_name = "x", .alt_names = "DNS:10.0.0.1,IP:::1"},
       {"10.0.0.1", "10.1", "::1", "0:0::1", "x"}},
      {{.common_name = "x", .alt_names = "DNS:a", .raw_dns_names = {"b\0c"s, "d"}},
       {"a", "b", "d", "x"}},
  };
  for (const Case& one : cases) {
    const Credential leaf = our.server(one.wanted);
    FakeServer server(net_test::postgres_server({.credential = &leaf}));
    ProbeDrill drill(our.conninfo());
    for (const std::string& host : one.hosts) {
      const std::string said = libpq_says(our, host, server.port());
      // It went on to log in, and the server left.
      const bool passed = said.find("closed the connection") != std::string::npos ||
                          said.find("EOF detected") != std::string::npos;
      EXPECT_TRUE(passed || said.find("server certificate for") != std::string::npos ||
                  said.find("embedded null") != std::string::npos)
          << said;
      const ProbeResult result = drill.probe(host, server.port(), std::string("hostaddr=") + kHere);
      EXPECT_EQ(result.host_match, passed) << host << ": " << said << result.detail;
    }
  }
}

TEST(NetProber, TrustThatCannotBeRead) {
  const Authority our;
  const Credential leaf = our.server();
  FakeServer server(net_test::postgres_server({.credential = &leaf}));
  const auto file = [&](const char* name) { return our.folder.file(name); };
  our.folder.write("me.crt", pem(leaf.x509()));
  our.folder.write("other.key", pem(net_test::make_key("EC").get()));
  struct Case {
    Keywords conninfo;
    ProbeStage stage;
    std::string words;
  };
  const std::vector<Case> cases = {
      {{{"sslrootcert", file("nowhere")}},
       ProbeStage::chain,
       "cannot load sslrootcert " + file("nowhere") + ": No such file or directory"},
      {{{"sslrootcert", file("none.crt")}}, ProbeStage::chain, "no certificate or crl found"},
      {{{"sslcrl", file("nowhere")}}, ProbeStage::chain, "cannot load sslcrl"},
      {{{"sslcert", file("none.crt")}}, ProbeStage::client, "cannot load sslcert"},
      {{{"sslcert", file("me.crt")}, {"sslkey", file("nowhere")}},
       ProbeStage::client,
       "cannot load sslkey " + file("nowhere") + ": No such file"},
      {{{"sslcert", file("me.crt")}, {"sslkey", file("other.key")}},
       ProbeStage::client,
       "cannot load sslkey"},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.words);
    ProbeDrill drill(our.conninfo(one.conninfo));
    const ProbeResult result = drill.probe(kHere, server.port());
    net_test::expect_result(result, Diagnosis::trust_unreadable, one.stage, one.words);
    EXPECT_EQ(result.chain.size(), 1U);
    EXPECT_EQ(result.host_match, true);
    EXPECT_EQ(result.chain_ok.has_value(), one.stage == ProbeStage::client);
  }
  ProbeDrill drill(our.conninfo({{"sslrootcert", "system"}}));
  const ProbeResult result = drill.probe(kHere, server.port());
  if (PQlibVersion() >= 160000) {
    EXPECT_EQ(result.diagnosis, Diagnosis::unknown_ca) << result.detail;
  } else {
    net_test::expect_result(result, Diagnosis::trust_unreadable, ProbeStage::chain,
                            "sslrootcert=system needs libpq 16, this is 15");
  }
}

TEST(NetProber, FilesAreReadAgainWhenTheyChange) {
  const Authority our;
  const Credential other = make_credential({.common_name = "Other CA", .authority = true});
  const Credential leaf = our.server({.issuer = &other});
  FakeServer server(net_test::postgres_server({.credential = &leaf}));
  ProbeDrill drill(our.conninfo());
  EXPECT_EQ(drill.probe(kHere, server.port()).diagnosis, Diagnosis::unknown_ca);
  our.folder.write("ca.crt", pem(our.ca.x509()) + pem(other.x509()));
  EXPECT_EQ(drill.probe(kHere, server.port()).diagnosis, Diagnosis::ok);
}

TEST(NetProber, ClientCertificates) {
  const Authority our;
  const Credential leaf = our.server();
  const Credential stranger_ca = make_credential({.common_name = "Stranger", .authority = true});
  const Credential mine = make_credential({.common_name = "me", .issuer = &our.ca});
  const Credential strange = make_credential({.common_name = "x", .issuer = &stranger_ca});
  our.folder.write("me.crt", pem(mine.x509()));
  our.folder.write("me.key", pem(mine.key.get()));
  our.folder.write("x.crt", pem(strange.x509()));
  our.folder.write("x.key", pem(strange.key.get()));
  const auto with = [&](const std::string& name) -> Keywords {
    return {{"sslcert", our.folder.file(name + ".crt")},
            {"sslkey", our.folder.file(name + ".key")}};
  };
  struct Case {
    Keywords conninfo;
    bool required;
    ClientCertificate client;
    Diagnosis diagnosis;
  };
  const std::vector<Case> cases = {
      {{}, false, ClientCertificate::none, Diagnosis::ok},
      {{}, true, ClientCertificate::required, Diagnosis::client_certificate_required},
      {with("me"), true, ClientCertificate::sent, Diagnosis::ok},
      {with("x"), true, ClientCertificate::rejected, Diagnosis::client_certificate_rejected},
  };
  for (const int protocol : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    for (const Case& one : cases) {
      SCOPED_TRACE(std::string(core::word(one.client)) + " " + std::to_string(protocol));
      FakeServer server(net_test::postgres_server({.credential = &leaf,

                                                   .client_authority = our.ca.x509(),
                                                   .client_required = one.required,
                                                   .max_protocol = protocol}));
      ProbeDrill drill(our.conninfo(one.conninfo));
      const ProbeResult result = drill.probe(kHere, server.port());
      EXPECT_EQ(core::word(result.client_certificate), core::word(one.client)) << result.detail;
      EXPECT_EQ(core::word(result.diagnosis), core::word(one.diagnosis)) << result.detail;
      EXPECT_EQ(result.chain_ok, true);
    }
  }
  FakeServer server(
      net_test::postgres_server({.credential = &leaf, .client_authority = our.ca.x509()}));
  ProbeDrill off(our.conninfo({with("me")[0], with("me")[1], {"sslcertmode", "disable"}}));
  EXPECT_EQ(off.probe(kHere, server.port()).client_certificate, ClientCertificate::none);
}

}  // namespace
}  // namespace pgfed::net
