#include "pgfed/core/inventory.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "pgfed/core/picture.hpp"

namespace pgfed::core {
namespace {

Inventory sample() {
  Inventory inventory;
  FileCertificate file;
  file.source = CertificateSource::ssl_cert_file;
  file.path = "/etc/leo.crt";
  file.certificate.subject = "CN=leo";
  file.certificate.dns_names = {"a", "bc"};
  file.certificate.not_after = 5;
  inventory.certificates = {file};
  inventory.problems = {{ProblemKind::key_mismatch, Status::critical, DetailText("no")}};
  return inventory;
}

TEST(Inventory, WordsAreThoseOfTheView) {
  EXPECT_EQ(word(CertificateSource::served), "served");
  EXPECT_EQ(word(CertificateSource::ssl_cert_file), "ssl_cert_file");
  EXPECT_EQ(word(CertificateSource::ssl_ca_file), "ssl_ca_file");
  EXPECT_EQ(word(CertificateSource::sslrootcert), "sslrootcert");
  EXPECT_EQ(word(CertificateSource::sslcert), "sslcert");
  EXPECT_EQ(word(static_cast<CertificateSource>(99)), "unknown");
}

TEST(Inventory, EveryFieldCountsInTheDigest) {
  const std::vector<std::function<void(Inventory&)>> changes = {
      [](Inventory& i) { i.certificates[0].source = CertificateSource::sslcert; },
      [](Inventory& i) { i.certificates[0].depth = 1; },
      [](Inventory& i) { i.certificates[0].path = "/etc/ait.crt"; },
      [](Inventory& i) { i.certificates[0].anchor.bytes[31] = 1; },
      [](Inventory& i) { i.certificates[0].certificate.subject = "CN=ait"; },
      [](Inventory& i) { i.certificates[0].certificate.issuer = "CN=ca"; },
      [](Inventory& i) { i.certificates[0].certificate.common_name = "leo"; },
      [](Inventory& i) {
        i.certificates[0].certificate.dns_names = {"ab", "c"};
      },
      [](Inventory& i) { i.certificates[0].certificate.ip_addresses = {"::1"}; },
      [](Inventory& i) { i.certificates[0].certificate.names_cut = true; },
      [](Inventory& i) { i.certificates[0].certificate.null_in_name = true; },
      [](Inventory& i) { i.certificates[0].certificate.serial = "01"; },
      [](Inventory& i) { i.certificates[0].certificate.sha256.bytes[0] = 1; },
      [](Inventory& i) { i.certificates[0].certificate.not_before = 1; },
      [](Inventory& i) { i.certificates[0].certificate.not_after = 6; },
      [](Inventory& i) { i.certificates[0].certificate.key = "RSA 2048"; },
      [](Inventory& i) { i.certificates[0].certificate.self_issued = true; },
      [](Inventory& i) { i.certificates[0].certificate.is_ca = true; },
      [](Inventory& i) { i.certificates.clear(); },
      [](Inventory& i) { i.certificates.push_back(i.certificates[0]); },
      [](Inventory& i) { i.problems[0].kind = ProblemKind::key_permissions; },
      [](Inventory& i) { i.problems[0].status = Status::warning; },
      [](Inventory& i) { i.problems[0].detail = "yes"; },
      [](Inventory& i) { i.problems.clear(); },
  };
  std::set<std::uint64_t> digests = {digest_of(sample())};
  for (const auto& change : changes) {
    Inventory inventory = sample();
    change(inventory);
    digests.insert(digest_of(inventory));
  }
  EXPECT_EQ(digests.size(), changes.size() + 1);
}

TEST(Inventory, TheDigestItselfDoesNotCount) {
  Inventory inventory = sample();
  inventory.digest = 77;
  EXPECT_EQ(digest_of(inventory), digest_of(sample()));
  EXPECT_NE(digest_of(Inventory{}), 0U);
}

TEST(Inventory, EveryProblemHasAHintThatFits) {
  for (int kind = 0; kind <= static_cast<int>(kLastProblemKind); ++kind) {
    const std::string_view hint = hint_for(static_cast<ProblemKind>(kind));
    EXPECT_FALSE(hint.empty()) << kind;
    EXPECT_EQ(decltype(CheckRow::hint)(hint).view(), hint) << kind;
    EXPECT_EQ(is_security(static_cast<ProblemKind>(kind)), kind >= 10 && kind <= 16) << kind;
  }
  EXPECT_EQ(hint_for(static_cast<ProblemKind>(200)), "");
}

}  // namespace
}  // namespace pgfed::core
