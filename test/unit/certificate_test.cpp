#include "pgfed/core/certificate.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "pgfed/core/ip_bytes.hpp"

namespace pgfed::core {
namespace {

using namespace std::string_literals;

constexpr std::int64_t kHour = 3600;
constexpr std::int64_t kDay = 24 * kHour;

Certificate named(std::vector<std::string> dns, std::vector<std::string> ip = {},
                  const std::string& common_name = "") {
  Certificate certificate;
  certificate.dns_names = std::move(dns);
  certificate.ip_addresses = std::move(ip);
  certificate.common_name = common_name;
  return certificate;
}

struct HostCase {
  const char* what;
  Certificate certificate;
  std::string host;
  bool matches;
  bool by_common_name = false;
};

/// What libpq 15 and later do with sslmode=verify-full.
TEST(Certificate, MatchesHostsAsLibpqDoes) {
  Certificate flagged = named({"leo.example"});
  flagged.null_in_name = true;  // in a name that was made printable since
  const std::vector<HostCase> cases = {
      {"same", named({"leo.example"}), "leo.example", true},
      {"case", named({"LEO.example"}), "leo.EXAMPLE", true},
      {"other", named({"leo.example"}), "pit.example", false},
      {"second", named({"a", "leo.example"}), "leo.example", true},
      {"no host", named({""}), "", false},
      {"part of it", named({"leo.example"}), "leo.example.org", false},
      {"trailing dot", named({"leo.example"}), "leo.example.", false},
      {"wildcard", named({"*.db.example"}), "leo.db.example", true},
      {"wildcard, case", named({"*.DB.example"}), "leo.db.EXAMPLE", true},
      {"wildcard for two labels", named({"*.example"}), "leo.db.example", false},
      {"wildcard for none", named({"*.example"}), "example", false},
      {"wildcard for an empty label", named({"*.example"}), ".example", false},
      {"wildcard within a label", named({"l*.example"}), "leo.example", false},
      {"wildcard that is not the first label", named({"leo.*.example"}), "leo.db.example", false},
      {"wildcard alone", named({"*"}), "leo", false},
      {"wildcard with a dot alone", named({"*."}), "leo.", false},
      {"wildcard of a top level", named({"*.e"}), "leo.e", true},
      {"host that is the wildcard itself", named({"*.example"}), "*.example", true},
      {"two wildcards", named({"*.*.example"}), "leo.db.example", false},
      {"address", named({}, {"10.0.0.1"}), "10.0.0.1", true},
      {"another address", named({}, {"10.0.0.1"}), "10.0.0.2", false},
      {"short form", named({}, {"10.0.0.1"}), "10.1", true},
      {"hexadecimal form", named({}, {"10.0.0.1"}), "0x0a000001", true},
      {"octal form", named({}, {"10.0.0.1"}), "012.0.0.1", true},
      {"IPv6, other form", named({}, {"::1"}), "0:0:0:0:0:0:0:1", true},
      {"IPv6, letters", named({}, {"fd00::ab"}), "FD00:0::00AB", true},
      {"IPv6 with a zone", named({}, {"fe80::1"}), "fe80::1%eth0", false},
      {"IPv4 within IPv6 is not IPv4", named({}, {"::ffff:10.0.0.1"}), "10.0.0.1", false},
      {"IPv4 is not IPv4 within IPv6", named({}, {"10.0.0.1"}), "::ffff:10.0.0.1", false},
      {"IPv4 within IPv6", named({}, {"::ffff:10.0.0.1"}), "::ffff:a00:1", true},
      {"address as a DNS name, as text", named({"10.0.0.1"}), "10.0.0.1", true},
      {"address as a DNS name, other form", named({"10.0.0.1"}), "10.1", false},
      {"address by a wildcard DNS name", named({"*.0.0.1"}), "10.0.0.1", true},
      {"name is not an address name's text", named({}, {"10.0.0.1"}), "leo", false},
      {"common name", named({}, {}, "leo.example"), "leo.example", true, true},
      {"common name, wildcard", named({}, {}, "*.example"), "leo.example", true, true},
      {"common name, other", named({}, {}, "pit.example"), "leo.example", false},
      {"common name beside DNS names", named({"a"}, {}, "leo.example"), "leo.example", false},
      {"common name beside addresses only", named({}, {"::1"}, "leo.example"), "leo.example", true,
       true},
      {"address in the common name", named({}, {}, "10.0.0.1"), "10.0.0.1", true, true},
      {"likewise, beside DNS names only", named({"a"}, {}, "10.0.0.1"), "10.0.0.1", true, true},
      {"likewise, beside addresses", named({}, {"::1"}, "10.0.0.1"), "10.0.0.1", false},
      {"address in the common name, other form", named({}, {}, "10.0.0.1"), "10.1", false},
      {"NUL", named({"leo.example\0.evil"s}), "leo.example", false},
      {"NUL after the match", named({"leo.example", "x\0"s}), "leo.example", true},
      {"NUL before the match", named({"x\0"s, "leo.example"}), "leo.example", false},
      {"NUL beside an address", named({"x\0"s}, {"10.0.0.1"}), "10.0.0.1", false},
      {"NUL in the common name", named({}, {}, "leo.example\0.evil"s), "leo.example", false},
      {"NUL in an unused common name", named({"leo.example"}, {}, "a\0"s), "leo.example", true},
      {"NUL that nobody sees any more", flagged, "leo.example", false},
      {"NUL in the host", named({"leo"}), "leo\0"s, false},
      {"broken address", named({}, {"invalid (5 bytes)", "10.0.0.1"}), "10.0.0.1", false},
      {"no names", named({}), "leo.example", false},
  };
  for (const HostCase& one : cases) {
    const HostMatch match = match_host(one.certificate, one.host);
    EXPECT_EQ(match.matches, one.matches) << one.what;
    EXPECT_EQ(match.by_common_name, one.by_common_name) << one.what;
  }
}

TEST(Certificate, ReadsAddressesAsTheResolverDoes) {
  const auto hex = [](std::string_view text) {
    const IpBytes address = ip_bytes(text);
    std::string digits;
    for (std::size_t i = 0; i < address.length; ++i) {
      constexpr std::string_view kDigits = "0123456789abcdef";
      digits += kDigits[address.bytes[i] >> 4U];
      digits += kDigits[address.bytes[i] & 0xFU];
    }
    return digits;
  };
  EXPECT_EQ(hex("1.2.3.4"), "01020304");
  EXPECT_EQ(hex("1.2.3"), "01020003");
  EXPECT_EQ(hex("1.65535"), "0100ffff");
  EXPECT_EQ(hex("4294967295"), "ffffffff");
  EXPECT_EQ(hex("0"), "00000000");
  EXPECT_EQ(hex("0X7f.1"), "7f000001");
  EXPECT_EQ(hex("1::2"), "00010000000000000000000000000002");
  EXPECT_EQ(hex("::"), "00000000000000000000000000000000");
  EXPECT_EQ(hex("1:2:3:4:5:6:7:8"), "00010002000300040005000600070008");
  EXPECT_EQ(hex("1:2:3:4:5:6:7::"), "00010002000300040005000600070000");
  EXPECT_EQ(hex("64:ff9b::1.2.3.4"), "0064ff9b000000000000000001020304");
  for (const char* none :
       {"",   ".",  "1.",         ".1",         "1..2",    "256.1.1.1", "1.2.3.256", "1.2.3.4.5",
        "09", "0x", "4294967296", "1.16777216", "leo",     "1a",        "-1",        "+1",
        " 1", "1 ", ":::",        "1::2::3",    "12345::", "::1%lo",    "[::1]",     "1:2"}) {
    EXPECT_EQ(hex(none), "") << none;
  }
}

TEST(Certificate, JudgesValidity) {
  const CertificateThresholds thresholds;  // 30 and 7 days
  Certificate year;
  year.not_before = 1000 * kDay;
  year.not_after = 1365 * kDay;
  const auto at = [&](std::int64_t left) {
    return judge_validity(year, thresholds, year.not_after - left);
  };
  EXPECT_EQ(at(31 * kDay).state, CertificateState::ok);
  EXPECT_EQ(at(31 * kDay).status, Status::ok);
  EXPECT_EQ(at(31 * kDay).detail, "");
  EXPECT_EQ(at(30 * kDay).status, Status::ok);
  EXPECT_EQ(at(30 * kDay - 1).status, Status::warning);
  EXPECT_EQ(at(30 * kDay - 1).state, CertificateState::expiring);
  EXPECT_EQ(at(6 * kDay).status, Status::critical);
  EXPECT_EQ(at(6 * kDay).detail, "expires in 6 days (1973-09-27 00:00:00 UTC)");
  EXPECT_EQ(at(47 * kHour).detail, "expires in 47 hours (1973-09-27 00:00:00 UTC)");
  EXPECT_EQ(at(119 * 60).detail, "expires in 119 minutes (1973-09-27 00:00:00 UTC)");
  EXPECT_EQ(at(60).detail, "expires in 1 minute (1973-09-27 00:00:00 UTC)");
  EXPECT_EQ(at(0).detail, "expires in 0 seconds (1973-09-27 00:00:00 UTC)");
  EXPECT_EQ(at(-1).state, CertificateState::expired);
  EXPECT_EQ(at(-1).status, Status::critical);
  EXPECT_EQ(at(-1).detail, "expired on 1973-09-27 00:00:00 UTC");
  const Validity early = judge_validity(year, thresholds, year.not_before - 1);
  EXPECT_EQ(early.state, CertificateState::not_yet_valid);
  EXPECT_EQ(early.status, Status::critical);
  EXPECT_EQ(early.detail, "not valid before 1972-09-27 00:00:00 UTC");
  EXPECT_EQ(judge_validity(year, thresholds, year.not_before).state, CertificateState::ok);
  EXPECT_EQ(judge_validity(Certificate{}, thresholds, 5).state, CertificateState::unknown);
}

TEST(Certificate, ShortLivedOnesAreNotAlwaysAboutToExpire) {
  Certificate day;  // a day's life: 6 hours' and 2.4 hours' warning
  day.not_before = 1000 * kDay;
  day.not_after = 1001 * kDay;
  const auto at = [&](std::int64_t left) {
    return judge_validity(day, {}, day.not_after - left).status;
  };
  EXPECT_EQ(at(6 * kHour), Status::ok);
  EXPECT_EQ(at(6 * kHour - 1), Status::warning);
  EXPECT_EQ(at(8640), Status::warning);
  EXPECT_EQ(at(8639), Status::critical);
}

TEST(Certificate, WritesTimes) {
  EXPECT_EQ(utc_text(0), "1970-01-01 00:00:00 UTC");
  EXPECT_EQ(utc_text(-1), "1969-12-31 23:59:59 UTC");
  EXPECT_EQ(utc_text(1798859045), "2027-01-02 03:04:05 UTC");
  EXPECT_EQ(utc_text(1709210096), "2024-02-29 12:34:56 UTC");
  EXPECT_EQ(utc_text(253402300799), "9999-12-31 23:59:59 UTC");
  EXPECT_EQ(utc_text(std::numeric_limits<std::int64_t>::max()), "9999-12-31 23:59:59 UTC");
  EXPECT_EQ(utc_text(std::numeric_limits<std::int64_t>::min()), "0000-01-01 00:00:00 UTC");
}

TEST(Certificate, WritesNames) {
  EXPECT_EQ(names_text(named({"leo.example", "*.db"}, {"10.0.0.1"})),
            "DNS leo.example, DNS *.db, IP 10.0.0.1");
  EXPECT_EQ(names_text(named({"a", "b", "c"}, {"::1"}), 2), "DNS a, DNS b and 2 more");
  EXPECT_EQ(names_text(named({"a", "b"}, {"::1"}), 2), "DNS a, DNS b and 1 more");
  EXPECT_EQ(names_text(named({"a"}), 0), "1 name");
  EXPECT_EQ(names_text(named({}, {}, "leo")), "CN leo, no SAN");
  EXPECT_EQ(names_text(named({})), "no names");
  Certificate cut = named({"a", "b"});
  cut.names_cut = true;
  EXPECT_EQ(names_text(cut, 1), "DNS a and more than 1 more");
  EXPECT_EQ(names_text(named({"a\x1b[31m\nb\0c"s})), "DNS a [31m b c (with a NUL byte)");
  EXPECT_LT(names_text(named({std::string(5000, 'x')})).size(), 300U);
}

TEST(Certificate, WritesFingerprints) {
  Fingerprint print;
  EXPECT_FALSE(print.known());
  EXPECT_EQ(print.hex(), "");
  print.bytes[0] = 0xAB;
  print.bytes[31] = 0x01;
  EXPECT_TRUE(print.known());
  EXPECT_EQ(print.hex(), "ab" + std::string(60, '0') + "01");
}

}  // namespace
}  // namespace pgfed::core
