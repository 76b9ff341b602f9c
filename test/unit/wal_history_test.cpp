#include "pgfed/core/wal_history.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <random>
#include <utility>
#include <vector>

namespace pgfed::core {
namespace {

constexpr Instant at(std::int64_t ms) { return Instant(seconds(1000)) + milliseconds(ms); }
constexpr Lsn lsn(std::uint64_t value) { return Lsn{value}; }

void expect_exactly(const LagEstimate& estimate, Duration lag) {
  EXPECT_TRUE(estimate.known);
  EXPECT_FALSE(estimate.at_least);
  EXPECT_EQ(estimate.lag.count(), lag.count());
}

void expect_at_least(const LagEstimate& estimate, Duration lag) {
  EXPECT_TRUE(estimate.known);
  EXPECT_TRUE(estimate.at_least);
  EXPECT_EQ(estimate.lag.count(), lag.count());
}

TEST(WalHistory, KnowsNothingAtFirst) {
  WalHistory wal;
  EXPECT_FALSE(wal.lag_of(1, lsn(1), at(0)).known);
  EXPECT_FALSE(wal.end_at(at(0)));
  EXPECT_FALSE(wal.position(1, lsn(1)));
  EXPECT_EQ(wal.sampled_at(), kNever);
  EXPECT_EQ(wal.oldest(), kNever);
  wal.sample(1, Lsn{}, at(0));  // an invalid position teaches nothing
  wal.sample(0, lsn(5), at(0));
  EXPECT_TRUE(wal.empty());
  wal.sample(1, lsn(100), at(0));
  EXPECT_FALSE(wal.lag_of(1, Lsn{}, at(1)).known);
}

TEST(WalHistory, IsZeroForWhoHasEverything) {
  WalHistory wal;
  wal.sample(1, lsn(100), at(0));
  expect_exactly(wal.lag_of(1, lsn(100), at(70)), Duration::zero());
  EXPECT_EQ(wal.lag_of(1, lsn(100), at(70)).uncertainty, milliseconds(70));
  expect_exactly(wal.lag_of(1, lsn(200), at(70)), Duration::zero());
}

TEST(WalHistory, IdlingCostsNoMemory) {
  WalHistory wal;
  for (int i = 0; i < 864000; ++i) wal.sample(1, lsn(100), at(100LL * i));  // a day
  EXPECT_EQ(wal.size(), 1U);
  expect_exactly(wal.lag_of(1, lsn(100), at(86400000)), Duration::zero());
}

TEST(WalHistory, CountsFromTheEndOfAPause) {
  WalHistory wal;
  for (int i = 0; i <= 600; ++i) wal.sample(1, lsn(100), at(100 * i));
  wal.sample(1, lsn(300), at(60100));
  wal.sample(1, lsn(300), at(61000));
  expect_exactly(wal.lag_of(1, lsn(100), at(61000)), milliseconds(1000));
  EXPECT_EQ(wal.lag_of(1, lsn(100), at(61000)).uncertainty, milliseconds(100));
  expect_exactly(wal.lag_of(1, lsn(200), at(61000)), milliseconds(950));
  EXPECT_EQ(wal.lag_of(1, lsn(200), at(61000)).uncertainty, milliseconds(50));
  expect_exactly(wal.lag_of(1, lsn(300), at(61000)), Duration::zero());
}

TEST(WalHistory, AnswersForAMomentOfThePast) {
  WalHistory wal;
  for (int i = 0; i <= 100; ++i) wal.sample(1, lsn(1000 + i), at(100 * i));
  expect_exactly(wal.lag_of(1, lsn(1010), at(3000)), milliseconds(2000));
  expect_exactly(wal.lag_of(1, lsn(1030), at(3000)), Duration::zero());
  expect_exactly(wal.lag_of(1, lsn(1090), at(3000)), Duration::zero());  // ahead of that moment
  EXPECT_EQ(wal.end_at(at(3000)), lsn(1030));
  EXPECT_EQ(wal.end_at(at(20000)), lsn(1100));
  EXPECT_FALSE(wal.end_at(at(-1)));
  WalHistory steps;
  steps.sample(1, lsn(1000), at(0));
  steps.sample(1, lsn(2000), at(100));
  EXPECT_EQ(steps.end_at(at(25)), lsn(1250));
}

TEST(WalHistory, GivesALowerBoundForWhatIsOlderThanAllSamples) {
  WalHistory wal;
  wal.sample(1, lsn(1000), at(0));
  wal.sample(1, lsn(2000), at(1000));
  expect_at_least(wal.lag_of(1, lsn(10), at(3000)), milliseconds(3000));
}

TEST(WalHistory, IgnoresSamplesOutOfOrder) {
  WalHistory wal;
  for (int i = 0; i <= 10; ++i) wal.sample(1, lsn(1000 + 100 * i), at(1000 * i));
  wal.sample(1, lsn(1300), at(3000));
  wal.sample(1, lsn(9000), at(9999));
  wal.sample(2, lsn(1), at(5000));
  EXPECT_EQ(wal.newest(), lsn(2000));
  EXPECT_EQ(wal.timeline(), 1U);
  EXPECT_EQ(wal.size(), 11U);
  expect_exactly(wal.lag_of(1, lsn(1500), at(10000)), milliseconds(5000));
}

TEST(WalHistory, ExtraSamplesDoNotShortenTheMemory) {
  WalHistory wal;
  for (int i = 0; i < 100000; ++i) wal.sample(1, lsn(1000 + i), at(10LL * i));
  EXPECT_LT(wal.size(), 9000U);
  const Instant now = at(1000000);
  const auto estimate = wal.lag_of(1, lsn(1000 + 100000 - 60000), now);  // ten minutes ago
  EXPECT_LE(estimate.uncertainty, milliseconds(150));
  EXPECT_NEAR(static_cast<double>(estimate.lag.count()), 600e6, 20e3);
}

TEST(WalHistory, AStepBackwardsForgetsWhatIsGone) {
  WalHistory wal;
  for (int i = 0; i <= 100; ++i) wal.sample(1, lsn(1000 + 10 * i), at(100 * i));
  wal.sample(1, lsn(1505), at(10100));  // the server crashed, what came later was never flushed
  EXPECT_EQ(wal.newest(), lsn(1505));
  expect_exactly(wal.lag_of(1, lsn(1505), at(10100)), Duration::zero());
  expect_exactly(wal.lag_of(1, lsn(1500), at(10100)), milliseconds(5100));
  wal.sample(1, lsn(1600), at(10200));
  expect_exactly(wal.lag_of(1, lsn(1505), at(10200)), milliseconds(100));
  wal.sample(1, lsn(7), at(10300));  // back beyond everything
  EXPECT_EQ(wal.size(), 1U);
  expect_exactly(wal.lag_of(1, lsn(7), at(10300)), Duration::zero());
}

TEST(WalHistory, FollowsAPromotion) {
  WalHistory wal;  // of the standby that is promoted
  for (int i = 0; i <= 100; ++i) wal.sample(1, lsn(1000 + 10 * i), at(100 * i));
  wal.switched({1, 2, lsn(1995)});
  EXPECT_EQ(wal.timeline(), 2U);
  for (int i = 1; i <= 50; ++i) wal.sample(2, lsn(1995 + 10 * i), at(12000 + 100 * i));
  const Instant now = at(17000);
  // The other standby is still behind the fork: seen with a standby's eyes.
  expect_at_least(wal.lag_of(1, lsn(1500), now), milliseconds(12000));
  expect_at_least(wal.lag_of(2, lsn(1500), now), milliseconds(12000));
  // It has all up to the fork, and more that is ours no longer.
  expect_exactly(wal.lag_of(1, lsn(1995), now), milliseconds(7000));
  expect_exactly(wal.lag_of(1, lsn(5000), now), milliseconds(7000));
  EXPECT_EQ(wal.position(1, lsn(5000)), lsn(1995));
  expect_exactly(wal.lag_of(2, lsn(2495), now), Duration::zero());
  // Of a promotion that it has not seen, it can say nothing.
  EXPECT_FALSE(wal.lag_of(3, lsn(2000), now).known);
  EXPECT_FALSE(wal.lag_of(0, lsn(2000), now).known);
}

TEST(WalHistory, AForkAtASampledPositionLastsUntilThePromotion) {
  WalHistory wal;
  wal.sample(1, lsn(1000), at(0));
  wal.sample(1, lsn(1010), at(100));
  wal.sample(1, lsn(1020), at(200));  // half a record, not replayed
  wal.sample(1, lsn(1020), at(9900));
  wal.switched({1, 2, lsn(1010)});
  wal.sample(2, lsn(1100), at(10000));
  expect_exactly(wal.lag_of(1, lsn(1010), at(12000)), milliseconds(2100));
}

TEST(WalHistory, FollowsSeveralForksInAnyOrder) {
  for (const bool reversed : {false, true}) {
    WalHistory wal;
    for (int i = 0; i <= 10; ++i) wal.sample(1, lsn(1000 + 10 * i), at(100 * i));
    std::vector<TimelineFork> forks{{1, 3, lsn(1080)}, {3, 4, lsn(1090)}};
    if (reversed) std::reverse(forks.begin(), forks.end());
    for (const TimelineFork& fork : forks) wal.switched(fork);
    wal.sample(4, lsn(1200), at(2000));
    EXPECT_EQ(wal.timeline(), 4U);
    EXPECT_EQ(wal.position(1, lsn(2000)), lsn(1080));
    EXPECT_EQ(wal.position(3, lsn(2000)), lsn(1090));
    EXPECT_EQ(wal.position(2, lsn(2000)), std::nullopt);
    expect_at_least(wal.lag_of(1, lsn(1050), at(2000)), milliseconds(1500));
    // Another line of succession: at any rate it has nothing of what came after the fork.
    EXPECT_TRUE(wal.lag_of(2, lsn(2000), at(2000)).at_least);
  }
}

TEST(WalHistory, StartsAfreshOnATimelineFromNowhere) {
  WalHistory wal;
  wal.sample(1, lsn(1000), at(0));
  wal.sample(1, lsn(2000), at(1000));
  wal.sample(2, lsn(1500), at(2000));
  EXPECT_EQ(wal.size(), 1U);
  // Whatever it is, it was not at the first sample of timeline 2.
  expect_at_least(wal.lag_of(1, lsn(1500), at(2500)), milliseconds(500));
  wal.sample(1, lsn(1200), at(3000));  // and back, as pg_rewind would
  expect_exactly(wal.lag_of(1, lsn(1200), at(3000)), Duration::zero());
  EXPECT_FALSE(wal.lag_of(2, lsn(1200), at(3000)).known);
}

TEST(WalHistory, ANewLineOfSuccessionReplacesTheOld) {
  WalHistory wal;
  wal.switched({1, 2, lsn(100)});
  wal.switched({2, 3, lsn(200)});
  wal.switched({1, 3, lsn(150)});  // rewound: timeline 2 is no ancestor
  wal.sample(3, lsn(300), at(0));
  EXPECT_EQ(wal.position(1, lsn(500)), lsn(150));
  EXPECT_FALSE(wal.position(2, lsn(120)));
}

TEST(WalHistory, IgnoresForksThatAreNone) {
  WalHistory wal;
  wal.sample(2, lsn(100), at(0));
  wal.switched({2, 1, lsn(50)});
  wal.switched({2, 2, lsn(50)});
  wal.switched({0, 3, lsn(50)});
  wal.switched({2, 3, Lsn{}});
  EXPECT_EQ(wal.timeline(), 2U);
  EXPECT_EQ(wal.newest(), lsn(100));
}

TEST(WalHistory, KeepsTheNewestForks) {
  WalHistory wal;
  for (std::uint32_t i = 1; i <= 100; ++i) {
    wal.switched({i, i + 1, lsn(i * 10)});
    wal.switched({i, i + 1, lsn(i * 10)});  // said again at each start
  }
  wal.switched({1, 2, lsn(10)});
  wal.sample(101, lsn(2000), at(0));
  EXPECT_EQ(wal.position(100, lsn(5000)), lsn(1000));
  EXPECT_EQ(wal.position(101 - WalHistory::kMaxForks, lsn(5000)),
            lsn((101 - WalHistory::kMaxForks) * 10));
  EXPECT_FALSE(wal.position(100 - WalHistory::kMaxForks, lsn(5000)));
}

TEST(WalHistory, ForgetsAllOfIt) {
  WalHistory wal;
  wal.switched({1, 2, lsn(5)});
  wal.sample(2, lsn(100), at(0));
  wal.clear();
  EXPECT_TRUE(wal.empty());
  EXPECT_FALSE(wal.lag_of(2, lsn(100), at(0)).known);
  wal.sample(2, lsn(10), at(-5000));  // another system may have begun earlier
  EXPECT_EQ(wal.newest(), lsn(10));
  EXPECT_FALSE(wal.position(1, lsn(3)));
}

/// Two days of writing at an uneven rate, with pauses, sampled every 100 ms: bounded memory, and
/// the truth within the uncertainty that is said, which is never more than a hundredth of the age.
TEST(WalHistory, TwoDaysInBoundedMemory) {
  WalHistory wal;
  const std::size_t bytes = wal.bytes();
  EXPECT_LE(bytes, 256U * 1024);
  std::mt19937_64 random(4);  // NOLINT(bugprone-random-generator-seed): the same each time
  constexpr int kTicks = 2 * 24 * 3600 * 10;
  std::vector<std::pair<std::uint64_t, int>> truth;  // a position, and the tick that left it
  std::uint64_t value = 1000;
  int pause = 0;
  for (int i = 0; i < kTicks; ++i) {
    if (pause == 0 && random() % 2000 == 0) pause = static_cast<int>(random() % 3000);
    if (pause > 0) {
      --pause;
    } else {
      if (i % 997 == 0) truth.emplace_back(value, i - 1);
      value += 1 + random() % 50000;
    }
    wal.sample(1, lsn(value), at(100LL * i));
  }
  EXPECT_EQ(wal.bytes(), bytes);
  const Instant now = at(100LL * (kTicks - 1));
  EXPECT_GE(now - wal.oldest(), std::chrono::hours(47));
  ASSERT_GT(truth.size(), 500U);
  int fine = 0;
  for (const auto& [position, tick] : truth) {
    const auto estimate = wal.lag_of(1, lsn(position), now);
    const Duration real = now - at(100LL * tick);
    ASSERT_TRUE(estimate.known);
    if (estimate.at_least) {
      EXPECT_LE(estimate.lag, real);
      continue;
    }
    EXPECT_LE(std::chrono::abs(estimate.lag - real), estimate.uncertainty + milliseconds(100));
    EXPECT_LE(estimate.uncertainty, std::max<Duration>(milliseconds(150), real / 100));
    if (real < std::chrono::minutes(10)) {
      EXPECT_LE(estimate.uncertainty, milliseconds(150));
      ++fine;
    }
  }
  EXPECT_GT(fine, 0);
}

/// Without any pause, which is what needs most room.
TEST(WalHistory, TwoDaysWithoutAPause) {
  WalHistory wal;
  constexpr int kTicks = 50 * 3600 * 10;
  for (int i = 0; i < kTicks; ++i) wal.sample(1, lsn(1000 + 7ULL * i), at(100LL * i));
  const Instant now = at(100LL * (kTicks - 1));
  EXPECT_GE(now - wal.oldest(), std::chrono::hours(48));
  for (const std::int64_t age_s : {1, 60, 599, 3600, 7000, 36000, 172000}) {
    const auto estimate = wal.lag_of(1, lsn(1000 + 7ULL * (kTicks - 1 - age_s * 10)), now);
    EXPECT_FALSE(estimate.at_least);
    EXPECT_NEAR(static_cast<double>(estimate.lag.count()), static_cast<double>(age_s) * 1e6, 2e3);
    EXPECT_LE(estimate.uncertainty, std::max<Duration>(milliseconds(150), seconds(age_s) / 100));
  }
}

/// A position every 15 s, as an idle primary writes it: fine for the whole day.
TEST(WalHistory, AnIdleDayStaysFine) {
  WalHistory wal;
  for (int i = 0; i < 864000; ++i) wal.sample(1, lsn(1000 + i / 150 * 50), at(100LL * i));
  const Instant now = at(86399900);
  const auto estimate = wal.lag_of(1, lsn(1000 + 50), now);
  expect_exactly(estimate, now - at(29900));
  EXPECT_LE(estimate.uncertainty, milliseconds(100));
}

/// Anything in any order: never a negative lag, never one older than what was seen, always in time.
TEST(WalHistory, SurvivesAnything) {
  std::mt19937_64 random(7);  // NOLINT(bugprone-random-generator-seed): the same each time
  for (int round = 0; round < 20; ++round) {
    WalHistory wal;
    std::int64_t ms = 0;
    std::uint64_t value = 1 << 20;
    for (int i = 0; i < 20000; ++i) {
      const auto dice = random() % 1000;
      ms += static_cast<std::int64_t>(random() % 200);
      if (dice < 700) value += random() % 10000;
      if (dice == 990) value -= std::min<std::uint64_t>(value - 1, random() % (1 << 18));
      if (dice == 991)
        wal.switched({1 + static_cast<std::uint32_t>(random() % 4),
                      1 + static_cast<std::uint32_t>(random() % 5),
                      lsn(random() % (value + 1000))});
      if (dice == 992 && random() % 20 == 0) wal.clear();
      const auto timeline =
          dice == 993 ? 1 + static_cast<std::uint32_t>(random() % 5) : std::max(1U, wal.timeline());
      wal.sample(timeline, lsn(value), at(dice == 994 ? ms - 5000 : ms));
      if (i % 50 != 0) continue;
      const auto asked = 1 + static_cast<std::uint32_t>(random() % 5);
      const Instant now = at(ms - static_cast<std::int64_t>(random() % 3000));
      const auto estimate = wal.lag_of(asked, lsn(1 + random() % (value + 5000)), now);
      EXPECT_GE(estimate.lag, Duration::zero());
      EXPECT_GE(estimate.uncertainty, Duration::zero());
      if (estimate.known) {
        EXPECT_LE(estimate.lag, age(wal.oldest(), now));
      }
      if (const auto end = wal.end_at(now)) {
        EXPECT_LE(*end, wal.newest());
      }
    }
  }
}

/// Printed, not judged.
TEST(WalHistory, Cost) {
  const auto cost = [](const char* what, int times, const auto& work) {
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < times; ++i) work(i);
    const auto spent = std::chrono::steady_clock::now() - begin;
    const double ns = std::chrono::duration<double, std::nano>(spent).count() / times;
    std::printf("[     cost ] %s: %.0f ns\n", what, ns);
  };
  WalHistory wal;
  cost("a sample of a busy primary's WAL", 1000000,
       [&](int i) { wal.sample(1, lsn(1000 + 7ULL * i), at(100LL * i)); });
  const Instant now = at(100000000);
  Duration sum{};
  cost("the lag of a position", 100000,
       [&](int i) { sum += wal.lag_of(1, lsn(1000 + 70ULL * i), now).lag; });
  EXPECT_GT(sum, Duration::zero());
  cost("a sample of an idle primary's WAL", 1000000,
       [&](int i) { wal.sample(1, lsn(8000000), at(100000000 + 100LL * i)); });
  std::printf("[     cost ] memory of a WAL history: %zu bytes\n", wal.bytes());
}

}  // namespace
}  // namespace pgfed::core
