// The part of a report that tells of certificates and problems.

#include <gtest/gtest.h>

#include <chrono>
#include <limits>
#include <random>
#include <string>

#include "pgfed/core/wire.hpp"

namespace pgfed::core {
namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::uint16_t kInventoryTag = 33;
constexpr std::uint16_t kProblemTag = 1;
constexpr std::uint16_t kCertificateTag = 2;
constexpr std::uint16_t kUnknownTag = 60000;
constexpr std::int64_t kYear10000 = 253402300799;
constexpr std::int64_t kYear0 = -62167219200;

FileCertificate file_certificate(std::string_view name) {
  FileCertificate file;
  file.source = CertificateSource::sslcert;
  file.depth = 3;
  file.path = "/etc/postgresql/server.crt";
  Certificate& certificate = file.certificate;
  certificate.subject = "CN=" + std::string(name);
  certificate.issuer = "CN=Federation CA,O=Example";
  certificate.common_name = name;
  certificate.dns_names = {"leo.example", "*.db.example", ""};
  certificate.ip_addresses = {"127.0.0.2", "2001:db8::1"};
  certificate.names_cut = true;
  certificate.null_in_name = true;
  certificate.serial = "0123456789ABCDEF";
  certificate.sha256.bytes.fill(0xAB);
  certificate.not_before = 1700000000;
  certificate.not_after = 4102444800;
  certificate.key = "EC P-256";
  certificate.self_issued = true;
  certificate.is_ca = true;
  file.anchor.bytes.fill(0xCD);
  return file;
}

Inventory inventory_of_two() {
  Inventory inventory;
  inventory.digest = 42;
  inventory.certificates = {file_certificate("leo"), FileCertificate{}};
  inventory.certificates[1].source = CertificateSource::ssl_ca_file;
  inventory.problems = {{ProblemKind::key_mismatch, Status::critical, "the key is another one's"},
                        {ProblemKind::tls_off, Status::unknown, ""}};
  return inventory;
}

Report report_with(const Inventory& inventory) {
  Report report;
  report.node = "leo";
  report.federation = "zoo";
  report.incarnation.bytes.fill(1);
  report.facts.role = Role::primary;
  report.inventory_digest = inventory.digest;
  report.inventory = inventory;
  return report;
}

Report bare_report() {
  Report report = report_with({});
  report.inventory.reset();
  return report;
}

Bytes record(std::uint16_t tag, const Bytes& payload) {
  Bytes bytes = {static_cast<std::uint8_t>(tag >> 8), static_cast<std::uint8_t>(tag)};
  for (int shift = 24; shift >= 0; shift -= 8) {
    bytes.push_back(static_cast<std::uint8_t>(payload.size() >> shift));
  }
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  return bytes;
}

Bytes text_bytes(std::string_view text) { return {text.begin(), text.end()}; }

Bytes joined(Bytes left, const Bytes& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

Bytes repeated(const Bytes& bytes, std::size_t times) {
  Bytes out;
  for (std::size_t i = 0; i < times; ++i) out = joined(std::move(out), bytes);
  return out;
}

/// A bare report with this as its inventory.
Bytes with_inventory(const Bytes& payload) {
  return joined(encode(bare_report()), record(kInventoryTag, payload));
}

Inventory decoded(const Bytes& bytes) {
  const Result<Report> result = decode(bytes);
  if (!result.ok() || !result.value().inventory) {
    ADD_FAILURE() << (result.ok() ? "no inventory" : result.error().detail);
    return {};
  }
  return *result.value().inventory;
}

/// The only certificate of an inventory whose payload is this one certificate.
Certificate decoded_certificate(const Bytes& payload) {
  const Inventory inventory = decoded(with_inventory(record(kCertificateTag, payload)));
  if (inventory.certificates.size() != 1) {
    ADD_FAILURE() << inventory.certificates.size() << " certificates";
    return {};
  }
  return inventory.certificates[0].certificate;
}

void expect_cut_short(const Bytes& bytes) {
  const Result<Report> result = decode(bytes);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().sqlstate, sqlstate::kProtocolViolation);
  EXPECT_EQ(result.error().message, "pgfed report is cut short");
}

/// What must hold for whatever is accepted.
void expect_sane(const Report& report) {
  if (!report.inventory) return;
  const Inventory& inventory = *report.inventory;
  ASSERT_EQ(inventory.digest, report.inventory_digest);
  ASSERT_LE(inventory.certificates.size(), kMaxNodeCertificates);
  ASSERT_LE(inventory.problems.size(), kMaxProblems);
  for (const FileCertificate& file : inventory.certificates) {
    const Certificate& certificate = file.certificate;
    ASSERT_GE(static_cast<int>(file.source), 1);
    ASSERT_LE(static_cast<int>(file.source), 4);
    ASSERT_LE(certificate.dns_names.size() + certificate.ip_addresses.size(), kMaxShownNames);
    ASSERT_LE(certificate.subject.size(), 255U);
    ASSERT_GE(certificate.not_after, kYear0);
    ASSERT_LE(certificate.not_after, kYear10000);
  }
  for (const Problem& problem : inventory.problems) {
    ASSERT_LE(problem.kind, kLastProblemKind);
    ASSERT_LE(static_cast<int>(problem.status), 3);
  }
  const Result<Report> twice = decode(encode(report));
  ASSERT_TRUE(twice.ok());
  ASSERT_EQ(twice.value(), report);
}

std::string longest_text(char letter) { return std::string(300, letter); }

/// As much as an inventory can hold.
Inventory longest_inventory() {
  Inventory inventory;
  inventory.digest = 1;
  FileCertificate file = file_certificate("");
  file.path = longest_text('p');
  file.certificate.subject = longest_text('s');
  file.certificate.issuer = longest_text('i');
  file.certificate.common_name = longest_text('c');
  file.certificate.dns_names.assign(kMaxNames, longest_text('d'));
  file.certificate.serial = longest_text('1');
  inventory.certificates.assign(kMaxNodeCertificates, file);
  inventory.problems.assign(kMaxProblems,
                            {ProblemKind::hba_trust, Status::warning, longest_text('x')});
  return inventory;
}

TEST(WireInventory, RoundTrips) {
  const Report report = report_with(inventory_of_two());
  const Result<Report> result = decode(encode(report));
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result.value(), report);
  EXPECT_EQ(*result.value().inventory, inventory_of_two());
}

TEST(WireInventory, RoundTripsWithoutAnything) {
  const Report report = report_with({});
  EXPECT_EQ(decode(encode(report)).value(), report);
  EXPECT_FALSE(decode(encode(bare_report())).value().inventory.has_value());
}

TEST(WireInventory, RoundTripsEveryWord) {
  for (int i = 0; i <= static_cast<int>(kLastProblemKind); ++i) {
    Inventory inventory = inventory_of_two();
    inventory.problems[0].kind = static_cast<ProblemKind>(i);
    inventory.problems[0].status = static_cast<Status>(i % 4);
    inventory.certificates[0].source = static_cast<CertificateSource>(1 + i % 4);
    EXPECT_EQ(decoded(encode(report_with(inventory))), inventory);
  }
}

TEST(WireInventory, HasTheDigestOfItsReport) {
  Report report = report_with(inventory_of_two());
  report.inventory_digest = 7;
  EXPECT_EQ(decode(encode(report)).value().inventory->digest, 7U);
}

TEST(WireInventory, IsAppendedToAnEncodedReport) {
  const Report whole = report_with(inventory_of_two());
  Report report = whole;
  report.inventory.reset();
  Bytes bytes = encode(report);
  append_inventory(bytes, encode_inventory(inventory_of_two()));
  EXPECT_EQ(bytes, encode(whole));
}

TEST(WireInventory, KnownInventoryIsAppendedToAnEncodedReport) {
  Report report = bare_report();
  Bytes bytes = encode(report);
  const std::size_t before = bytes.size();
  append_known_inventory(bytes, 0xFEDCBA9876543210);
  EXPECT_EQ(bytes.size(), before + 14);
  report.known_inventory = 0xFEDCBA9876543210;
  EXPECT_EQ(decode(bytes).value(), report);

  // The last one counts, and a report with all the links there can be has room for it.
  append_known_inventory(bytes, 5);
  EXPECT_EQ(decode(bytes).value().known_inventory, 5U);
  LinkReport link;
  link.target = std::string(50, 't');
  link.error = longest_text('e');
  report.links.assign(kMaxLinks, link);
  bytes = encode(report);
  append_known_inventory(bytes, 6);
  EXPECT_LE(bytes.size(), kMaxReport);
  EXPECT_EQ(decode(bytes).value().known_inventory, 6U);
}

TEST(WireInventory, IsNotAppendedWhereNothingFits) {
  Bytes bytes(kMaxReport - 5, 0);
  append_inventory(bytes, encode_inventory(inventory_of_two()));
  append_known_inventory(bytes, 5);
  EXPECT_EQ(bytes.size(), kMaxReport - 5);
}

TEST(WireInventory, LeavesOutCertificatesThatDoNotFit) {
  const Inventory longest = longest_inventory();
  EXPECT_LE(encode_inventory(longest).size(), kMaxEncodedInventory);
  const Inventory alone = decoded(encode(report_with(longest)));
  EXPECT_EQ(alone.problems.size(), kMaxProblems);
  EXPECT_GE(alone.certificates.size(), 8U);
  EXPECT_LT(alone.certificates.size(), kMaxNodeCertificates);

  Report report = report_with(longest);
  LinkReport link;
  link.target = std::string(50, 't');
  link.incarnation.bytes.fill(7);
  link.error = longest_text('e');
  report.links.assign(kMaxLinks, link);
  const Bytes bytes = encode(report);
  EXPECT_LE(bytes.size(), kMaxReport);
  const Result<Report> result = decode(bytes);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result.value().links.size(), kMaxLinks);
  // Beside so many links there is no room for it, and a part would be taken for the whole.
  EXPECT_FALSE(result.value().inventory.has_value());
  expect_sane(result.value());
}

TEST(WireInventory, CutsNamesAndTexts) {
  Inventory inventory = inventory_of_two();
  Certificate& certificate = inventory.certificates[0].certificate;
  certificate.names_cut = false;
  certificate.dns_names.assign(kMaxShownNames - 1, "a.example");
  certificate.ip_addresses.assign(3, "127.0.0.1");
  certificate.subject = std::string(254, 's') + "\xE2\x82\xAC";
  const Certificate got = decoded(encode(report_with(inventory))).certificates[0].certificate;
  EXPECT_EQ(got.dns_names.size(), kMaxShownNames - 1);
  EXPECT_EQ(got.ip_addresses.size(), 1U);
  EXPECT_TRUE(got.names_cut);
  EXPECT_EQ(got.subject, std::string(254, 's'));

  certificate.ip_addresses.resize(1);
  EXPECT_FALSE(decoded(encode(report_with(inventory))).certificates[0].certificate.names_cut);
}

TEST(WireInventory, MakesTextsPrintable) {
  Inventory inventory = inventory_of_two();
  inventory.certificates[0].certificate.subject = "CN=\x1B[2J\n";
  inventory.certificates[0].certificate.dns_names = {std::string("a\0b", 3)};
  const Certificate sent = decoded(encode(report_with(inventory))).certificates[0].certificate;
  EXPECT_EQ(sent.subject, "CN= [2J ");
  EXPECT_EQ(sent.dns_names[0], "a b");

  const Bytes raw =
      joined(record(4, text_bytes("\x1B]0;x\x07")), record(7, text_bytes("\xFF\xFE")));
  const Certificate got = decoded_certificate(raw);
  EXPECT_EQ(got.subject, " ]0;x ");
  EXPECT_EQ(got.dns_names[0], "??");
  EXPECT_EQ(decoded_certificate(record(5, text_bytes(longest_text('i')))).issuer,
            std::string(255, 'i'));
}

TEST(WireInventory, DropsWhatIsTooMuch) {
  const Bytes certificate = record(kCertificateTag, {});
  const Bytes problem = record(kProblemTag, {});
  const Inventory many = decoded(with_inventory(joined(
      repeated(certificate, kMaxNodeCertificates + 5), repeated(problem, kMaxProblems + 5))));
  EXPECT_EQ(many.certificates.size(), kMaxNodeCertificates);
  EXPECT_EQ(many.problems.size(), kMaxProblems);

  const Bytes names = joined(repeated(record(8, text_bytes("::1")), kMaxShownNames),
                             repeated(record(7, text_bytes("a")), 5));
  const Certificate got = decoded_certificate(joined(names, record(9, {0})));
  EXPECT_EQ(got.ip_addresses.size(), kMaxShownNames);
  EXPECT_TRUE(got.dns_names.empty());
  EXPECT_TRUE(got.names_cut);
}

TEST(WireInventory, TakesTheLastOfRepeatedInventories) {
  const Bytes bytes = joined(encode(report_with(inventory_of_two())), record(kInventoryTag, {}));
  EXPECT_TRUE(decoded(bytes).certificates.empty());
  EXPECT_TRUE(decoded(bytes).problems.empty());
}

TEST(WireInventory, TakesUnknownWordsAsHarmless) {
  for (int number = 0; number < 256; ++number) {
    const Bytes byte = {static_cast<std::uint8_t>(number)};
    const Inventory files = decoded(with_inventory(record(kCertificateTag, record(1, byte))));
    ASSERT_EQ(files.certificates.size(), number >= 1 && number <= 4 ? 1U : 0U) << number;

    const Bytes problem = joined(record(1, byte), record(2, byte));
    const Inventory set_up = decoded(with_inventory(record(kProblemTag, problem)));
    ASSERT_EQ(set_up.problems.size(), 1U);
    const int last = static_cast<int>(kLastProblemKind);
    EXPECT_EQ(static_cast<int>(set_up.problems[0].kind), number <= last ? number : 0);
    EXPECT_EQ(static_cast<int>(set_up.problems[0].status), number <= 2 ? number : 3);
  }
}

TEST(WireInventory, ClampsTimes) {
  Inventory inventory = inventory_of_two();
  inventory.certificates[0].certificate.not_before = std::numeric_limits<std::int64_t>::min();
  inventory.certificates[0].certificate.not_after = std::numeric_limits<std::int64_t>::max();
  const Certificate got = decoded(encode(report_with(inventory))).certificates[0].certificate;
  EXPECT_EQ(got.not_before, kYear0);
  EXPECT_EQ(got.not_after, kYear10000);
}

TEST(WireInventory, SkipsUnknownTagsAnywhere) {
  const Bytes unknown = record(kUnknownTag, {1, 2, 3});
  const Bytes certificate = joined(unknown, joined(record(4, text_bytes("CN=leo")), unknown));
  const Bytes problem = joined(record(1, {1}), unknown);
  const Inventory got = decoded(with_inventory(
      joined(joined(unknown, record(kCertificateTag, certificate)), record(kProblemTag, problem))));
  ASSERT_EQ(got.certificates.size(), 1U);
  EXPECT_EQ(got.certificates[0].certificate.subject, "CN=leo");
  ASSERT_EQ(got.problems.size(), 1U);
  EXPECT_EQ(got.problems[0].kind, ProblemKind::file_unreadable);
}

TEST(WireInventory, RefusesWhatIsCutShort) {
  expect_cut_short(with_inventory({0, 1}));
  expect_cut_short(with_inventory(record(kProblemTag, {0})));
  expect_cut_short(with_inventory(record(kProblemTag, record(1, {}))));
  for (const std::uint16_t tag : {1, 2, 9, 10, 12, 13, 14, 16, 17, 18}) {
    expect_cut_short(with_inventory(record(kCertificateTag, record(tag, {}))));
  }
  expect_cut_short(with_inventory(record(kCertificateTag, record(12, Bytes(31, 1)))));
  // An inner record that claims more than what holds it.
  Bytes inner = record(4, text_bytes("CN=leo"));
  inner[5] = 200;
  expect_cut_short(
      joined(with_inventory(record(kCertificateTag, inner)), record(kUnknownTag, Bytes(300, 0))));
}

TEST(WireInventory, RefusesATruncationAtEveryByte) {
  const Bytes bare = encode(bare_report());
  const Bytes bytes = encode(report_with(inventory_of_two()));
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    const Bytes cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length));
    const Result<Report> result = decode(cut);
    // Between two records of the report there is a whole one, which has no inventory.
    ASSERT_TRUE(!result.ok() || length <= bare.size()) << length;
    if (result.ok()) {
      EXPECT_FALSE(result.value().inventory.has_value());
    }
  }
  // The same of the payload alone, in a record of the right length.
  const Bytes payload = encode_inventory(inventory_of_two());
  for (std::size_t length = 0; length < payload.size(); ++length) {
    const Bytes cut(payload.begin(), payload.begin() + static_cast<std::ptrdiff_t>(length));
    const Result<Report> result = decode(with_inventory(cut));
    if (result.ok()) expect_sane(result.value());
    Bytes appended = bare;
    append_inventory(appended, cut);
    ASSERT_TRUE(decode(appended).ok()) << length;
  }
}

TEST(WireInventory, SurvivesEverySingleByteCorruption) {
  const Bytes bytes = encode(report_with(inventory_of_two()));
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    for (const int flip : {0x01, 0x02, 0x80, 0xFF, 0x55}) {
      Bytes bad = bytes;
      bad[i] = static_cast<std::uint8_t>(bad[i] ^ flip);
      const Result<Report> result = decode(bad);
      if (result.ok()) expect_sane(result.value());
    }
  }
}

TEST(WireInventory, SurvivesRandomInputs) {
  std::mt19937 random(42);  // NOLINT(cert-msc51-cpp): repeatable on purpose
  const auto noise = [&](std::uint32_t most) {
    Bytes bytes(random() % most);
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random());
    return bytes;
  };
  int accepted = 0;
  for (int round = 0; round < 20000; ++round) {
    Bytes payload;
    const auto count = random() % 6;
    for (unsigned i = 0; i < count; ++i) {
      Bytes inner;
      for (auto fields = random() % 8; fields > 0; --fields) {
        inner = joined(inner, record(static_cast<std::uint16_t>(random() % 20), noise(48)));
      }
      payload = joined(payload, record(static_cast<std::uint16_t>(random() % 4), inner));
    }
    if (!payload.empty() && random() % 4 == 0) {
      payload[random() % payload.size()] = static_cast<std::uint8_t>(random());
    }
    const Result<Report> result = decode(with_inventory(payload));
    if (!result.ok()) continue;
    ++accepted;
    expect_sane(result.value());
  }
  EXPECT_GT(accepted, 1000);
}

}  // namespace
}  // namespace pgfed::core
