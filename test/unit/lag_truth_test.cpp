#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <optional>
#include <random>
#include <vector>

#include "pgfed/core/lag_judge.hpp"

namespace pgfed::core {
namespace {

constexpr Instant at(std::int64_t ms) { return Instant(seconds(1000)) + milliseconds(ms); }
constexpr Lsn lsn(std::uint64_t value) { return Lsn{value}; }

StandbyWal report_at(Instant when, std::uint64_t replay) {
  StandbyWal wal;
  wal.reported_at = when;
  wal.streaming = true;
  wal.timeline = 1;
  wal.write = wal.flush = wal.replay = lsn(replay);
  return wal;
}

LagInput input_of(const StandbyWal& wal) {
  LagInput input;
  input.node = "raph";
  input.upstream = "leo";
  input.measured_by = "leo";
  input.state = State::streaming;
  input.report = wal;
  return input;
}

/// The truth: every transaction, when it was flushed on the primary and where it ends.
struct Primary {
  static constexpr std::uint64_t kRecord = 200;
  struct Commit {
    Instant when{};
    std::uint64_t end = 0;
  };
  std::vector<Commit> commits{{at(-100000), 1000}};

  void insert(Instant when) { commits.push_back({when, commits.back().end + kRecord}); }
  /// When its WAL went past that position; kForever: not yet.
  [[nodiscard]] Instant passed(Lsn position) const {
    const auto next =
        std::upper_bound(commits.begin(), commits.end(), position.value,
                         [](std::uint64_t value, const Commit& c) { return value < c.end; });
    return next == commits.end() ? kForever : next->when;
  }
  /// The last transaction at that moment.
  [[nodiscard]] const Commit& last(Instant when) const {
    return *std::prev(std::upper_bound(commits.begin(), commits.end(), when,
                                       [](Instant t, const Commit& c) { return t < c.when; }));
  }
};

/// Samples every 100 ms, asks once a second, with a round trip of 80 ms that is not even.
struct Lab {
  Primary primary;
  WalHistory history;
  LagJudge judge;
  std::function<StandbyWal(Instant)> standby;  ///< what it says when asked at that moment
  bool cut = false;                            ///< packets are dropped
  std::vector<LagRow> rows;                    ///< one for each reply
  std::vector<std::int64_t> errors_us;         ///< of each of them
  std::function<void(Instant, const LagRow&)> watch = [](Instant, const LagRow&) {};
  std::optional<StandbyWal> last;

  void run(int from_ms, int to_ms) {
    std::mt19937 random(11);  // NOLINT(bugprone-random-generator-seed): the same each time
    Instant reply_at = kForever;
    Instant read_at{};
    StandbyWal reply;
    for (int ms = from_ms; ms < to_ms; ms += 5) {
      const Instant now = at(ms);
      if (ms % 100 == 0) history.sample(1, lsn(primary.last(now).end), now);
      if (ms % 1000 == 35) {
        read_at = now + milliseconds(20 + random() % 41);
        reply = standby(read_at);
        reply.reported_at = now + milliseconds(40);
        reply.round_trip = milliseconds(80);
        reply_at = now + milliseconds(80);
      }
      const bool replied = now == reply_at && !cut;
      if (replied) last = reply;
      LagInput input = input_of(last.value_or(StandbyWal{}));
      if (!last) input.report.reset();
      if (!replied && ms % 100 != 50) continue;
      const LagRow row = judge.judge(input, history, now);
      watch(now, row);
      if (!replied) continue;
      rows.push_back(row);
      const std::int64_t truth =
          age(std::min(primary.passed(row.replay), read_at), read_at).count();
      errors_us.push_back(std::abs(row.replay_lag_us - truth));
    }
  }

  void expect_accurate(const char* what) {
    ASSERT_GT(errors_us.size(), 20U);
    std::sort(errors_us.begin(), errors_us.end());
    const auto p95 = errors_us[errors_us.size() * 95 / 100];
    std::printf("[    error ] %s: p95 %.0f ms, worst %.0f ms of %zu\n", what,
                static_cast<double>(p95) / 1e3, static_cast<double>(errors_us.back()) / 1e3,
                errors_us.size());
    EXPECT_LE(p95, 150000);
    EXPECT_LE(errors_us.back(), 300000);
  }
};

/// Replays each transaction's changes at once, and its commit when `delay` has passed.
StandbyWal delayed(const Primary& primary, Duration delay, Instant when) {
  const std::uint64_t received = primary.last(when - milliseconds(2)).end;
  const std::uint64_t done = primary.last(when - delay).end;
  StandbyWal wal = report_at(when, done == received ? done : done + Primary::kRecord - 40);
  wal.write = wal.flush = lsn(received);
  wal.apply_delay = delay;
  return wal;
}

TEST(LagTruth, OfAStandbyThatKeepsUp) {
  Lab lab;
  for (int ms = 0; ms < 60000; ms += 50) lab.primary.insert(at(ms));
  lab.standby = [&](Instant when) { return delayed(lab.primary, milliseconds(4), when); };
  lab.run(0, 60000);
  lab.expect_accurate("keeping up");
  EXPECT_EQ(lab.rows.back().cause, LagCause::none);
  EXPECT_FALSE(lab.rows.back().stale);
}

TEST(LagTruth, OfAnApplyDelay) {
  Lab lab;
  for (int ms = 3; ms < 300000; ms += 50) lab.primary.insert(at(ms));
  lab.standby = [&](Instant when) { return delayed(lab.primary, seconds(3), when); };
  lab.run(0, 300000);
  lab.expect_accurate("apply delay, 20 inserts/s");
  const LagRow& row = lab.rows.back();
  EXPECT_EQ(row.cause, LagCause::apply_delay);
  EXPECT_LE(row.since, at(6000));
  EXPECT_NEAR(static_cast<double>(row.replay_lag_us), 3e6, 150e3);
  EXPECT_LE(row.flush_lag_us, 150000);
  EXPECT_EQ(row.catch_up_in_us, kNoValue);
  EXPECT_NEAR(static_cast<double>(row.bytes_per_second), 4000.0, 400.0);
  EXPECT_LE(row.uncertainty_us, 150000);
}

TEST(LagTruth, OfBurstsAfterLongIdling) {
  for (const int apart : {30000, 33337, 600000}) {
    Lab lab;
    for (int start = 10000; start < 20 * apart; start += apart) {
      for (int ms = 0; ms < 5000; ms += 25) lab.primary.insert(at(start + ms));
    }
    lab.standby = [&](Instant when) { return delayed(lab.primary, seconds(3), when); };
    int zeros = 0;
    lab.watch = [&](Instant, const LagRow& row) { zeros += row.replay_lag_us == 0 ? 1 : 0; };
    lab.run(0, std::min(20 * apart, 2000000));
    lab.expect_accurate("apply delay, bursts after idling");
    EXPECT_GT(zeros, 100);
  }
}

TEST(LagTruth, OfAPausedReplay) {
  Lab lab;
  for (int ms = 0; ms < 10000; ms += 50) lab.primary.insert(at(ms));
  for (int ms = 30000; ms < 120000; ms += 50) lab.primary.insert(at(ms));
  // Paused at 20 s, while the primary idles: the first record that is not replayed comes at 30 s.
  lab.standby = [&](Instant when) {
    StandbyWal wal = delayed(lab.primary, milliseconds(4), when);
    wal.replay = std::min(wal.replay, lsn(lab.primary.last(at(20000)).end));
    wal.replay_paused = when >= at(20000);
    wal.apply_delay = {};
    return wal;
  };
  lab.run(0, 120000);
  lab.expect_accurate("replay paused");
  const LagRow* first = nullptr;
  for (const LagRow& row : lab.rows) {
    if (row.measured_at >= at(12000) && row.measured_at < at(29900)) {
      EXPECT_EQ(row.replay_lag_us, 0);
    }
    if (row.measured_at < at(30000)) continue;
    const auto from_begin = (row.measured_at - at(30000)).count();
    EXPECT_NEAR(static_cast<double>(row.replay_lag_us), static_cast<double>(from_begin), 150e3);
    if (first == nullptr) first = &row;
  }
  ASSERT_NE(first, nullptr);
  const LagRow& last = lab.rows.back();
  const double slope = static_cast<double>(last.replay_lag_us - first->replay_lag_us) /
                       static_cast<double>((last.measured_at - first->measured_at).count());
  EXPECT_NEAR(slope, 1.0, 0.02);
  EXPECT_EQ(last.cause, LagCause::replay_paused);
  EXPECT_GE(last.since, at(19000));
  EXPECT_LE(last.since, at(22000));
  EXPECT_EQ(last.catch_up_in_us, kNoValue);
}

TEST(LagTruth, OfDroppedPackets) {
  for (const bool idle : {true, false}) {
    Lab lab;
    if (!idle) {
      for (int ms = 0; ms < 60000; ms += 50) lab.primary.insert(at(ms));
    }
    lab.standby = [&](Instant when) { return delayed(lab.primary, milliseconds(4), when); };
    lab.run(0, 10000);
    ASSERT_FALSE(lab.rows.empty());
    EXPECT_FALSE(lab.rows.back().stale);
    lab.cut = true;
    std::int64_t before = -1;
    lab.watch = [&](Instant now, const LagRow& row) {
      ASSERT_GE(row.replay_lag_us, 0);
      if (now < at(12000)) return;  // twice the interval after the cut
      EXPECT_TRUE(row.stale);
      EXPECT_EQ(row.cause, LagCause::disconnected);
      EXPECT_EQ(row.catch_up_in_us, kNoValue);
      EXPECT_EQ(row.uncertainty_us, kNoValue);
      EXPECT_GE(row.replay_lag_us, (now - at(10000)).count());
      if (before >= 0) {
        EXPECT_EQ(row.replay_lag_us - before, 100000);  // 1 s per second
      }
      before = row.replay_lag_us;
    };
    lab.run(10000, 40000);
    lab.watch = [](Instant, const LagRow&) {};
    lab.cut = false;
    lab.run(40000, 45000);
    EXPECT_FALSE(lab.rows.back().stale);
    EXPECT_LE(lab.rows.back().replay_lag_us, 150000);
    EXPECT_EQ(lab.rows.back().cause, LagCause::none);
  }
}

TEST(LagTruth, OfANarrowLine) {
  Lab lab;  // writes 8000 bytes/s for 20 s; the line carries 5000
  for (int ms = 0; ms < 20000; ms += 25) lab.primary.insert(at(ms));
  lab.standby = [&](Instant when) {
    const auto carried = static_cast<std::uint64_t>(age(at(0), when).count()) * 5 / 1000;
    return report_at(when, std::min(1000 + carried, lab.primary.last(when).end));
  };
  lab.run(0, 20000);
  EXPECT_EQ(lab.rows.back().cause, LagCause::network);
  EXPECT_EQ(lab.rows.back().catch_up_in_us, kNoValue);  // it falls behind further and further
  EXPECT_LE(lab.rows.back().since, at(5000));
  lab.run(20000, 31000);
  const LagRow& row = lab.rows.back();  // 161 000 - 1000 - 5000 × 30.05 s are left
  EXPECT_EQ(row.cause, LagCause::network);
  EXPECT_NEAR(static_cast<double>(row.bytes_per_second), 5000.0, 100.0);
  EXPECT_NEAR(static_cast<double>(row.lag_bytes), 9700.0, 300.0);
  // Two seconds; more as long as the smoothed rate of the writing has not come down to zero.
  EXPECT_GE(row.catch_up_in_us, 1900000);
  EXPECT_LE(row.catch_up_in_us, 6000000);
  lab.run(31000, 40000);
  EXPECT_EQ(lab.rows.back().replay_lag_us, 0);
  EXPECT_EQ(lab.rows.back().lag_bytes, 0);
  EXPECT_EQ(lab.rows.back().catch_up_in_us, 0);
  lab.expect_accurate("a narrow line");
}

}  // namespace
}  // namespace pgfed::core
