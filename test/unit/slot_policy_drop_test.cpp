#include <gtest/gtest.h>

#include "pgfed/core/slot_policy.hpp"

#include "slot_fixture.hpp"

namespace pgfed::core::slot_test {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using Deeds = std::vector<std::string>;

// ---- dropping --------------------------------------------------------------------------------

TEST(SlotPolicy, DropsTheSlotOfARemovedNodeAfterFiveMinutes) {
  SlotBed bed = settled_bed();
  bed.observe();
  bed.remove_node("c");
  EXPECT_EQ(explanation(bed.plan(), "pgfed_c"),
            "its node was removed: dropped after 5 min of inactivity");
  bed.pass(minutes(4));
  EXPECT_EQ(find_action(bed.plan(), "pgfed_c", SlotVerb::drop), nullptr);
  bed.pass(minutes(1));
  const SlotPlan plan = bed.plan();
  ASSERT_NE(find_action(plan, "pgfed_c", SlotVerb::drop), nullptr);
  EXPECT_EQ(find_action(plan, "pgfed_c", SlotVerb::drop)->cause, DropCause::unwanted);
  EXPECT_EQ(find_action(plan, "pgfed_c", SlotVerb::drop)->owner, "c");
  EXPECT_EQ(find_action(plan, "pgfed_b", SlotVerb::drop), nullptr);
}

TEST(SlotPolicy, DropsTheSlotOfANodeRemovedWhileStreamingOnceItStops) {
  SlotBed bed = settled_bed();
  bed.slot("pgfed_c")->active = true;
  bed.observe();
  bed.remove_node("c");
  bed.pass(hours(1));
  EXPECT_EQ(explanation(bed.plan(), "pgfed_c"),
            "its node was removed, but it is in use: dropped once it is released");
  bed.slot("pgfed_c")->active = false;
  bed.pass(minutes(4));
  EXPECT_EQ(find_action(bed.plan(), "pgfed_c", SlotVerb::drop), nullptr);
  bed.pass(minutes(2));
  EXPECT_NE(find_action(bed.plan(), "pgfed_c", SlotVerb::drop), nullptr);
}

TEST(SlotPolicy, CountsInactivityWithoutABreak) {
  SlotBed bed = settled_bed();
  bed.remove_node("c");
  for (int i = 0; i < 5; ++i) {  // reconnects every four minutes
    bed.pass(minutes(4));
    bed.slot("pgfed_c")->active = true;
    bed.pass(seconds(10));
    bed.slot("pgfed_c")->active = false;
    EXPECT_EQ(find_action(bed.plan(), "pgfed_c", SlotVerb::drop), nullptr);
  }
}

TEST(SlotPolicy, ABreakThatWasNotSeenShowsInThePosition) {
  SlotBed bed = settled_bed();
  bed.remove_node("c");
  bed.pass(minutes(4));
  bed.slot("pgfed_c")->restart = mb(999);
  bed.pass(minutes(4));
  EXPECT_EQ(find_action(bed.plan(), "pgfed_c", SlotVerb::drop), nullptr);
  bed.pass(minutes(1));
  EXPECT_NE(find_action(bed.plan(), "pgfed_c", SlotVerb::drop), nullptr);
}

TEST(SlotPolicy, ItsOwnMovesAreNoBreak) {
  SlotBed bed = settled_bed();
  for (int i = 0; i < 40; ++i) {
    bed.seen.now += seconds(10);
    bed.seen.position = bed.seen.wal_end = mb(1000 + i);
    bed.hear_elsewhere("b", mb(1000 + i));
    bed.cycle();
  }
  EXPECT_GE(age(bed.memory.find("pgfed_b")->inactive_since, bed.seen.now), minutes(5));
}

TEST(SlotPolicy, DropsItsOwnNamesSlot) {
  SlotBed bed;
  bed.add_slot("pgfed_a", mb(500));  // came with a copy
  bed.pass(minutes(6));
  const SlotPlan plan = bed.plan();
  ASSERT_NE(find_action(plan, "pgfed_a", SlotVerb::drop), nullptr);
  EXPECT_EQ(find_action(plan, "pgfed_a", SlotVerb::drop)->reason,
            "a node keeps no slot for itself");
}

TEST(SlotPolicy, NeverDropsWhatNobodyKnows) {
  SlotBed bed = settled_bed();
  bed.add_slot("pgfed_stranger", mb(1));
  bed.add_slot("other", mb(1));
  bed.settings.retained_limit = 1;
  bed.seen.wal = {1 << 20, 1, 1000};
  for (int i = 0; i < 20; ++i) {
    bed.pass(hours(2));
    bed.cycle();
  }
  EXPECT_NE(bed.slot("pgfed_stranger"), nullptr);
  EXPECT_NE(bed.slot("other"), nullptr);
  EXPECT_EQ(explanation(bed.plan(), "pgfed_stranger"),
            "no node that pgfed knows, or knew, has this slot: never touched");
}

TEST(SlotPolicy, NeverTouchesALogicalOrTemporarySlotOfTheName) {
  SlotBed bed;
  bed.add_slot("pgfed_b", mb(1)).kind = SlotKind::logical;
  bed.add_slot("pgfed_c", mb(1)).temporary = true;
  bed.add_slot("pgfed__rewind", mb(1)).kind = SlotKind::logical;
  bed.add_slot("pgfed_a", mb(1)).kind = SlotKind::logical;
  bed.pass(hours(48));
  bed.hear("b", mb(1000));
  bed.hear("c", mb(1000));
  const SlotPlan plan = bed.plan();
  EXPECT_EQ(deeds(plan), Deeds{});
  EXPECT_EQ(explanation(plan, "pgfed_b"), "a logical slot: not pgfed's, never touched");
  EXPECT_EQ(explanation(plan, "pgfed_c"), "a temporary slot of somebody's session: never touched");
  EXPECT_EQ(deeds(SlotPolicy::release(bed.seen, bed.memory)), Deeds{});
}

TEST(SlotPolicy, TakesOverAPhysicalSlotOfTheName) {
  SlotBed bed;
  bed.add_slot("pgfed_b", mb(500));
  bed.observe();
  bed.seen.now += seconds(1);
  bed.hear("b", mb(999));
  EXPECT_EQ(find_action(bed.plan(), "pgfed_b", SlotVerb::advance)->lsn, mb(999));
}

TEST(SlotPolicy, SaysWhereSomebodyElseUsesTheSlot) {
  SlotBed bed = settled_bed();
  bed.slot("pgfed_b")->active = true;
  bed.hear_elsewhere("b", mb(999));
  EXPECT_EQ(explanation(bed.plan(), "pgfed_b"), "in use, but not by b, which streams from z");
  bed.hear("b", mb(999)).slot = "my_own";
  EXPECT_EQ(explanation(bed.plan(), "pgfed_b"),
            "in use, but not by b, which streams through my_own");
  bed.peer("b").slot = "pgfed_b";
  EXPECT_EQ(explanation(bed.plan(), "pgfed_b"), "in use");
  bed.peer("b").role = Role::primary;
  EXPECT_EQ(explanation(bed.plan(), "pgfed_b"), "in use, but not by b, which is a primary");
}

TEST(SlotPolicy, MakesALostSlotAnew) {
  SlotBed bed = settled_bed();
  bed.slot("pgfed_b")->wal_status = WalStatus::lost;
  bed.slot("pgfed_b")->restart = Lsn{};
  bed.hear("b", mb(999));
  SlotPlan plan = bed.plan();
  EXPECT_EQ(deeds(plan)[0], "drop pgfed_b");
  EXPECT_EQ(deeds(plan)[1], "create pgfed_b");
  EXPECT_EQ(plan.actions[0].cause, DropCause::lost);
  bed.execute(plan);
  EXPECT_EQ(bed.slot("pgfed_b")->restart, mb(980));
}

TEST(SlotPolicy, DropsALostSlotOfWhoIsAwayAndMakesItWhenHeComes) {
  SlotBed bed = settled_bed();
  bed.pass(minutes(10));
  bed.slot("pgfed_b")->invalidated = true;  // 18: idle_timeout, its position is still shown
  SlotPlan plan = bed.plan();
  EXPECT_NE(find_action(plan, "pgfed_b", SlotVerb::drop), nullptr);
  EXPECT_EQ(find_action(plan, "pgfed_b", SlotVerb::create), nullptr);
  bed.execute(plan);
  bed.pass(minutes(10));
  EXPECT_EQ(find_action(bed.plan(), "pgfed_b", SlotVerb::create), nullptr);
  bed.hear("b", mb(999));
  EXPECT_NE(find_action(bed.plan(), "pgfed_b", SlotVerb::create), nullptr);
}

TEST(SlotPolicy, MakesALostRewindSlotAnew) {
  SlotBed bed = settled_bed();
  bed.slot("pgfed__rewind")->wal_status = WalStatus::lost;
  const SlotPlan plan = bed.plan();
  EXPECT_EQ(deeds(plan)[0], "drop pgfed__rewind");
  EXPECT_EQ(deeds(plan)[1], "create pgfed__rewind");
}

TEST(SlotPolicy, NeverTouchesAnActiveLostSlot) {
  SlotBed bed = settled_bed();
  bed.slot("pgfed_b")->wal_status = WalStatus::lost;
  bed.slot("pgfed_b")->active = true;
  EXPECT_EQ(explanation(bed.plan(), "pgfed_b"), "in use");
}

TEST(SlotPolicy, MakesAnewWhatReservesNothing) {
  SlotBed bed;
  bed.add_slot("pgfed_b", Lsn{});
  EXPECT_EQ(find_action(bed.plan(), "pgfed_b", SlotVerb::drop), nullptr);
  bed.pass(minutes(6));
  EXPECT_EQ(explanation(bed.plan(), "pgfed_b"),
            "it reserves no WAL; made anew when its owner is heard");
  bed.hear_elsewhere("b", mb(999));
  const SlotPlan plan = bed.plan();
  EXPECT_NE(find_action(plan, "pgfed_b", SlotVerb::drop), nullptr);
  EXPECT_NE(find_action(plan, "pgfed_b", SlotVerb::create), nullptr);
}

TEST(SlotPolicy, ReusesTheRoomOfWhatItDrops) {
  SlotBed bed = settled_bed();
  bed.seen.max_replication_slots = 3;
  bed.slot("pgfed_b")->wal_status = WalStatus::lost;
  bed.hear("b", mb(999));
  EXPECT_NE(find_action(bed.plan(), "pgfed_b", SlotVerb::create), nullptr);
}

TEST(SlotPolicy, DropsAfterADayWhatNobodyEverUsed) {
  SlotBed bed;
  bed.forget_peer("c");
  bed.peer("c").clone_asked = bed.seen.now;
  bed.cycle();
  ASSERT_NE(bed.slot("pgfed_c"), nullptr);
  bed.pass(hours(23));
  EXPECT_EQ(find_action(bed.plan(), "pgfed_c", SlotVerb::drop), nullptr);
  bed.pass(hours(2));
  const SlotPlan plan = bed.plan();
  ASSERT_NE(find_action(plan, "pgfed_c", SlotVerb::drop), nullptr);
  EXPECT_EQ(find_action(plan, "pgfed_c", SlotVerb::drop)->cause, DropCause::never_used);
  EXPECT_EQ(find_action(plan, "pgfed_b", SlotVerb::drop), nullptr);
  bed.execute(plan);
  bed.pass(hours(1));
  EXPECT_EQ(find_action(bed.plan(), "pgfed_c", SlotVerb::create), nullptr);  // the same old wish
  bed.peer("c").clone_asked = bed.seen.now;
  EXPECT_NE(find_action(bed.plan(), "pgfed_c", SlotVerb::create), nullptr);
}

TEST(SlotPolicy, WhoWasHeardIsNoMistake) {
  SlotBed bed = settled_bed();
  bed.observe();
  bed.seen.now += seconds(1);
  bed.hear("b", mb(985));
  bed.observe();
  bed.pass(hours(100));  // away for four days
  EXPECT_EQ(find_action(bed.plan(), "pgfed_b", SlotVerb::drop), nullptr);
}

TEST(SlotPolicy, WhatWasThereBeforeMayHaveBeenUsedForYears) {
  SlotBed bed;
  bed.forget_peer("c");
  bed.add_slot("pgfed_c", mb(500));
  bed.pass(hours(48));
  EXPECT_EQ(find_action(bed.plan(), "pgfed_c", SlotVerb::drop), nullptr);
}

TEST(SlotPolicy, KeepsItsMindOverARestart) {
  SlotBed bed;
  bed.forget_peer("c");
  bed.peer("c").clone_asked = bed.seen.now;
  bed.cycle();
  bed.observe();
  const std::vector<DurableSlot> durable = bed.memory.durable();
  bed.memory = SlotMemory();
  bed.memory.restore(durable, true, bed.seen.now);
  bed.peer("c").clone_asked = kNever;
  bed.remove_node("b");  // while this server was down
  bed.pass(hours(25));
  const SlotPlan plan = bed.plan();
  EXPECT_EQ(find_action(plan, "pgfed_b", SlotVerb::drop)->cause, DropCause::unwanted);
  EXPECT_EQ(find_action(plan, "pgfed_c", SlotVerb::drop)->cause, DropCause::never_used);
}

// ---- limits ----------------------------------------------------------------------------------

/// A bed that has had a checkpoint since: its slots hold WAL that would be free otherwise.
SlotBed bed_after_checkpoint() {
  SlotBed bed = settled_bed();
  bed.observe();
  bed.seen.checkpoint = {mb(996), mb(995), 1};
  return bed;
}

TEST(SlotPolicy, DropsNothingAtTheLimitThatHoldsNoMoreThanTheLastCheckpoint) {
  SlotBed bed = settled_bed();
  bed.settings.retained_limit = 10LL << 20;  // all hold 20 MB, and so does the checkpoint
  bed.pass(minutes(6));
  EXPECT_EQ(deeds(bed.plan()), (Deeds{"touch pgfed__rewind", "touch pgfed_b", "touch pgfed_c"}));
}

TEST(SlotPolicy, DropsAtTheLimitOnlyWhatIsDroppable) {
  SlotBed bed = bed_after_checkpoint();
  bed.settings.retained_limit = 10LL << 20;  // all hold 20 MB
  EXPECT_EQ(find_action(bed.plan(), "pgfed_b", SlotVerb::drop), nullptr);
  bed.slot("pgfed_c")->active = true;
  bed.pass(minutes(6));
  bed.hear("c", mb(1000));
  const SlotPlan plan = bed.plan();
  ASSERT_NE(find_action(plan, "pgfed_b", SlotVerb::drop), nullptr);
  EXPECT_EQ(find_action(plan, "pgfed_b", SlotVerb::drop)->reason,
            "holds 20 MB, pgfed.slot_retained_limit is 10 MB");
  EXPECT_EQ(find_action(plan, "pgfed_c", SlotVerb::drop), nullptr);
}

TEST(SlotPolicy, DropsNothingAtTheLimitWhoseOwnerStreamsHere) {
  SlotBed bed = bed_after_checkpoint();
  bed.settings.retained_limit = 10LL << 20;
  bed.pass(minutes(6));
  bed.hear("b", mb(985)).slot = "my_own";
  EXPECT_EQ(find_action(bed.plan(), "pgfed_b", SlotVerb::drop), nullptr);
}

TEST(SlotPolicy, AdvancesRatherThanDrops) {
  SlotBed bed = bed_after_checkpoint();
  bed.settings.retained_limit = 10LL << 20;
  bed.pass(minutes(6));
  bed.hear_elsewhere("b", mb(999));
  const SlotPlan plan = bed.plan();
  EXPECT_EQ(find_action(plan, "pgfed_b", SlotVerb::drop), nullptr);
  EXPECT_EQ(find_action(plan, "pgfed_b", SlotVerb::advance)->lsn, mb(999));
}

TEST(SlotPolicy, MakesAnewWhatItDroppedAtTheLimitOnceThatHelps) {
  SlotBed bed = bed_after_checkpoint();
  bed.settings.retained_limit = 10LL << 20;
  bed.pass(minutes(6));
  bed.cycle();
  ASSERT_EQ(bed.slot("pgfed_b"), nullptr);
  bed.seen.now += seconds(10);
  bed.hear_elsewhere("b", mb(994));  // needs WAL from before the checkpoint
  EXPECT_EQ(find_action(bed.plan(), "pgfed_b", SlotVerb::create), nullptr);
  EXPECT_EQ(explanation(bed.plan(), "pgfed_b"),
            "made when b is heard again, with what can be streamed to it");
  bed.hear_elsewhere("b", mb(1500), 9);
  EXPECT_EQ(find_action(bed.plan(), "pgfed_b", SlotVerb::create), nullptr);
  bed.hear_elsewhere("b", mb(995));
  EXPECT_NE(find_action(bed.plan(), "pgfed_b", SlotVerb::create), nullptr);
}

/// Ten percent free at the limit of ten: 1 000 000 MB in all.
WalDirectory disk(std::int64_t per_mille_free) {
  return {100, per_mille_free << 20, std::int64_t{1000} << 20};
}

TEST(SlotPolicy, MakesSpaceWithTheOneThatHoldsMost) {
  SlotBed bed = settled_bed();
  bed.slot("pgfed_b")->restart = mb(800);
  bed.slot("pgfed_c")->restart = mb(700);
  bed.pass(minutes(6));
  bed.seen.wal = disk(100);
  EXPECT_EQ(find_action(bed.plan(), "pgfed_c", SlotVerb::drop), nullptr);
  bed.seen.wal = disk(99);
  SlotPlan plan = bed.plan();
  EXPECT_EQ(deeds(plan)[0], "drop pgfed_c");
  EXPECT_EQ(plan.actions[0].cause, DropCause::space);
  EXPECT_TRUE(plan.checkpoint_wanted);
  EXPECT_EQ(find_action(plan, "pgfed_b", SlotVerb::drop), nullptr);
  bed.execute(plan);
  // The next only after a checkpoint has freed what that one held.
  bed.seen.now += seconds(10);
  plan = bed.plan();
  EXPECT_EQ(find_action(plan, "pgfed_b", SlotVerb::drop), nullptr);
  EXPECT_EQ(explanation(plan, "pgfed_b"),
            "free space is below pgfed.wal_free_limit; waiting for the checkpoint that frees what "
            "was dropped");
  bed.seen.checkpoint = {mb(1000), mb(999), 1};
  EXPECT_NE(find_action(bed.plan(), "pgfed_b", SlotVerb::drop), nullptr);
}

TEST(SlotPolicy, DoesNotWaitForACheckpointForEver) {
  SlotBed bed = settled_bed();
  bed.slot("pgfed_b")->restart = mb(800);
  bed.slot("pgfed_c")->restart = mb(700);
  bed.pass(minutes(6));
  bed.seen.wal = disk(99);
  bed.cycle();
  bed.seen.now += seconds(10);
  bed.seen.wal = disk(49);  // less than half of the limit
  EXPECT_NE(find_action(bed.plan(), "pgfed_b", SlotVerb::drop), nullptr);
  bed.seen.wal = disk(99);
  bed.pass(minutes(5));
  EXPECT_NE(find_action(bed.plan(), "pgfed_b", SlotVerb::drop), nullptr);
}

TEST(SlotPolicy, WhatIsDroppedHoldsNothingAnyMore) {
  SlotBed bed = settled_bed();
  bed.slot("pgfed_b")->restart = mb(800);
  bed.slot("pgfed_c")->restart = mb(700);
  bed.observe();
  bed.remove_node("c");
  bed.pass(minutes(6));
  bed.seen.wal = disk(99);  // what goes anyhow may be enough
  EXPECT_EQ(deeds(bed.plan()), (Deeds{"drop pgfed_c", "touch pgfed__rewind", "touch pgfed_b"}));
  bed.seen.wal = disk(1);
  EXPECT_EQ(deeds(bed.plan()), (Deeds{"drop pgfed_c", "drop pgfed_b", "touch pgfed__rewind"}));
}

TEST(SlotPolicy, SacrificesNothingWhereThatFreesNothing) {
  SlotBed bed = settled_bed();
  bed.slot("pgfed_b")->restart = mb(800);
  bed.add_slot("unmanaged", mb(600));
  bed.pass(minutes(6));
  bed.seen.wal = disk(10);
  SlotPlan plan = bed.plan();
  EXPECT_EQ(find_action(plan, "pgfed_b", SlotVerb::drop), nullptr);
  EXPECT_NE(explanation(plan, "pgfed_b").find("would free nothing"), std::string::npos);
  bed.slot("unmanaged")->wal_status = WalStatus::lost;
  EXPECT_NE(find_action(bed.plan(), "pgfed_b", SlotVerb::drop), nullptr);
  bed.seen.held_otherwise = mb(810);  // the archiver: less than a segment to be gained
  EXPECT_EQ(find_action(bed.plan(), "pgfed_b", SlotVerb::drop), nullptr);
  bed.seen.held_otherwise = Lsn{};
  bed.slot("pgfed_c")->restart = mb(700);
  bed.slot("pgfed_c")->active = true;
  EXPECT_EQ(find_action(bed.plan(), "pgfed_b", SlotVerb::drop), nullptr);
}

TEST(SlotPolicy, NeedsNoSpaceWhereItsSizeIsUnknown) {
  SlotBed bed = settled_bed();
  bed.slot("pgfed_b")->restart = mb(1);
  bed.pass(minutes(6));
  bed.seen.wal = WalDirectory{};
  EXPECT_EQ(find_action(bed.plan(), "pgfed_b", SlotVerb::drop), nullptr);
  bed.seen.wal = disk(0);
  bed.settings.wal_free_limit = 0;
  EXPECT_EQ(find_action(bed.plan(), "pgfed_b", SlotVerb::drop), nullptr);
}

}  // namespace
}  // namespace pgfed::core::slot_test
