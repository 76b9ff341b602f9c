#include <gtest/gtest.h>
#include <openssl/err.h>
#include <sys/stat.h>

#include <random>

#include "pgfed/core/certificate.hpp"
#include "pgfed/net/x509.hpp"

#include "net_tls_peers.hpp"

namespace pgfed::net {
namespace {

using net_test::Credential;
using net_test::Folder;
using net_test::make_credential;
using net_test::pem;
using namespace std::string_literals;

std::span<const std::uint8_t> bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

TEST(NetX509, ReadsACertificate) {
  const Credential ca = make_credential({.common_name = "Our CA", .authority = true, .serial = 7});
  const Credential leaf = make_credential({.common_name = "leo, \"x\"",
                                           .alt_names = "DNS:leo.example,IP:10.0.0.1,DNS:*.db,"
                                                        "IP:fd00::1,email:a@b,URI:http://c",
                                           .issuer = &ca,
                                           .serial = 0xBAD});
  const core::Certificate read = certificate_of(leaf.x509());
  EXPECT_EQ(read.subject, "CN=leo\\, \\\"x\\\"");
  EXPECT_EQ(read.issuer, "CN=Our CA");
  EXPECT_EQ(read.common_name, "leo, \"x\"");
  EXPECT_EQ(read.dns_names, (std::vector<std::string>{"leo.example", "*.db"}));
  EXPECT_EQ(read.ip_addresses, (std::vector<std::string>{"10.0.0.1", "fd00::1"}));
  EXPECT_EQ(read.serial, "0BAD");
  EXPECT_EQ(read.key, "EC P-256");
  EXPECT_FALSE(read.self_issued);
  EXPECT_FALSE(read.is_ca);
  EXPECT_FALSE(read.names_cut);
  EXPECT_FALSE(read.null_in_name);
  EXPECT_EQ(read.not_after - read.not_before, 86400L * 90 + 3600);
  EXPECT_TRUE(read.sha256.known());

  const core::Certificate authority = certificate_of(ca.x509());
  EXPECT_TRUE(authority.self_issued);
  EXPECT_TRUE(authority.is_ca);
  EXPECT_NE(authority.sha256, read.sha256);
}

TEST(NetX509, NamesKeys) {
  for (const char* key : {"RSA 1024", "RSA 2048", "Ed25519"}) {
    EXPECT_EQ(key_text(net_test::make_key(key).get()), key);
  }
  EXPECT_EQ(key_text(net_test::make_key("P-384").get()), "EC P-384");
  EXPECT_EQ(key_text(nullptr), "unknown");
}

TEST(NetX509, LimitsWhatItTakes) {
  net_test::Wanted wanted{.common_name = std::string(60, 'c')};
  for (int i = 0; i < 1500; ++i) wanted.raw_dns_names.push_back("n" + std::to_string(i));
  const core::Certificate many = certificate_of(make_credential(wanted).x509());
  EXPECT_EQ(many.dns_names.size(), core::kMaxNames);
  EXPECT_TRUE(many.names_cut);

  wanted.raw_dns_names = {std::string(5000, 'x'), "leo.example\0.evil"s, "\x1b[31m"};
  const core::Certificate odd = certificate_of(make_credential(wanted).x509());
  ASSERT_EQ(odd.dns_names.size(), 3U);
  EXPECT_EQ(odd.dns_names[0].size(), kMaxDnsName);
  EXPECT_TRUE(odd.null_in_name);
  EXPECT_FALSE(core::match_host(odd, "leo.example").matches);
}

TEST(NetX509, ReadsPem) {
  const Credential one = make_credential({.common_name = "one"});
  const Credential two = make_credential({.common_name = "two"});
  const std::string both = "# a comment\n" + pem(one.x509()) + pem(one.key.get()) + pem(two.x509());
  const auto loaded = certificates_of_pem(both);
  ASSERT_TRUE(loaded.ok());
  ASSERT_EQ(loaded.value().size(), 2U);
  EXPECT_EQ(certificate_of(loaded.value()[1].get()).subject, "CN=two");

  EXPECT_EQ(certificates_of_pem("").error().message, "no certificate in it");
  EXPECT_EQ(certificates_of_pem(pem(one.key.get())).error().message, "no certificate in it");
  std::string broken = both;
  broken[broken.rfind("-----BEGIN") + 60] = '?';
  const auto failed = certificates_of_pem(broken);
  ASSERT_FALSE(failed.ok());
  EXPECT_TRUE(failed.error().message.starts_with("certificate 2 cannot be read: "))
      << failed.error().message;
  const std::string sealed =
      "-----BEGIN CERTIFICATE-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,"
      "00000000000000000000000000000000\n\nAAAA\n-----END CERTIFICATE-----\n";
  EXPECT_FALSE(certificates_of_pem(sealed).ok());  // and nobody is asked for a passphrase
  EXPECT_EQ(ERR_peek_error(), 0U);
}

TEST(NetX509, ReadsFiles) {
  const Folder folder;
  const Credential one = make_credential({.common_name = "one"});
  const std::string path = folder.write("one.crt", pem(one.x509()));
  const auto read = read_certificates(path);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read.value().front(), certificate_of(one.x509()));
  EXPECT_EQ(read_certificates(folder.file("none")).error().message, "No such file or directory");
  EXPECT_EQ(read_certificates(folder.path()).error().message, "is a directory");
  EXPECT_EQ(read_certificates("/dev/zero").error().message, "is no regular file");
  const std::string fifo = folder.file("fifo");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_EQ(read_certificates(fifo).error().message, "is no regular file");
  EXPECT_EQ(read_certificates(folder.write("big", std::string(5000, 'x')), 4096).error().message,
            "larger than 4 kB");
}

TEST(NetX509, ReadsDer) {
  const std::string der = net_test::der(make_credential({.common_name = "one"}).x509());
  EXPECT_TRUE(certificate_of_der(bytes_of(der)));
  EXPECT_FALSE(certificate_of_der(bytes_of(der + "x")));
  EXPECT_FALSE(certificate_of_der(bytes_of(der.substr(0, der.size() - 1))));
  EXPECT_FALSE(certificate_of_der({}));
}

TEST(NetX509, SurvivesRandomInputs) {
  std::mt19937 random(42);  // NOLINT(cert-msc51-cpp): repeatable on purpose
  std::vector<std::string> seeds;
  for (const char* key : {"EC", "RSA 1024", "Ed25519"}) {
    seeds.push_back(net_test::der(
        make_credential({.common_name = "leo",
                         .alt_names = "DNS:leo.example,IP:10.0.0.1,IP:::1,DNS:*.db,email:a@b",
                         .raw_dns_names = {"a\0b"s},
                         .key = key,
                         .extended_usage = "serverAuth"})
            .x509()));
  }
  int read = 0;
  for (int round = 0; round < 10000; ++round) {
    std::string bytes = seeds[random() % seeds.size()];
    const auto edits = 1 + random() % 3;
    for (unsigned i = 0; i < edits; ++i) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    if (random() % 8 == 0) bytes.erase(random() % bytes.size(), random() % 8);
    const X509Owner certificate = certificate_of_der(bytes_of(bytes));
    if (!certificate) continue;
    ++read;
    const core::Certificate result = certificate_of(certificate.get());
    ASSERT_LE(result.subject.size(), kMaxDistinguishedName);
    ASSERT_LE(result.dns_names.size() + result.ip_addresses.size(), core::kMaxNames);
    const std::string names = core::names_text(result);
    ASSERT_EQ(names.find_first_of("\x1b\n\r\0"s), std::string::npos);
    (void)core::match_host(result, "leo.example");
    (void)core::judge_validity(result, {}, 1);
  }
  EXPECT_GT(read, 300);
}

}  // namespace
}  // namespace pgfed::net
