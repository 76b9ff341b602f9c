#include "pgfed/core/lag_estimator.hpp"

#include <gtest/gtest.h>

namespace pgfed::core {
namespace {

constexpr Instant at(std::int64_t ms) { return Instant(seconds(1000)) + milliseconds(ms); }
constexpr Lsn lsn(std::uint64_t value) { return Lsn{value}; }

TEST(LagEstimator, KnowsNothingAtFirst) {
  LagEstimator lag;
  EXPECT_FALSE(lag.lag(lsn(1), at(0)));
  lag.sample(1, Lsn{}, at(0));  // an invalid position teaches nothing
  EXPECT_FALSE(lag.lag(lsn(1), at(0)));
  lag.sample(1, lsn(100), at(0));
  EXPECT_FALSE(lag.lag(Lsn{}, at(1)));
}

TEST(LagEstimator, IsZeroForWhoHasEverything) {
  LagEstimator lag;
  lag.sample(1, lsn(100), at(0));
  EXPECT_EQ(lag.lag(lsn(100), at(500)), Duration::zero());
  EXPECT_EQ(lag.lag(lsn(200), at(500)), Duration::zero());  // ahead of our older figure
}

TEST(LagEstimator, StaysZeroOnAnIdlePrimary) {
  LagEstimator lag;
  for (int i = 0; i < 1000; ++i) lag.sample(1, lsn(100), at(i * 1000));
  EXPECT_EQ(lag.lag(lsn(100), at(1000000)), Duration::zero());
}

TEST(LagEstimator, FindsWhenThePrimaryWasThere) {
  LagEstimator lag;
  for (int i = 0; i <= 10; ++i) lag.sample(1, lsn(1000 + 100 * i), at(1000 * i));
  EXPECT_EQ(lag.lag(lsn(1500), at(10000)), milliseconds(5000));
  EXPECT_EQ(lag.lag(lsn(1550), at(10000)), milliseconds(4500));  // evenly in between
  EXPECT_EQ(lag.lag(lsn(1500), at(12000)), milliseconds(7000));  // grows by itself
}

TEST(LagEstimator, CountsFromTheEndOfAPause) {
  LagEstimator lag;
  lag.sample(1, lsn(100), at(0));
  lag.sample(1, lsn(100), at(60000));  // idle for a minute: nobody was behind then
  lag.sample(1, lsn(200), at(61000));
  EXPECT_EQ(lag.lag(lsn(100), at(61000)), milliseconds(1000));
}

TEST(LagEstimator, GivesALowerBoundForWhatIsOlderThanAllSamples) {
  LagEstimator lag;
  lag.sample(1, lsn(1000), at(0));
  lag.sample(1, lsn(2000), at(1000));
  EXPECT_EQ(lag.lag(lsn(10), at(3000)), milliseconds(3000));
}

TEST(LagEstimator, StartsAfreshOnAnotherTimeline) {
  LagEstimator lag;
  lag.sample(1, lsn(1000), at(0));
  lag.sample(1, lsn(2000), at(1000));
  lag.sample(2, lsn(1500), at(2000));
  EXPECT_EQ(lag.lag(lsn(1500), at(5000)), Duration::zero());
  EXPECT_EQ(lag.lag(lsn(1400), at(5000)), milliseconds(3000));
}

TEST(LagEstimator, StartsAfreshAfterAStepBackwards) {
  LagEstimator lag;
  lag.sample(1, lsn(1000), at(0));
  lag.sample(1, lsn(2000), at(1000));
  lag.sample(1, lsn(500), at(2000));
  EXPECT_EQ(lag.lag(lsn(500), at(5000)), Duration::zero());
  lag.sample(1, lsn(600), at(3000));
  EXPECT_EQ(lag.lag(lsn(500), at(5000)), milliseconds(3000));
}

TEST(LagEstimator, IgnoresAReportThatANewerOneOvertook) {
  LagEstimator lag;
  lag.sample(1, lsn(1000), at(0));
  lag.sample(1, lsn(2000), at(1000));
  lag.sample(1, lsn(1500), at(500));
  EXPECT_EQ(lag.lag(lsn(1000), at(1000)), milliseconds(1000));
  EXPECT_EQ(lag.lag(lsn(2000), at(1000)), Duration::zero());
}

TEST(LagEstimator, ForgetsWhenCleared) {
  LagEstimator lag;
  lag.sample(1, lsn(1000), at(0));
  lag.clear();
  EXPECT_FALSE(lag.lag(lsn(1000), at(1)));
}

TEST(LagEstimator, ManySamplesInAnInstantTakeOnePlace) {
  LagEstimator lag;
  lag.sample(1, lsn(1), at(0));
  for (int i = 0; i < 100000; ++i) {
    lag.sample(1, lsn(2 + static_cast<std::uint64_t>(i)), at(0) + microseconds(i));
  }
  // A tenth of a second in all: the first sample is still there.
  EXPECT_EQ(lag.lag(lsn(1), at(100)), milliseconds(100));
  EXPECT_EQ(lag.lag(lsn(100001), at(100)), Duration::zero());
}

/// However long it runs, recent lag stays exact and old lag right within a few per cent.
TEST(LagEstimator, StaysRightInFixedMemory) {
  LagEstimator lag;
  constexpr int kSeconds = 24 * 3600;
  for (int i = 0; i <= kSeconds; ++i) {
    lag.sample(1, lsn(1 + static_cast<std::uint64_t>(i) * 16), at(1000LL * i));
  }
  const Instant now = at(1000LL * kSeconds);
  for (const int behind : {1, 2, 10, 60, 100}) {
    const auto found = lag.lag(lsn(1 + static_cast<std::uint64_t>(kSeconds - behind) * 16), now);
    ASSERT_TRUE(found);
    EXPECT_NEAR(static_cast<double>(found->count()), behind * 1e6, 1000) << behind;
  }
  const auto old = lag.lag(lsn(1 + 16 * 3600), now);
  ASSERT_TRUE(old);
  EXPECT_NEAR(static_cast<double>(old->count()), (kSeconds - 3600) * 1e6, 0.05 * kSeconds * 1e6);
}

/// A standby that stands still falls behind, whatever the samples look like.
TEST(LagEstimator, GrowsWhileAStandbyStandsStill) {
  LagEstimator lag;
  std::uint64_t written = 1000;
  Duration last{};
  for (int i = 0; i < 5000; ++i) {
    written += static_cast<std::uint64_t>(i * 7919 % 1000);
    lag.sample(1, lsn(written), at(i * 37));
    const auto found = lag.lag(lsn(1500), at(i * 37));
    ASSERT_TRUE(found);
    EXPECT_GE(*found, last) << i;
    last = *found;
  }
  EXPECT_GT(last, seconds(180));
}

}  // namespace
}  // namespace pgfed::core
