#include "pgfed/core/lsn.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <random>

namespace pgfed::core {
namespace {

constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();

TEST(Lsn, PrintsAsPostgresDoes) {
  EXPECT_EQ(format(Lsn{0}), "0/0");
  EXPECT_EQ(format(Lsn{1}), "0/1");
  EXPECT_EQ(format(Lsn{0xFFFFFFFF}), "0/FFFFFFFF");
  EXPECT_EQ(format(Lsn{0x100000000}), "1/0");
  EXPECT_EQ(format(Lsn{0x16B374D848}), "16/B374D848");
  EXPECT_EQ(format(Lsn{0x0A0000000B}), "A/B");
  EXPECT_EQ(format(Lsn{kMax}), "FFFFFFFF/FFFFFFFF");
}

TEST(Lsn, ReadsWhatItPrints) {
  std::mt19937_64 random(7);  // NOLINT(cert-msc51-cpp): repeatable on purpose
  for (int round = 0; round < 20000; ++round) {
    const Lsn lsn{random() >> (random() % 64)};
    ASSERT_EQ(parse_lsn(format(lsn)), lsn) << format(lsn);
  }
  EXPECT_EQ(parse_lsn(format(Lsn{kMax})), Lsn{kMax});
}

TEST(Lsn, ReadsEitherCaseAndLeadingZeros) {
  EXPECT_EQ(parse_lsn("16/b374d848"), Lsn{0x16B374D848});
  EXPECT_EQ(parse_lsn("00000016/0000000A"), Lsn{0x160000000A});
  EXPECT_EQ(parse_lsn("0/0"), Lsn{0});
}

TEST(Lsn, RefusesEverythingElse) {
  for (const char* text : {"",
                           "/",
                           "0",
                           "0/",
                           "/0",
                           "0/0/0",
                           " 0/0",
                           "0/0 ",
                           "0 /0",
                           "0/ 0",
                           "0/G",
                           "G/0",
                           "0x1/0",
                           "0/0x1",
                           "-1/0",
                           "0/-1",
                           "+1/0",
                           "0/+1",
                           "000000000/0",
                           "0/000000000",
                           "1FFFFFFFF/0",
                           "0/1FFFFFFFF",
                           "16\\B374D848",
                           "0/\xC3\xA9",
                           "0.0"}) {
    EXPECT_EQ(parse_lsn(text), std::nullopt) << text;
  }
  EXPECT_EQ(parse_lsn(std::string_view("0/1\0", 4)), std::nullopt);
}

TEST(Lsn, ComparesAndMeasures) {
  EXPECT_LT(Lsn{1}, Lsn{2});
  EXPECT_EQ(Lsn{}, Lsn{0});
  EXPECT_FALSE(Lsn{}.valid());
  EXPECT_TRUE(Lsn{1}.valid());
  EXPECT_EQ(bytes_between(Lsn{10}, Lsn{25}), 15U);
  EXPECT_EQ(bytes_between(Lsn{25}, Lsn{10}), 0U);
  EXPECT_EQ(bytes_between(Lsn{10}, Lsn{10}), 0U);
  EXPECT_EQ(bytes_between(Lsn{0}, Lsn{kMax}), kMax);
}

}  // namespace
}  // namespace pgfed::core
