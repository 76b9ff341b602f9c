#include "pgfed/core/lag_judge.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>

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

/// A primary that writes 10 bytes each 100 ms; at moment t its WAL ends at t/10ms + 1000.
struct Steady {
  WalHistory history;
  LagJudge judge;
  void until(int ms) {
    for (; sampled <= ms; sampled += 100) {
      history.sample(1, lsn(end(sampled)), at(sampled));
    }
  }
  static constexpr std::uint64_t end(int ms) { return 1000 + static_cast<std::uint64_t>(ms) / 10; }
  LagRow ask(const StandbyWal& wal) {
    return judge.judge(input_of(wal), history, wal.reported_at + milliseconds(40));
  }
  int sampled = 0;
};

TEST(LagJudge, KnowsNothingWithoutAReport) {
  LagJudge judge;
  WalHistory history;
  LagInput input = input_of({});
  input.report.reset();
  LagRow row = judge.judge(input, history, at(0));
  EXPECT_TRUE(row.stale);
  EXPECT_EQ(row.replay_lag_us, kNoValue);
  EXPECT_EQ(row.lag_bytes, kNoValue);
  EXPECT_FALSE(happened(row.measured_at));
  EXPECT_EQ(row.node, "raph");
  row = judge.judge(input_of(report_at(at(100), 1000)), history, at(140));  // nothing sampled
  EXPECT_TRUE(row.stale);
  EXPECT_EQ(row.replay_lag_us, kNoValue);
  EXPECT_EQ(row.replay, lsn(1000));
}

TEST(LagJudge, SaysSinceWhenAtLeastWhileTheHistoryIsShort) {
  Steady steady;
  steady.until(10000);
  const LagRow row = steady.ask(report_at(at(10000), 10));
  EXPECT_TRUE(row.stale);
  EXPECT_EQ(row.replay_lag_us, 10000000);
  EXPECT_EQ(row.uncertainty_us, kNoValue);
  EXPECT_EQ(row.lag_bytes, static_cast<std::int64_t>(Steady::end(10000) - 10));
  EXPECT_EQ(aged(row, at(11000)).replay_lag_us, 10000000);  // as measured, while it is fresh
  EXPECT_EQ(aged(row, at(13000)).replay_lag_us, 13000000);
}

TEST(LagJudge, MeasuresEachLeg) {
  Steady steady;
  steady.until(10000);
  StandbyWal wal = report_at(at(10000), Steady::end(2000));
  wal.flush = lsn(Steady::end(7000));
  wal.write = lsn(Steady::end(9000));
  wal.round_trip = milliseconds(80);
  const LagRow row = steady.ask(wal);
  EXPECT_EQ(row.write_lag_us, 1000000);
  EXPECT_EQ(row.flush_lag_us, 3000000);
  EXPECT_EQ(row.replay_lag_us, 8000000);
  EXPECT_EQ(row.lag_bytes, 800);
  EXPECT_EQ(row.uncertainty_us, 140000);  // a sample and half a round trip
  EXPECT_EQ(row.measured_at, at(10000));
  EXPECT_EQ(row.cause, LagCause::replay);
  EXPECT_FALSE(row.stale);
}

TEST(LagJudge, IgnoresReportsOutOfOrder) {
  Steady steady;
  steady.until(10000);
  EXPECT_EQ(steady.ask(report_at(at(9000), Steady::end(8000))).replay_lag_us, 1000000);
  EXPECT_EQ(steady.ask(report_at(at(8000), Steady::end(2000))).replay_lag_us, 1000000);
}

TEST(LagJudge, PutsPositionsInOrder) {
  Steady steady;
  steady.until(10000);
  StandbyWal wal = report_at(at(10000), Steady::end(9000));
  wal.flush = wal.write = lsn(10);  // replayed from the archive, nothing received
  const LagRow row = steady.ask(wal);
  EXPECT_EQ(row.write_lag_us, 1000000);
  EXPECT_EQ(row.flush_lag_us, 1000000);
  EXPECT_EQ(row.flush, row.replay);
  EXPECT_EQ(row.write, row.replay);
}

TEST(LagJudge, AtLeastNothingIsNoKnowledge) {
  WalHistory history;
  history.sample(1, lsn(1000), at(1000));
  LagJudge judge;  // asked just before the first sample
  const LagRow row = judge.judge(input_of(report_at(at(990), 900)), history, at(1030));
  EXPECT_TRUE(row.stale);
  EXPECT_EQ(row.replay_lag_us, kNoValue);
}

LagCause cause_for(const std::function<void(StandbyWal&)>& change) {
  Steady steady;
  steady.until(20000);
  StandbyWal wal = report_at(at(20000), Steady::end(10000));
  wal.write = wal.flush = lsn(Steady::end(20000));
  change(wal);
  return steady.ask(wal).cause;
}

TEST(LagJudge, NamesTheCause) {
  EXPECT_EQ(cause_for([](StandbyWal& wal) { wal.replay = wal.flush; }), LagCause::none);
  EXPECT_EQ(cause_for([](StandbyWal&) {}), LagCause::replay);
  EXPECT_EQ(cause_for([](StandbyWal& wal) { wal.replay_paused = true; }), LagCause::replay_paused);
  EXPECT_EQ(cause_for([](StandbyWal& wal) { wal.recovery_conflict = true; }),
            LagCause::recovery_conflict);
  EXPECT_EQ(cause_for([](StandbyWal& wal) { wal.delaying = true; }), LagCause::apply_delay);
  EXPECT_EQ(cause_for([](StandbyWal& wal) { wal.apply_delay = seconds(10); }),
            LagCause::apply_delay);
  // Ten seconds are more than the three that were asked for.
  EXPECT_EQ(cause_for([](StandbyWal& wal) { wal.apply_delay = seconds(3); }), LagCause::replay);
  EXPECT_EQ(cause_for([](StandbyWal& wal) { wal.flush = lsn(Steady::end(10000)); }),
            LagCause::flush);
  const auto unreceived = [](StandbyWal& wal) { wal.write = wal.flush = wal.replay; };
  EXPECT_EQ(cause_for(unreceived), LagCause::network);
  EXPECT_EQ(cause_for([&](StandbyWal& wal) {
              unreceived(wal);
              wal.writing = true;
            }),
            LagCause::write);
  EXPECT_EQ(cause_for([&](StandbyWal& wal) {
              unreceived(wal);
              wal.streaming = false;
            }),
            LagCause::disconnected);
}

TEST(LagJudge, DoesNotFlap) {
  Steady steady;
  LagRow row;
  // Around the threshold, and two legs that take turns in being a little larger.
  for (int i = 1; i <= 40; ++i) {
    const int ms = 1000 * i;
    steady.until(ms);
    StandbyWal wal = report_at(at(ms), Steady::end(ms - 10));
    if (i > 10) wal.replay = lsn(Steady::end(ms - (i % 2 == 0 ? 280 : 320)));
    if (i > 20) {
      wal.write = wal.flush = lsn(Steady::end(ms - (i % 2 == 0 ? 450 : 550)));
      wal.replay = lsn(Steady::end(ms - 1000));
    }
    row = steady.ask(wal);
    EXPECT_EQ(row.cause, i <= 21 ? LagCause::none : LagCause::replay) << i;
  }
  EXPECT_EQ(row.since, at(21000));  // the first report that showed it
  // A leg that stays a little larger is not enough; one that is clearly larger is, seen twice.
  for (int i = 41; i <= 60; ++i) {
    const int ms = 1000 * i;
    steady.until(ms);
    StandbyWal wal = report_at(at(ms), Steady::end(ms - 1000));
    wal.write = wal.flush = lsn(Steady::end(ms - (i < 50 ? 550 : 700)));
    row = steady.ask(wal);
    EXPECT_EQ(row.cause, i <= 50 ? LagCause::replay : LagCause::network) << i;
  }
  EXPECT_EQ(row.since, at(50000));
}

TEST(LagJudge, TellsWhereTheCutIs) {
  Steady steady;
  steady.until(1000);
  LagInput input = input_of(report_at(at(1000), Steady::end(1000)));
  EXPECT_EQ(steady.judge.judge(input, steady.history, at(1040)).cause, LagCause::none);
  input.attached = true;  // its upstream still streams to it: only we do not hear it
  LagRow row = steady.judge.judge(input, steady.history, at(9000));
  EXPECT_TRUE(row.stale);
  EXPECT_EQ(row.replay_lag_us, 8000000);
  EXPECT_EQ(row.cause, LagCause::none);
  input.attached = false;
  row = steady.judge.judge(input, steady.history, at(9000));
  EXPECT_EQ(row.cause, LagCause::disconnected);
  EXPECT_EQ(row.since, at(1000));
}

TEST(LagJudge, GrowsOnWithoutAPrimary) {
  Steady steady;
  steady.until(5000);
  LagInput input = input_of(report_at(at(5000), Steady::end(3000)));
  EXPECT_EQ(steady.judge.judge(input, steady.history, at(5040)).replay_lag_us, 2000000);
  input.primary_known = false;  // two of them are seen: nothing can be compared
  for (int ms = 6000; ms < 20000; ms += 1000) {
    input.report = report_at(at(ms), Steady::end(5000));
    const LagRow row = steady.judge.judge(input, steady.history, at(ms + 40));
    EXPECT_TRUE(row.stale);
    EXPECT_EQ(row.replay_lag_us, 2000000 + (ms + 40 - 5000) * 1000);
    EXPECT_EQ(row.measured_at, at(5000));
    EXPECT_EQ(row.replay, lsn(Steady::end(5000)));
  }
}

/// raph is promoted and measures don, which follows later: first on the old timeline.
TEST(LagJudge, StaysSaneOverAPromotion) {
  WalHistory history;  // raph's: received every 100 ms until 10 s, promoted at 12 s
  LagJudge judge;
  for (int ms = 0; ms < 12000; ms += 100) {
    history.sample(1, lsn(Steady::end(std::min(ms, 10000))), at(ms));
  }
  LagRow told;  // by the old primary
  told.replay_lag_us = told.write_lag_us = told.flush_lag_us = 50000;
  told.measured_at = told.as_of = at(9500);
  told.fresh_until = at(9501);
  judge.remember(told);
  LagInput input = input_of({});
  input.report.reset();
  LagRow row = judge.judge(input, history, at(10500));
  EXPECT_EQ(row.replay_lag_us, 1050000);  // grows on
  EXPECT_TRUE(row.stale);
  history.switched({1, 2, lsn(Steady::end(9990))});
  std::int64_t most = 0;
  for (int ms = 12000; ms < 30000; ms += 100) {
    history.sample(2, lsn(Steady::end(ms)), at(ms));
    if (ms % 1000 != 0) continue;
    StandbyWal wal = report_at(at(ms), Steady::end(9800));
    if (ms >= 14000) wal = report_at(at(ms), Steady::end(10000));  // all of 1, and a bit too much
    if (ms >= 16000) wal.received_timeline = 2;                    // receives, replays 1 still
    if (ms >= 16000) wal.write = wal.flush = lsn(Steady::end(ms));
    if (ms >= 18000) wal = report_at(at(ms), Steady::end(ms));
    if (ms >= 18000) wal.timeline = 2;
    input.report = wal;
    row = judge.judge(input, history, at(ms + 40));
    EXPECT_GE(row.replay_lag_us, 0);
    EXPECT_GE(row.write_lag_us, 0);
    EXPECT_LE(row.write_lag_us, row.replay_lag_us);
    EXPECT_LE(row.replay_lag_us, (ms + 40 - 9700) * 1000);
    EXPECT_EQ(row.stale, ms < 14000);  // behind the fork: a lower bound
    if (ms >= 16000) {
      EXPECT_LE(row.flush_lag_us, 100000);
    }
    if (ms >= 14000 && ms < 18000) {
      EXPECT_NEAR(static_cast<double>(row.replay_lag_us), (ms - 11900) * 1e3, 200e3);
    }
    most = std::max(most, row.replay_lag_us);
  }
  EXPECT_EQ(row.replay_lag_us, 0);
  EXPECT_EQ(row.lag_bytes, 0);
  EXPECT_GT(most, 5000000);
  // A report of a timeline that is not ours grows what was known last.
  StandbyWal strange = report_at(at(30000), 5);
  strange.timeline = 9;
  input.report = strange;
  row = judge.judge(input, history, at(30040));
  EXPECT_TRUE(row.stale);
  EXPECT_EQ(row.replay_lag_us, 1040000);
}

TEST(LagJudge, ForecastsWhenItHasCaughtUp) {
  Steady steady;  // the primary writes 100 bytes/s
  LagRow row;
  for (int i = 0; i <= 60; ++i) {
    const int ms = 100000 + 1000 * i;
    steady.until(ms);
    row = steady.ask(report_at(at(ms), Steady::end(0) + static_cast<std::uint64_t>(200 * i)));
  }
  EXPECT_NEAR(static_cast<double>(row.bytes_per_second), 200.0, 2.0);
  // 16 000 bytes are there, 12 000 replayed, 100 more each second than are written.
  EXPECT_EQ(row.lag_bytes, 4000);
  EXPECT_NEAR(static_cast<double>(row.catch_up_in_us), 40e6, 2e6);
}

TEST(LagRow, AgesAsOftenAsOneLikes) {
  LagRow row;
  row.stale = false;
  row.replay_lag_us = 5;
  row.measured_at = row.as_of = at(1000);
  row.fresh_until = at(3000);
  EXPECT_FALSE(aged(row, at(2999)).stale);
  EXPECT_EQ(aged(row, at(2999)).replay_lag_us, 5);
  const LagRow once = aged(row, at(7000));
  EXPECT_TRUE(once.stale);
  EXPECT_EQ(once.replay_lag_us, 6000005);
  EXPECT_EQ(once.write_lag_us, kNoValue);
  EXPECT_EQ(aged(aged(row, at(4000)), at(7000)).replay_lag_us, once.replay_lag_us);
  EXPECT_EQ(aged(once, at(6000)).replay_lag_us, once.replay_lag_us);  // never backwards
  LagRow told = second_hand(row, at(2500), seconds(2));
  EXPECT_FALSE(aged(told, at(4400)).stale);
  EXPECT_EQ(aged(told, at(4500)).replay_lag_us, 3500005);
  told = second_hand(once, at(7100), seconds(2));  // was stale when it was told
  EXPECT_TRUE(aged(told, at(7200)).stale);
  EXPECT_EQ(aged(told, at(7200)).replay_lag_us, 6200005);
}

/// Printed, not judged.
TEST(LagJudge, Cost) {
  Steady steady;
  steady.until(700000);
  constexpr int kTimes = 20000;
  const auto begin = std::chrono::steady_clock::now();
  std::int64_t sum = 0;
  for (int i = 0; i < kTimes; ++i) {
    sum += steady.ask(report_at(at(600000 + i), Steady::end(500000 + i))).replay_lag_us;
  }
  const auto spent = std::chrono::steady_clock::now() - begin;
  std::printf("[     cost ] a row of pgfed.lag: %.1f us\n",
              std::chrono::duration<double, std::micro>(spent).count() / kTimes);
  EXPECT_GT(sum, 0);
}

}  // namespace
}  // namespace pgfed::core
