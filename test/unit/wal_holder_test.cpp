#include "pgfed/core/wal_holder.hpp"

#include <gtest/gtest.h>

#include "slot_fixture.hpp"

namespace pgfed::core::slot_test {
namespace {

// ---- held_by ---------------------------------------------------------------------------------

class HeldBy : public testing::Test {
 protected:
  HeldBy() {
    wal.oldest = mb(160);
    wal.end = mb(1600);
    wal.redo = mb(1500);
  }
  void add_slot(const char* name, Lsn restart) {
    Slot slot;
    slot.name = name;
    slot.restart = restart;
    wal.slots.push_back(slot);
  }
  WalHolders wal;
};

TEST_F(HeldBy, IsTheCheckpointWhereNobodyNeedsTheOldest) {
  add_slot("x", mb(320));
  EXPECT_EQ(held_by(wal).holder, Holder::checkpoint);
  wal.oldest = mb(1488);
  wal.slots.clear();
  EXPECT_EQ(held_by(wal).holder, Holder::checkpoint);
  EXPECT_EQ(held_by(wal).from, mb(1500));
}

TEST_F(HeldBy, IsTheSlotThatIsFarthestBehind) {
  add_slot("x", mb(165));
  add_slot("y", mb(162));
  add_slot("gone", mb(1));
  wal.slots.back().wal_status = WalStatus::lost;
  add_slot("empty", Lsn{});
  const WalHolder holder = held_by(wal);
  EXPECT_EQ(holder.holder, Holder::slot);
  EXPECT_EQ(holder.slot, "y");
  EXPECT_EQ(word(holder.holder), "slot");
}

TEST_F(HeldBy, IsWalKeepSize) {
  wal.wal_keep_bytes = 1440LL << 20;
  EXPECT_EQ(held_by(wal).holder, Holder::wal_keep_size);
  EXPECT_EQ(held_by(wal).from, mb(160));
  wal.wal_keep_bytes = 100000LL << 20;  // more than there ever was
  EXPECT_EQ(held_by(wal).from, mb(16));
}

TEST_F(HeldBy, IsTheArchiverOrTheSummarizer) {
  wal.unarchived = mb(160);
  EXPECT_EQ(held_by(wal).holder, Holder::archiver);
  wal.unsummarized = mb(160);
  EXPECT_EQ(held_by(wal).holder, Holder::archiver);
  wal.unarchived = Lsn{};
  EXPECT_EQ(held_by(wal).holder, Holder::summarizer);
}

TEST_F(HeldBy, NamesTheSlotOnEqualTerms) {
  wal.unarchived = mb(160);
  add_slot("x", mb(175));  // in the same segment
  EXPECT_EQ(held_by(wal).holder, Holder::slot);
}

TEST_F(HeldBy, SaysWhatIsHeldOtherwiseThanBySlots) {
  add_slot("x", mb(160));
  EXPECT_EQ(held_otherwise(wal), Lsn{});
  wal.unarchived = mb(320);
  EXPECT_EQ(held_otherwise(wal), mb(320));
  wal.wal_keep_bytes = 1400LL << 20;
  EXPECT_EQ(held_otherwise(wal), mb(208));
  wal.unsummarized = mb(1);  // no longer there
  EXPECT_EQ(held_otherwise(wal), mb(160));
}

// ---- a new copy ------------------------------------------------------------------------------

TEST(NeedsNewCopy, OnlyWhereNobodyHasTheWal) {
  const std::uint64_t segment = std::uint64_t{16} << 20;
  const WalSource gone{true, TimelineHistory(2, {{1, mb(500)}}), mb(320)};
  WalSource has = gone;
  has.oldest = mb(304);
  WalSource unknown = gone;
  unknown.known = false;
  WalSource stranger = gone;
  stranger.history = TimelineHistory(3, {});
  const Lsn flush = mb(318);
  EXPECT_TRUE(needs_new_copy({1, Lsn{}, flush}, false, segment, {gone, gone}));
  EXPECT_FALSE(needs_new_copy({1, Lsn{}, flush}, true, segment, {gone, gone}));
  EXPECT_FALSE(needs_new_copy({1, Lsn{}, flush}, false, segment, {gone, has}));
  EXPECT_FALSE(needs_new_copy({1, Lsn{}, flush}, false, segment, {gone, unknown}));
  EXPECT_FALSE(needs_new_copy({1, Lsn{}, flush}, false, segment, {gone, stranger}));
  EXPECT_FALSE(needs_new_copy({1, Lsn{}, flush}, false, segment, {}));
  EXPECT_FALSE(needs_new_copy({0, Lsn{}, flush}, false, segment, {gone}));
  EXPECT_FALSE(needs_new_copy({1, Lsn{}, mb(320)}, false, segment, {gone}));
}

}  // namespace
}  // namespace pgfed::core::slot_test
