#include "pgfed/core/lag_status.hpp"

#include <gtest/gtest.h>

namespace pgfed::core {
namespace {

constexpr Instant at(int s) { return Instant(seconds(1000 + s)); }

/// Thresholds 10 s and 60 s, interval 1 s: as the settings' defaults are.
const JudgedBy& by() {
  static const JudgedBy judged_by;
  return judged_by;
}

struct Book {
  LagStatus status;
  int changes = 0;

  Status say(int at_s, Duration lag, bool stale = false) {
    const Status before = status.status();
    const auto transition = status.update(lag, stale, by(), at(at_s));
    EXPECT_EQ(transition.has_value(), before != status.status());
    if (transition) {
      ++changes;
      EXPECT_EQ(transition->from, before);
      EXPECT_EQ(transition->to, status.status());
      EXPECT_EQ(transition->at, at(at_s));
      EXPECT_EQ(transition->lag, lag);
      EXPECT_EQ(status.since(), at(at_s));
    }
    return status.status();
  }
};

TEST(LagStatus, BeginsUnknown) {
  LagStatus status;
  EXPECT_EQ(status.status(), Status::unknown);
  EXPECT_FALSE(status.update(std::nullopt, true, by(), at(0)));
  EXPECT_EQ(status.since(), at(0));
  EXPECT_TRUE(status.update(seconds(0), false, by(), at(1)));
  EXPECT_EQ(status.status(), Status::ok);
}

TEST(LagStatus, EntersAtTheThreshold) {
  Book book;
  EXPECT_EQ(book.say(0, seconds(0)), Status::ok);
  EXPECT_EQ(book.say(1, milliseconds(9999)), Status::ok);
  EXPECT_EQ(book.say(2, seconds(10)), Status::warning);
  EXPECT_EQ(book.say(3, milliseconds(59999)), Status::warning);
  EXPECT_EQ(book.say(4, seconds(60)), Status::critical);
  Book jump;
  EXPECT_EQ(jump.say(0, seconds(3600)), Status::critical);
}

TEST(LagStatus, LeavesBelowFourFifthsAfterTwoIntervals) {
  Book book;
  book.say(0, seconds(10));
  EXPECT_EQ(book.say(1, seconds(9)), Status::warning);
  EXPECT_EQ(book.say(10, seconds(8)), Status::warning);  // 80 % is not below 80 %
  EXPECT_EQ(book.say(20, milliseconds(7999)), Status::warning);
  EXPECT_EQ(book.say(21, seconds(0)), Status::warning);
  EXPECT_EQ(book.say(22, seconds(0)), Status::ok);
}

TEST(LagStatus, StaysWhereItWasNotBelowAllTheTime) {
  Book book;
  book.say(0, seconds(10));
  for (int s = 1; s < 100; s += 2) {
    EXPECT_EQ(book.say(s, seconds(1)), Status::warning);
    EXPECT_EQ(book.say(s + 1, seconds(9)), Status::warning);
  }
  EXPECT_EQ(book.changes, 1);
}

TEST(LagStatus, ComesDownStepByStep) {
  Book book;
  EXPECT_EQ(book.say(0, seconds(100)), Status::critical);
  EXPECT_EQ(book.say(1, seconds(30)), Status::critical);
  EXPECT_EQ(book.say(3, seconds(30)), Status::warning);
  EXPECT_EQ(book.say(4, seconds(1)), Status::warning);
  EXPECT_EQ(book.say(6, seconds(1)), Status::ok);
  EXPECT_EQ(book.changes, 3);
  Book at_once;
  at_once.say(0, seconds(100));
  at_once.say(1, seconds(0));
  EXPECT_EQ(at_once.say(3, seconds(0)), Status::ok);
}

TEST(LagStatus, AStaleLagIsNoRecovery) {
  Book book;
  book.say(0, seconds(20));
  for (int s = 1; s < 10; ++s) EXPECT_EQ(book.say(s, seconds(3), true), Status::warning);
  EXPECT_EQ(book.say(10, seconds(60), true), Status::critical);  // but it can be a problem
  EXPECT_EQ(book.say(11, seconds(0)), Status::critical);
  EXPECT_EQ(book.say(12, seconds(0), true), Status::critical);  // the patience begins again
  EXPECT_EQ(book.say(13, seconds(0)), Status::critical);
  EXPECT_EQ(book.say(15, seconds(0)), Status::ok);
}

TEST(LagStatus, RemembersItsLevelWhileNothingIsKnown) {
  Book book;
  book.say(0, seconds(20));
  EXPECT_TRUE(book.status.update(std::nullopt, true, by(), at(1)));
  EXPECT_EQ(book.status.status(), Status::unknown);
  EXPECT_EQ(book.say(2, seconds(9)), Status::warning);
}

}  // namespace
}  // namespace pgfed::core
