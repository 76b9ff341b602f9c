#include "pgfed/core/wire.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>

namespace pgfed::core {
namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t kPrefix = 6;
constexpr std::uint16_t kLinkTag = 28;
constexpr Duration kTenYears = std::chrono::hours(24 * 3653);
constexpr std::uint16_t kFirstUnknownTag = 34;
constexpr std::uint16_t kUnknownTag = 60000;

Report small_report() {
  Report report;
  report.node = "leo";
  report.federation = "zoo";
  report.incarnation.bytes = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
  report.facts.role = Role::primary;
  return report;
}

LinkReport link_to(std::string_view target) {
  LinkReport link;
  link.target = target;
  link.incarnation.bytes.fill(7);
  link.connected = true;
  link.role = Role::standby;
  link.rtt = microseconds(1234);
  link.error = "could not connect";
  link.age = seconds(3);
  return link;
}

Report full_report() {
  Report report = small_report();
  report.identity = Identity::confirmed;
  Facts& facts = report.facts;
  facts.role = Role::standby;
  facts.state = State::streaming;
  facts.timeline = 0xFEDCBA98;
  facts.write = Lsn{0xFFFFFFFFFFFFFFFF};
  facts.flush = Lsn{0x123456789ABCDEF0};
  facts.replay = Lsn{1};
  facts.upstream_end = Lsn{0x8000000000000000};
  facts.replay_paused = true;
  facts.upstream_host = "2001:db8::1";
  facts.upstream_port = 65535;
  facts.slot = "pgfed_leo";
  facts.system_identifier = 0xFFFFFFFFFFFFFFFE;
  facts.wall_clock = 1700000000000000;
  report.judged_by = {seconds(1), seconds(2), milliseconds(300), Mode::off, {}};
  report.judged_by.certificate = {seconds(86400), seconds(3600)};
  report.inventory_digest = 0xFEDCBA9876543210;
  report.known_inventory = 0x8000000000000001;
  report.paths = {"/ca.crt", "/leo.crt", "/leo.key"};
  report.library_version = "0.1";
  report.extension_version = "0.2";
  report.server_version = 150013;
  report.links = {link_to("ait"), link_to("pit"), LinkReport{}};
  report.links[2].target = "bare";
  return report;
}

/// A walk over the records of `bytes`; `visit` gets the offset of each header and its fields.
struct RawRecord {
  std::size_t at;
  std::uint16_t tag;
  std::size_t length;
};

std::vector<RawRecord> records(const Bytes& bytes, std::size_t from, std::size_t to) {
  std::vector<RawRecord> found;
  for (std::size_t at = from; at < to;) {
    const auto tag = static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
    std::size_t length = 0;
    for (std::size_t i = 2; i < 6; ++i) length = length << 8 | bytes[at + i];
    found.push_back({at, tag, length});
    at += 6 + length;
  }
  return found;
}

std::vector<RawRecord> records(const Bytes& bytes) { return records(bytes, kPrefix, bytes.size()); }

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

/// `bytes` with the payload of every record of `tag` replaced by what `change` makes of it.
Bytes rewritten(const Bytes& bytes, std::uint16_t tag,
                const std::function<Bytes(const Bytes&)>& change) {
  Bytes out(bytes.begin(), bytes.begin() + kPrefix);
  for (const RawRecord& each : records(bytes)) {
    const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(each.at + 6);
    const Bytes payload(begin, begin + static_cast<std::ptrdiff_t>(each.length));
    out = joined(out, record(each.tag, each.tag == tag ? change(payload) : payload));
  }
  return out;
}

Bytes without(const Bytes& bytes, std::uint16_t tag) {
  Bytes out(bytes.begin(), bytes.begin() + kPrefix);
  for (const RawRecord& each : records(bytes)) {
    if (each.tag == tag) continue;
    const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(each.at);
    out.insert(out.end(), begin, begin + static_cast<std::ptrdiff_t>(6 + each.length));
  }
  return out;
}

/// Decodes and returns the report; fails the test where there is none.
Report decoded(const Bytes& bytes) {
  const Result<Report> result = decode(bytes);
  if (!result.ok()) {
    ADD_FAILURE() << result.error().message << ": " << result.error().detail;
    return {};
  }
  return result.value();
}

void expect_error(const Bytes& bytes, std::string_view message) {
  const Result<Report> result = decode(bytes);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().sqlstate, sqlstate::kProtocolViolation);
  EXPECT_EQ(result.error().message, message);
  EXPECT_EQ(result.error().detail.back(), '.');
}

/// What must hold for whatever decode() accepts: everything in range, so that it encodes and
/// decodes to itself.
void expect_sane(const Report& report) {
  ASSERT_LE(report.links.size(), kMaxLinks);
  ASSERT_LE(static_cast<int>(report.facts.role), 2);
  ASSERT_LE(static_cast<int>(report.facts.state), 8);
  ASSERT_LE(static_cast<int>(report.identity), 3);
  ASSERT_LE(static_cast<int>(report.judged_by.mode), 2);
  ASSERT_GE(report.judged_by.peer_interval, Duration::zero());
  ASSERT_LE(report.judged_by.peer_interval, kTenYears);
  ASSERT_GE(report.facts.wall_clock, 0);
  const Bytes again = encode(report);
  ASSERT_LE(again.size(), kMaxReport);
  const Result<Report> twice = decode(again);
  ASSERT_TRUE(twice.ok());
  ASSERT_EQ(twice.value(), report);
}

// ---- round trips -----------------------------------------------------------------------------

TEST(Wire, RoundTrips) {
  EXPECT_EQ(decoded(encode(full_report())), full_report());
  EXPECT_EQ(decoded(encode(small_report())), small_report());
  EXPECT_EQ(decoded(encode(Report{})), Report{});
}

TEST(Wire, RoundTripsEveryWord) {
  for (int i = 0; i <= 8; ++i) {
    Report report = full_report();
    report.facts.role = static_cast<Role>(i % 3);
    report.facts.state = static_cast<State>(i);
    report.identity = static_cast<Identity>(i % 4);
    report.judged_by.mode = static_cast<Mode>(i % 3);
    report.links[0].role = static_cast<Role>(i % 3);
    report.links[0].connected = i % 2 == 0;
    report.facts.replay_paused = i % 2 == 1;
    EXPECT_EQ(decoded(encode(report)), report);
  }
}

TEST(Wire, LooksAsDocumented) {
  const Bytes bytes = encode(small_report());
  EXPECT_EQ(std::string(bytes.begin(), bytes.begin() + 4), "pgfd");
  EXPECT_EQ(bytes[4], 0);
  EXPECT_EQ(bytes[5], kProtocol);
  const Bytes node = {0, 1, 0, 0, 0, 3, 'l', 'e', 'o'};
  EXPECT_TRUE(std::equal(node.begin(), node.end(), bytes.begin() + kPrefix));
}

TEST(Wire, TakesTheDefaultsOfMissingFields) {
  Bytes bytes = {'p', 'g', 'f', 'd', 0, 1};
  bytes = joined(bytes, record(1, text_bytes("leo")));
  bytes = joined(bytes, record(2, {}));
  bytes = joined(bytes, record(3, Bytes(16, 9)));
  bytes = joined(bytes, record(4, {1}));
  Report expected;
  expected.node = "leo";
  expected.incarnation.bytes.fill(9);
  expected.facts.role = Role::primary;
  EXPECT_EQ(decoded(bytes), expected);
}

TEST(Wire, NeedsWhatMakesAReportOne) {
  const Bytes bytes = encode(full_report());
  for (const RawRecord& each : records(bytes)) {
    const Bytes lacking = without(bytes, each.tag);
    if (each.tag <= 4) {
      expect_error(lacking, "pgfed report is incomplete");
    } else {
      const Report report = decoded(lacking);
      EXPECT_EQ(report.node, "leo");
      expect_sane(report);
    }
  }
  expect_error({'p', 'g', 'f', 'd', 0, 1}, "pgfed report is incomplete");
}

// ---- newer peers -----------------------------------------------------------------------------

TEST(Wire, SkipsUnknownTagsAnywhere) {
  const Bytes bytes = encode(full_report());
  for (const Bytes& payload : {Bytes{}, Bytes{1, 2, 3}, Bytes(1000, 0xFF), record(1, {1})}) {
    for (const std::uint16_t tag : {std::uint16_t{0}, kFirstUnknownTag, kUnknownTag}) {
      const Bytes unknown = record(tag, payload);
      std::vector<std::size_t> places = {bytes.size()};
      for (const RawRecord& each : records(bytes)) places.push_back(each.at);
      for (const std::size_t at : places) {
        Bytes longer = bytes;
        longer.insert(longer.begin() + static_cast<std::ptrdiff_t>(at), unknown.begin(),
                      unknown.end());
        ASSERT_EQ(decoded(longer), full_report());
      }
    }
  }
}

TEST(Wire, SkipsUnknownTagsInsideLinks) {
  const Bytes unknown = record(kUnknownTag, {1, 2, 3});
  const Bytes bytes = encode(full_report());
  const Bytes before =
      rewritten(bytes, kLinkTag, [&](const Bytes& payload) { return joined(unknown, payload); });
  const Bytes after =
      rewritten(bytes, kLinkTag, [&](const Bytes& payload) { return joined(payload, unknown); });
  EXPECT_EQ(decoded(before), full_report());
  EXPECT_EQ(decoded(after), full_report());
  EXPECT_GT(after.size(), bytes.size());
}

TEST(Wire, IgnoresTheNewEndOfAKnownField) {
  const Bytes bytes = encode(full_report());
  for (const RawRecord& each : records(bytes)) {
    // Texts are as long as they are; everything else has a size that may grow.
    const bool is_text = each.tag <= 2 || each.tag == 13 || each.tag == 15 ||
                         (each.tag >= 22 && each.tag <= 26) || each.tag == kLinkTag;
    if (is_text) continue;
    const Bytes longer = rewritten(bytes, each.tag, [](const Bytes& payload) {
      return joined(payload, {9, 9, 9});
    });
    EXPECT_EQ(decoded(longer), full_report()) << each.tag;
  }
}

TEST(Wire, RefusesFieldsThatAreTooShort) {
  const Bytes bytes = encode(full_report());
  for (const RawRecord& each : records(bytes)) {
    const bool is_text =
        each.tag <= 2 || each.tag == 13 || each.tag == 15 || (each.tag >= 22 && each.tag <= 26);
    const Bytes shorter = rewritten(bytes, each.tag, [](Bytes payload) {
      if (!payload.empty()) payload.pop_back();
      return payload;
    });
    if (is_text) {
      expect_sane(decoded(shorter));
    } else {
      expect_error(shorter, "pgfed report is cut short");
    }
  }
}

TEST(Wire, AcceptsEveryProtocolVersion) {
  for (const std::uint32_t version : {0U, 1U, 2U, 255U, 256U, 65535U}) {
    Report report = small_report();
    report.protocol = version;
    EXPECT_EQ(decoded(encode(report)).protocol, version);
  }
  Report report = small_report();
  report.protocol = 70000;
  EXPECT_EQ(decoded(encode(report)).protocol, 65535U);
}

TEST(Wire, TakesTheLastOfARepeatedField) {
  const Bytes bytes = joined(encode(full_report()), record(1, text_bytes("ait")));
  EXPECT_EQ(decoded(bytes).node, "ait");
}

// ---- values out of range ---------------------------------------------------------------------

TEST(Wire, TakesUnknownWordsAsHarmless) {
  const Bytes bytes = encode(full_report());
  for (int number = 0; number < 256; ++number) {
    const auto set = [number](const Bytes&) { return Bytes{static_cast<std::uint8_t>(number)}; };
    const auto expected = [number](int last, int otherwise) {
      return number <= last ? number : otherwise;
    };
    EXPECT_EQ(decoded(rewritten(bytes, 4, set)).facts.role,
              static_cast<Role>(expected(2, static_cast<int>(Role::unknown))));
    EXPECT_EQ(decoded(rewritten(bytes, 5, set)).identity,
              static_cast<Identity>(expected(3, static_cast<int>(Identity::checking))));
    EXPECT_EQ(decoded(rewritten(bytes, 6, set)).facts.state,
              static_cast<State>(expected(8, static_cast<int>(State::unknown))));
    EXPECT_EQ(decoded(rewritten(bytes, 21, set)).judged_by.mode,
              static_cast<Mode>(expected(2, static_cast<int>(Mode::observe))));
    EXPECT_EQ(decoded(rewritten(bytes, 12, set)).facts.replay_paused, number != 0);
  }
}

TEST(Wire, ClampsTimes) {
  Report report = full_report();
  report.judged_by.lag_warning = Duration::min();
  report.judged_by.lag_critical = Duration::max();
  report.judged_by.peer_interval = microseconds(-1);
  report.judged_by.certificate = {Duration::max(), Duration::min()};
  report.links[0].rtt = Duration::min();
  report.links[0].age = Duration::max();
  report.facts.wall_clock = std::numeric_limits<std::int64_t>::min();
  Report got = decoded(encode(report));
  EXPECT_EQ(got.judged_by.lag_warning, Duration::zero());
  EXPECT_EQ(got.judged_by.lag_critical, kTenYears);
  EXPECT_EQ(got.judged_by.peer_interval, Duration::zero());
  EXPECT_EQ(got.judged_by.certificate.warning, kTenYears);
  EXPECT_EQ(got.judged_by.certificate.critical, Duration::zero());
  EXPECT_EQ(got.links[0].rtt, Duration::zero());
  EXPECT_EQ(got.links[0].age, kTenYears);
  EXPECT_EQ(got.facts.wall_clock, 0);
  report.facts.wall_clock = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(decoded(encode(report)).facts.wall_clock, 253402300800000000);
}

TEST(Wire, MakesTextsPrintable) {
  const Bytes bytes = encode(full_report());
  const auto node = [&](std::string_view text) {
    return decoded(rewritten(bytes, 1, [&](const Bytes&) { return text_bytes(text); })).node;
  };
  EXPECT_EQ(node("a\x1B[2Jb\n"), "a [2Jb ");
  EXPECT_EQ(node("\xFF\xC0\x80"), "???");
  EXPECT_EQ(node(std::string_view("a\0b", 3)), "a b");
  EXPECT_EQ(node(std::string(70000, 'x')), std::string(50, 'x'));
  EXPECT_EQ(node(std::string(49, 'x') + "\xE2\x82\xAC"), std::string(49, 'x'));
}

// ---- sizes -----------------------------------------------------------------------------------

LinkReport longest_link(std::size_t i) {
  LinkReport link = link_to(std::string(46, 't') + std::to_string(1000 + i));
  link.error = std::string(255, 'e');
  return link;
}

Report longest_report(std::size_t links) {
  Report report = full_report();
  report.node = std::string(50, 'n');
  report.federation = std::string(50, 'f');
  report.facts.upstream_host = std::string(255, 'h');
  report.facts.slot = std::string(63, 's');
  report.paths = {std::string(255, 'a'), std::string(255, 'b'), std::string(255, 'c')};
  report.library_version = std::string(31, '1');
  report.extension_version = std::string(31, '2');
  report.links.clear();
  for (std::size_t i = 0; i < links; ++i) report.links.push_back(longest_link(i));
  return report;
}

TEST(Wire, FitsTheLongestReport) {
  const Report report = longest_report(kMaxLinks);
  const Bytes bytes = encode(report);
  EXPECT_LE(bytes.size(), kMaxReport);
  EXPECT_EQ(decoded(bytes), report);
}

TEST(Wire, LeavesOutLinksThatAreTooMany) {
  const Bytes bytes = encode(longest_report(5000));
  EXPECT_LE(bytes.size(), kMaxReport);
  EXPECT_EQ(decoded(bytes), longest_report(kMaxLinks));
}

TEST(Wire, DropsLinksBeyondTheLimitAndThoseWithoutATarget) {
  Bytes bytes = encode(small_report());
  const Bytes nameless = record(kLinkTag, record(3, {1}));
  for (std::size_t i = 0; i < kMaxLinks + 100; ++i) {
    bytes = joined(bytes, record(kLinkTag, record(1, text_bytes("n" + std::to_string(i)))));
    bytes = joined(bytes, nameless);
  }
  const Report report = decoded(bytes);
  ASSERT_EQ(report.links.size(), kMaxLinks);
  EXPECT_EQ(report.links.back().target, "n255");
}

TEST(Wire, RefusesWhatIsTooLarge) {
  Bytes bytes = encode(small_report());
  const std::size_t room = kMaxReport - bytes.size() - 6;
  EXPECT_EQ(decoded(joined(bytes, record(kUnknownTag, Bytes(room, 0)))), small_report());
  expect_error(joined(bytes, record(kUnknownTag, Bytes(room + 1, 0))), "pgfed report is too large");
}

// ---- hostile bytes ---------------------------------------------------------------------------

TEST(Wire, RefusesAnotherMagic) {
  for (std::size_t i = 0; i < 4; ++i) {
    for (int flip = 1; flip < 256; ++flip) {
      Bytes bytes = encode(small_report());
      bytes[i] = static_cast<std::uint8_t>(bytes[i] ^ flip);
      expect_error(bytes, "not a pgfed report");
    }
  }
  expect_error(text_bytes("HTTP/1.1 400 Bad Request"), "not a pgfed report");
  expect_error(text_bytes("x"), "not a pgfed report");
}

TEST(Wire, RefusesATruncationAtEveryByte) {
  for (const Report& report : {full_report(), longest_report(3)}) {
    const Bytes bytes = encode(report);
    std::vector<bool> border(bytes.size() + 1, false);
    for (const RawRecord& each : records(bytes)) border[each.at] = true;
    for (std::size_t length = 0; length < bytes.size(); ++length) {
      const Bytes cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length));
      const Result<Report> result = decode(cut);
      ASSERT_TRUE(!result.ok() || border[length]) << length;
      if (result.ok()) {
        expect_sane(result.value());
      } else {
        ASSERT_EQ(result.error().sqlstate, sqlstate::kProtocolViolation);
      }
    }
  }
}

TEST(Wire, SurvivesLyingLengths) {
  for (const std::uint32_t length : {0xFFFFFFFFU, 0xFFFFFFFAU, 0x80000000U, 0x7FFFFFFFU, 1000U}) {
    Bytes bytes = encode(small_report());
    for (int shift = 24; shift >= 0; shift -= 8) {
      bytes[kPrefix + 2 + static_cast<std::size_t>(24 - shift) / 8] =
          static_cast<std::uint8_t>(length >> shift);
    }
    expect_error(bytes, "pgfed report is cut short");
  }
  // A link whose inner record claims more than the link holds, though the report would hold it.
  Bytes inner = record(1, text_bytes("ait"));
  inner[5] = 10;
  Bytes bytes = joined(encode(small_report()), record(kLinkTag, inner));
  bytes = joined(bytes, record(kUnknownTag, Bytes(100, 0)));
  expect_error(bytes, "pgfed report is cut short");
}

TEST(Wire, SurvivesDeepNesting) {
  Bytes nested = record(kLinkTag, {});
  for (int depth = 0; depth < 5000; ++depth) nested = record(kLinkTag, nested);
  EXPECT_EQ(decoded(joined(encode(small_report()), nested)), small_report());
}

TEST(Wire, SurvivesEverySingleByteCorruption) {
  const Bytes bytes = encode(full_report());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    for (const int flip : {0x01, 0x02, 0x80, 0xFF, 0x55}) {
      Bytes bad = bytes;
      bad[i] = static_cast<std::uint8_t>(bad[i] ^ flip);
      const Result<Report> result = decode(bad);
      if (result.ok()) expect_sane(result.value());
    }
  }
}

TEST(Wire, SurvivesRandomInputs) {
  std::mt19937 random(42);  // NOLINT(cert-msc51-cpp): repeatable on purpose
  const Bytes seed = encode(full_report());
  int accepted = 0;
  for (int round = 0; round < 100000; ++round) {
    Bytes bytes;
    if (round % 2 == 0) {  // noise behind a good beginning, made of likely headers
      bytes = {'p', 'g', 'f', 'd', 0, 1};
      const auto count = random() % 8;
      for (unsigned i = 0; i < count; ++i) {
        Bytes payload(random() % 20, static_cast<std::uint8_t>(random()));
        if (random() % 4 == 0) payload = record(static_cast<std::uint16_t>(random() % 9), payload);
        bytes = joined(
            bytes, record(static_cast<std::uint16_t>(random() % (kFirstUnknownTag + 1)), payload));
      }
    } else {
      const auto start = random() % 8;
      bytes.assign(seed.begin(), seed.begin() + 100 + static_cast<std::ptrdiff_t>(start));
    }
    const auto edits = random() % 4;
    for (unsigned i = 0; i < edits; ++i) {
      bytes[random() % bytes.size()] = static_cast<std::uint8_t>(random());
    }
    const Result<Report> result = decode(bytes);
    if (!result.ok()) continue;
    ++accepted;
    if (accepted % 10 == 0) expect_sane(result.value());
  }
  EXPECT_GT(accepted, 100);
}

}  // namespace
}  // namespace pgfed::core
