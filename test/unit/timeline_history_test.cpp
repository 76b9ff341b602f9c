#include "pgfed/core/timeline_history.hpp"

#include <gtest/gtest.h>

namespace pgfed::core {
namespace {

TEST(TimelineHistory, ReadsAHistoryFile) {
  const auto history = TimelineHistory::parse(
      3, "1\t0/3000000\tno recovery target specified\n\n# a comment\n2\t0/5000000\tbefore\r\n");
  ASSERT_TRUE(history);
  EXPECT_EQ(history->reach({1, Lsn{}, Lsn{0x2000000}}), Lsn{0x2000000});
  EXPECT_EQ(history->reach({1, Lsn{}, Lsn{0x4000000}}), Lsn{0x3000000});
  EXPECT_EQ(history->reach({2, Lsn{}, Lsn{0x6000000}}), Lsn{0x5000000});
  EXPECT_EQ(history->reach({3, Lsn{}, Lsn{0x6000000}}), Lsn{0x6000000});
  EXPECT_FALSE(history->reach({4, Lsn{}, Lsn{0x6000000}}));
  EXPECT_FALSE(history->reach({0, Lsn{}, Lsn{0x6000000}}));
  EXPECT_FALSE(history->reach({3, Lsn{}, Lsn{}}));
  EXPECT_EQ(history->start(), Lsn{0x5000000});
  EXPECT_TRUE(TimelineHistory::parse(1, ""));
}

TEST(TimelineHistory, TellsTimelinesOfOneNumberApart) {
  const TimelineHistory history(3, {{1, Lsn{100}}, {2, Lsn{200}}});
  EXPECT_EQ(history.reach({3, Lsn{200}, Lsn{300}}), Lsn{300});
  EXPECT_FALSE(history.reach({3, Lsn{190}, Lsn{300}}));
  EXPECT_EQ(history.reach({2, Lsn{100}, Lsn{300}}), Lsn{200});
  EXPECT_FALSE(history.reach({2, Lsn{90}, Lsn{300}}));
  EXPECT_EQ(history.reach({1, Lsn{}, Lsn{300}}), Lsn{100});
}

TEST(TimelineHistory, RefusesWhatIsNone) {
  for (const char* text : {"x\t0/1\t", "1\t", "1\tnonsense\t", "3\t0/1\t", "2\t0/1\t\n1\t0/2\t",
                           "0\t0/1\t", "1x\t0/1\t"}) {
    EXPECT_FALSE(TimelineHistory::parse(3, text)) << text;
  }
}

}  // namespace
}  // namespace pgfed::core
