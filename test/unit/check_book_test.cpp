#include "pgfed/core/check_book.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace pgfed::core {
namespace {

class CheckBookTest : public ::testing::Test {
 protected:
  struct Wanted {
    const char* name;
    const char* node;
    Status status;
    const char* detail = "it is so";
    const char* hint = "Do that.";
  };
  bool round(const std::vector<Wanted>& rows) {
    now += seconds(1);
    actions.clear();
    book.begin();
    for (const Wanted& row : rows) {
      book.write(row.name, row.node, row.status, row.detail, row.hint);
    }
    return book.end(now, actions);
  }
  std::vector<std::string> events() const {
    std::vector<std::string> found;
    for (const Action& action : actions) {
      const auto& record = std::get<Record>(action);
      EXPECT_EQ(record.event, "check");
      found.push_back(record.node.str() + " " + record.detail.str());
    }
    return found;
  }
  const CheckRow& only() const { return book.rows().at(0); }

  CheckBook book;
  Actions actions;
  Instant now{seconds(1000)};
};

TEST_F(CheckBookTest, SortsByNodeThenName) {
  round({{check::kPeer, "pit", Status::ok},
         {check::kLag, "pit", Status::ok},
         {check::kPrimary, "", Status::ok},
         {check::kPeer, "ait", Status::ok}});
  std::string order;
  for (const CheckRow& row : book.rows()) order += row.node.str() + "/" + row.name.str() + " ";
  EXPECT_EQ(order, "/primary ait/peer pit/lag pit/peer ");
  EXPECT_EQ(book.about("pit").size(), 2U);
  EXPECT_EQ(book.about("ait").size(), 1U);
  EXPECT_EQ(book.about("").size(), 1U);
  EXPECT_EQ(book.about("leo").size(), 0U);
  EXPECT_EQ(book.about("zeus").size(), 0U);
}

TEST_F(CheckBookTest, AnOkNeedsNoWords) {
  round({{check::kLag, "pit", Status::ok}});
  EXPECT_TRUE(only().detail.empty());
  EXPECT_TRUE(only().hint.empty());
  round({{check::kLag, "pit", Status::warning}});
  EXPECT_EQ(only().detail, "it is so");
  EXPECT_EQ(only().hint, "Do that.");
}

TEST_F(CheckBookTest, SinceStaysWhileTheStatusDoes) {
  round({{check::kLag, "pit", Status::warning, "11.0 s behind"}});
  const Instant began = now;
  round({{check::kLag, "pit", Status::warning, "12.0 s behind"}});
  EXPECT_EQ(only().since, began);
  EXPECT_EQ(only().detail, "12.0 s behind");
  round({{check::kLag, "pit", Status::critical}});
  EXPECT_EQ(only().since, now);
}

TEST_F(CheckBookTest, RowsNotWrittenAgainAreGone) {
  round({{check::kLag, "pit", Status::warning}, {check::kLag, "ait", Status::ok}});
  round({{check::kLag, "ait", Status::ok}});
  EXPECT_EQ(book.rows().size(), 1U);
  round({});
  EXPECT_TRUE(book.rows().empty());
}

TEST_F(CheckBookTest, TellsOfAChangeOnce) {
  round({{check::kLag, "pit", Status::ok}});
  EXPECT_TRUE(events().empty());
  round({{check::kLag, "pit", Status::warning, "11.0 s behind"}});
  EXPECT_EQ(events(), std::vector<std::string>{"pit lag: ok to warning: 11.0 s behind"});
  EXPECT_EQ(std::get<Record>(actions[0]).severity, Severity::warning);
  round({{check::kLag, "pit", Status::warning, "12.0 s behind"}});
  EXPECT_TRUE(events().empty());
  round({{check::kLag, "pit", Status::critical, "61.0 s behind"}});
  EXPECT_EQ(std::get<Record>(actions.at(0)).severity, Severity::critical);
  round({{check::kLag, "pit", Status::ok}});
  EXPECT_EQ(events(), std::vector<std::string>{"pit lag: critical to ok"});
  EXPECT_EQ(std::get<Record>(actions[0]).severity, Severity::info);
}

TEST_F(CheckBookTest, TellsOfWhatBeginsBadly) {
  round({{check::kCatalog, "leo", Status::critical, "no extension"}});
  EXPECT_EQ(events(), std::vector<std::string>{"leo catalog: ok to critical: no extension"});
}

TEST_F(CheckBookTest, NotKnowingIsNoNews) {
  round({{check::kLag, "pit", Status::unknown}});
  EXPECT_TRUE(events().empty());
  round({{check::kLag, "pit", Status::ok}});
  EXPECT_TRUE(events().empty());
}

/// Said by node_state, quarantine and two_primaries already.
TEST_F(CheckBookTest, WhatHasAnEventOfItsOwnIsNotToldTwice) {
  round({{check::kPeer, "pit", Status::critical},
         {check::kReplication, "pit", Status::critical},
         {check::kIdentity, "leo", Status::critical},
         {check::kPrimary, "leo", Status::critical},
         {check::kPrimary, "", Status::critical}});
  EXPECT_TRUE(events().empty());
}

TEST_F(CheckBookTest, SaysWhetherAnythingChanged) {
  EXPECT_TRUE(round({{check::kLag, "pit", Status::unknown}}));
  EXPECT_FALSE(round({{check::kLag, "pit", Status::unknown, "other words"}}));
  EXPECT_TRUE(round({{check::kLag, "pit", Status::ok}}));
  EXPECT_TRUE(round({{check::kLag, "ait", Status::ok}}));
  EXPECT_FALSE(round({{check::kLag, "ait", Status::ok}}));
  EXPECT_TRUE(round({}));
  EXPECT_FALSE(round({}));
}

TEST_F(CheckBookTest, KeepsNeighboursApart) {
  round({{check::kLag, "ait", Status::warning}, {check::kPeer, "pit", Status::ok}});
  const Instant began = now;
  round({{check::kLag, "a", Status::ok},
         {check::kLag, "ait", Status::warning},
         {check::kLag, "pit", Status::warning},
         {check::kPeer, "pit", Status::ok}});
  EXPECT_EQ(events().size(), 1U);
  EXPECT_EQ(book.about("ait")[0].since, began);
  EXPECT_EQ(book.about("pit")[0].since, now);
  EXPECT_EQ(book.about("pit")[1].since, began);
}

}  // namespace
}  // namespace pgfed::core
