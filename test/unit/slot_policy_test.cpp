#include "pgfed/core/slot_policy.hpp"

#include <gtest/gtest.h>

#include "slot_fixture.hpp"

namespace pgfed::core::slot_test {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using Deeds = std::vector<std::string>;

// ---- making ----------------------------------------------------------------------------------

TEST(SlotPolicy, MakesASlotForEachOtherNodeAndOneForRewind) {
  SlotBed bed;
  const SlotPlan plan = bed.plan();
  EXPECT_EQ(deeds(plan), (Deeds{"create pgfed_b", "create pgfed_c", "create pgfed__rewind"}));
  EXPECT_EQ(find_action(plan, "pgfed_b", SlotVerb::create)->owner, "b");
  EXPECT_TRUE(find_action(plan, "pgfed__rewind", SlotVerb::create)->owner.empty());
}

TEST(SlotPolicy, MakesTheSlotOfANodeOnceThatHasReported) {
  SlotBed bed;
  bed.forget_peer("c");
  const SlotPlan plan = bed.plan();
  EXPECT_EQ(deeds(plan), (Deeds{"create pgfed_b", "create pgfed__rewind"}));
  EXPECT_EQ(explanation(plan, "pgfed_c"), "made when c has reported");
}

TEST(SlotPolicy, MakesNoSlotForWhoHasNotBeenHeardForLong) {
  SlotBed bed;
  bed.seen.now += SlotPolicy::kFresh + seconds(1);
  bed.hear("b", mb(1000));
  EXPECT_EQ(deeds(bed.plan()), (Deeds{"create pgfed_b", "create pgfed__rewind"}));
}

TEST(SlotPolicy, MakesTheSlotOfANodeThatACopyIsMadeFor) {
  SlotBed bed;
  bed.forget_peer("b");
  bed.forget_peer("c");
  bed.peer("c").clone_asked = bed.seen.now;
  EXPECT_EQ(deeds(bed.plan()), (Deeds{"create pgfed_c"}));
}

TEST(SlotPolicy, NeedsNoRewindSlotAlone) {
  SlotBed bed;
  bed.remove_node("b");
  bed.remove_node("c");
  EXPECT_EQ(deeds(bed.plan()), Deeds{});
}

TEST(SlotPolicy, WritesNamesWithDashesAsPostgresWantsThem) {
  SlotBed bed;
  bed.add_node("d-1");
  bed.hear("d-1", mb(1000));
  EXPECT_NE(find_action(bed.plan(), "pgfed_d_1", SlotVerb::create), nullptr);
}

TEST(SlotPolicy, MakesAnewWhatWasDroppedByHand) {
  SlotBed bed;
  bed.cycle();
  std::erase_if(bed.seen.slots, [](const Slot& slot) { return slot.name == "pgfed_b"; });
  bed.seen.now += seconds(10);
  bed.hear("b", mb(1000));
  EXPECT_NE(find_action(bed.plan(), "pgfed_b", SlotVerb::create), nullptr);
}

TEST(SlotPolicy, SaysWhereThereIsNoRoom) {
  SlotBed bed;
  bed.seen.max_replication_slots = 2;
  bed.add_slot("somebody", mb(900));
  const SlotPlan plan = bed.plan();
  EXPECT_EQ(deeds(plan), (Deeds{"create pgfed_b"}));
  EXPECT_EQ(explanation(plan, "pgfed_c"),
            "cannot be made: all 2 replication slots (max_replication_slots) are in use");
}

TEST(SlotPolicy, SaysWhereWalLevelIsTooLow) {
  SlotBed bed;
  bed.seen.wal_level_suffices = false;
  const SlotPlan plan = bed.plan();
  EXPECT_EQ(deeds(plan), Deeds{});
  EXPECT_EQ(explanation(plan, "pgfed_b"), "cannot be made: wal_level is not replica or logical");
}

// ---- moving ----------------------------------------------------------------------------------

TEST(SlotPolicy, AdvancesToWhatTheOwnerHasFlushedElsewhere) {
  SlotBed bed = settled_bed();
  bed.observe();
  bed.seen.now += seconds(1);
  bed.hear_elsewhere("b", mb(995));
  const SlotPlan plan = bed.plan();
  const SlotAction* action = find_action(plan, "pgfed_b", SlotVerb::advance);
  ASSERT_NE(action, nullptr);
  EXPECT_EQ(action->lsn, mb(995));
  EXPECT_EQ(action->reason, "b has flushed 0/3E300000");
}

TEST(SlotPolicy, AdvancesAlsoWhereTheOwnerStreamsHereThroughAnotherSlot) {
  SlotBed bed = settled_bed();
  bed.observe();
  bed.seen.now += seconds(1);
  bed.hear("b", mb(995)).slot = "my_own";
  EXPECT_NE(find_action(bed.plan(), "pgfed_b", SlotVerb::advance), nullptr);
}

TEST(SlotPolicy, LeavesAloneWhatIsActive) {
  SlotBed bed = settled_bed();
  bed.slot("pgfed_b")->active = true;
  bed.observe();
  bed.seen.now += seconds(1);
  bed.hear("b", mb(995));
  const SlotPlan plan = bed.plan();
  EXPECT_EQ(explanation(plan, "pgfed_b"), "in use");
  EXPECT_EQ(find_action(plan, "pgfed_b", SlotVerb::advance), nullptr);
  EXPECT_EQ(find_action(plan, "pgfed_b", SlotVerb::touch), nullptr);
}

TEST(SlotPolicy, NeverMovesBackAndTouchesWhatStays) {
  SlotBed bed = settled_bed();
  bed.observe();
  bed.seen.now += seconds(1);
  bed.hear("b", mb(970));
  const SlotPlan plan = bed.plan();
  const SlotAction* action = find_action(plan, "pgfed_b", SlotVerb::touch);
  ASSERT_NE(action, nullptr);
  EXPECT_EQ(action->lsn, mb(980));
  EXPECT_NE(find_action(plan, "pgfed_c", SlotVerb::touch), nullptr);
  EXPECT_NE(find_action(plan, "pgfed__rewind", SlotVerb::touch), nullptr);
}

TEST(SlotPolicy, NeverMovesBeyondWhatAStandbyHasReplayed) {
  SlotBed bed = settled_bed();
  bed.seen.role = Role::standby;
  bed.seen.position = mb(985);
  bed.observe();
  bed.seen.now += seconds(1);
  bed.hear_elsewhere("b", mb(995));
  const SlotPlan plan = bed.plan();
  const SlotAction* action = find_action(plan, "pgfed_b", SlotVerb::advance);
  ASSERT_NE(action, nullptr);
  EXPECT_EQ(action->lsn, mb(985));
  EXPECT_EQ(action->reason, "b has flushed 0/3E300000, this node has replayed 0/3D900000");
}

TEST(SlotPolicy, NeverMovesBeyondWhatAPrimaryHasFlushed) {
  SlotBed bed = settled_bed();
  bed.observe();
  bed.seen.now += seconds(1);
  bed.hear("b", mb(1001));
  EXPECT_EQ(find_action(bed.plan(), "pgfed_b", SlotVerb::advance)->lsn, mb(1000));
}

TEST(SlotPolicy, CountsAnAncestorUpToTheFork) {
  SlotBed bed = settled_bed();
  bed.seen.history = TimelineHistory(2, {{1, mb(990)}});
  bed.observe();
  bed.seen.now += seconds(1);
  bed.hear_elsewhere("b", mb(985), 1);
  bed.hear_elsewhere("c", mb(999), 1);
  SlotPlan plan = bed.plan();
  EXPECT_EQ(find_action(plan, "pgfed_b", SlotVerb::advance)->lsn, mb(985));
  EXPECT_EQ(find_action(plan, "pgfed_c", SlotVerb::advance)->lsn, mb(990));
  EXPECT_EQ(find_action(plan, "pgfed_c", SlotVerb::advance)->reason,
            "c has flushed 0/3E700000, of which timeline 1 counts up to 0/3DE00000");
  bed.hear_elsewhere("b", mb(999), 2);
  EXPECT_EQ(find_action(bed.plan(), "pgfed_b", SlotVerb::advance)->lsn, mb(999));
}

TEST(SlotPolicy, CountsNoForeignTimeline) {
  SlotBed bed = settled_bed();
  bed.seen.history = TimelineHistory(3, {{1, mb(990)}});
  bed.observe();
  bed.seen.now += seconds(1);
  bed.hear_elsewhere("b", mb(999), 2);  // somebody else's timeline 2
  bed.hear_elsewhere("c", mb(999), 4);  // not followed yet
  const SlotPlan plan = bed.plan();
  EXPECT_EQ(find_action(plan, "pgfed_b", SlotVerb::touch)->reason,
            "kept: b is on timeline 2, which is no part of this node's history");
  EXPECT_NE(find_action(plan, "pgfed_c", SlotVerb::touch), nullptr);
}

TEST(SlotPolicy, MovesNothingWhileItsOwnTimelineIsUnknown) {
  SlotBed bed = settled_bed();
  bed.seen.history = TimelineHistory();
  bed.observe();
  bed.seen.now += seconds(1);
  bed.hear("b", mb(999), 0);
  bed.hear("c", mb(999), 1);
  EXPECT_EQ(deeds(bed.plan()), (Deeds{"touch pgfed__rewind", "touch pgfed_b", "touch pgfed_c"}));
}

TEST(SlotPolicy, KeepsTheLastWordOfWhoIsAway) {
  SlotBed bed = settled_bed();
  bed.observe();
  bed.seen.now += seconds(1);
  bed.hear_elsewhere("b", mb(995));
  bed.pass(hours(20));
  EXPECT_EQ(find_action(bed.plan(), "pgfed_b", SlotVerb::advance)->lsn, mb(995));
}

TEST(SlotPolicy, BelievesNoWordFromBeforeTheSlotWasThere) {
  SlotBed bed;  // b said 1000 MB before its slot was made at 980 MB
  bed.cycle();
  bed.seen.now += seconds(10);
  const SlotPlan plan = bed.plan();
  EXPECT_EQ(find_action(plan, "pgfed_b", SlotVerb::touch)->reason,
            "kept: b has not been heard since");
}

TEST(SlotPolicy, HoldsTheSlotOfACopyUntilTheCopyIsThere) {
  SlotBed bed = settled_bed();
  bed.observe();
  bed.seen.now += seconds(1);
  bed.hear("b", mb(981));
  bed.peer("b").clone_asked = bed.seen.now;
  bed.observe();
  bed.seen.now += seconds(1);
  bed.hear("b", mb(999));  // the old server of that name, still running
  EXPECT_EQ(find_action(bed.plan(), "pgfed_b", SlotVerb::touch)->reason,
            "kept: a copy for b is being made");
  bed.seen.now += minutes(30);
  bed.hear("b", mb(990)).incarnation = incarnation(2);
  EXPECT_EQ(find_action(bed.plan(), "pgfed_b", SlotVerb::advance)->lsn, mb(990));
}

TEST(SlotPolicy, GivesUpACopyAfterADay) {
  SlotBed bed = settled_bed();
  bed.peer("b").clone_asked = bed.seen.now;
  bed.observe();
  bed.seen.now += hours(25);
  bed.hear("b", mb(999));
  EXPECT_EQ(find_action(bed.plan(), "pgfed_b", SlotVerb::advance)->lsn, mb(999));
}

TEST(SlotPolicy, TouchesAlsoWhatIsAheadOfReplay) {
  // A cascaded standby had received more than this one has replayed.
  SlotBed bed = settled_bed();
  bed.seen.role = Role::standby;
  bed.seen.position = mb(970);
  bed.observe();
  bed.seen.now += seconds(1);
  bed.hear_elsewhere("b", mb(995));
  EXPECT_NE(find_action(bed.plan(), "pgfed_b", SlotVerb::touch), nullptr);
}

// ---- pgfed__rewind ---------------------------------------------------------------------------

TEST(SlotPolicy, RewindFollowsTheNewestCheckpointThatEverybodyHasReplayed) {
  SlotBed bed = settled_bed();
  bed.observe();
  bed.seen.checkpoint = {mb(1020), mb(1010), 1};
  bed.observe();
  bed.seen.checkpoint = {mb(1040), mb(1030), 1};
  bed.seen.position = bed.seen.wal_end = mb(1100);
  bed.seen.now += seconds(1);
  bed.hear("b", mb(1100));
  bed.hear("c", mb(1020));  // at its start: not replayed yet
  EXPECT_NE(find_action(bed.plan(), "pgfed__rewind", SlotVerb::touch), nullptr);
  bed.hear("c", mb(1021));
  EXPECT_EQ(find_action(bed.plan(), "pgfed__rewind", SlotVerb::advance)->lsn, mb(1010));
  bed.hear("c", mb(1041));
  EXPECT_EQ(find_action(bed.plan(), "pgfed__rewind", SlotVerb::advance)->lsn, mb(1030));
}

TEST(SlotPolicy, RewindWaitsForWhoIsAwayAndForWhoDiverged) {
  SlotBed bed = settled_bed();
  bed.observe();
  bed.seen.history = TimelineHistory(2, {{1, mb(1000)}});
  bed.seen.checkpoint = {mb(1020), mb(1010), 2};
  bed.seen.position = bed.seen.wal_end = mb(1100);
  bed.seen.now += seconds(1);
  bed.hear("b", mb(1100), 2);
  bed.hear("c", mb(1500), 1);  // the old primary: replayed a lot, but not of this
  EXPECT_NE(find_action(bed.plan(), "pgfed__rewind", SlotVerb::touch), nullptr);
  bed.hear("c", mb(1500), 7);
  EXPECT_NE(find_action(bed.plan(), "pgfed__rewind", SlotVerb::touch), nullptr);
  bed.seen.checkpoint = {mb(1060), mb(1050), 2};
  bed.pass(hours(12));
  EXPECT_NE(find_action(bed.plan(), "pgfed__rewind", SlotVerb::touch), nullptr);
}

TEST(SlotPolicy, RewindRemembersWhatWasSharedBeforeTheOtherWentItsOwnWay) {
  SlotBed bed = settled_bed();
  bed.observe();
  bed.seen.checkpoint = {mb(1020), mb(1010), 1};
  bed.seen.position = bed.seen.wal_end = mb(1100);
  bed.seen.now += seconds(1);
  bed.hear("b", mb(1100));
  bed.hear("c", mb(1030));
  bed.observe();
  bed.hear("c", mb(1090), 2).timeline_start = mb(1030);  // promoted
  EXPECT_EQ(find_action(bed.plan(), "pgfed__rewind", SlotVerb::advance)->lsn, mb(1010));
  // What was said before counts up to a fork that came later.
  bed.seen.history = TimelineHistory(3, {{1, mb(1015)}});
  EXPECT_NE(find_action(bed.plan(), "pgfed__rewind", SlotVerb::touch), nullptr);
  bed.seen.history = TimelineHistory(1, {});
  EXPECT_NE(find_action(bed.plan(), "pgfed__rewind", SlotVerb::advance), nullptr);
  // Another server of that name: what it shares is not known.
  bed.hear("c", mb(1090), 2).incarnation = incarnation(2);
  EXPECT_NE(find_action(bed.plan(), "pgfed__rewind", SlotVerb::touch), nullptr);
}

TEST(SlotPolicy, TellsTwoTimelinesOfOneNumberApart) {
  SlotBed bed = settled_bed();
  bed.seen.history = TimelineHistory(2, {{1, mb(990)}});
  bed.observe();
  bed.seen.now += seconds(1);
  bed.hear_elsewhere("b", mb(999), 2).timeline_start = mb(985);  // promoted apart from this one
  bed.hear_elsewhere("c", mb(999), 2).timeline_start = mb(990);
  const SlotPlan plan = bed.plan();
  EXPECT_NE(find_action(plan, "pgfed_b", SlotVerb::touch), nullptr);
  EXPECT_EQ(find_action(plan, "pgfed_c", SlotVerb::advance)->lsn, mb(999));
}

TEST(SlotPolicy, TakesWhatWasFlushedOnTheTimelineThatItWasFlushedOn) {
  // b replays timeline 1 still, and has received timeline 2 already; this one stays on 1.
  SlotBed bed = settled_bed();
  bed.observe();
  bed.seen.now += seconds(1);
  SlotPeer& b = bed.hear_elsewhere("b", mb(999), 1);
  b.flush_timeline = 2;
  b.flush_timeline_start = mb(985);
  EXPECT_EQ(find_action(bed.plan(), "pgfed_b", SlotVerb::touch)->reason,
            "kept: b is on timeline 2, which is no part of this node's history");
  bed.seen.history = TimelineHistory(2, {{1, mb(985)}});
  EXPECT_EQ(find_action(bed.plan(), "pgfed_b", SlotVerb::advance)->lsn, mb(999));
}

TEST(SlotPolicy, RewindForgetsItsOwnDivergedCheckpoints) {
  SlotBed bed = settled_bed();
  bed.observe();
  bed.seen.checkpoint = {mb(1020), mb(1010), 1};  // beyond the fork: rewound since
  bed.observe();
  bed.seen.history = TimelineHistory(2, {{1, mb(1000)}});
  bed.seen.position = bed.seen.wal_end = mb(1100);
  bed.seen.now += seconds(1);
  bed.hear("b", mb(1100), 2);
  bed.hear("c", mb(1100), 2);
  EXPECT_NE(find_action(bed.plan(), "pgfed__rewind", SlotVerb::touch), nullptr);
}

TEST(SlotPolicy, RewindWaitsADayForANameThatNeverCame) {
  SlotBed bed = settled_bed();
  bed.add_node("mistyped");
  bed.observe();
  bed.seen.checkpoint = {mb(1020), mb(1010), 1};
  bed.seen.position = bed.seen.wal_end = mb(1100);
  bed.pass(hours(23));
  bed.hear("b", mb(1100));
  bed.hear("c", mb(1100));
  EXPECT_EQ(find_action(bed.plan(), "pgfed__rewind", SlotVerb::touch)->reason,
            "kept: mistyped has not been heard");
  bed.pass(hours(2));
  EXPECT_NE(find_action(bed.plan(), "pgfed__rewind", SlotVerb::advance), nullptr);
}

TEST(SlotPolicy, RewindNoLongerWaitsForWhomItGaveUp) {
  SlotBed bed = settled_bed();
  bed.settings.retained_limit = 100LL << 20;
  bed.seen.checkpoint = {mb(1110), mb(1105), 1};
  bed.seen.position = bed.seen.wal_end = mb(1120);
  bed.pass(minutes(6));
  bed.hear("b", mb(1120));  // c is away since 1000 MB
  SlotPlan plan = bed.plan();
  EXPECT_EQ(find_action(plan, "pgfed__rewind", SlotVerb::drop)->cause, DropCause::retained);
  bed.execute(plan);
  bed.seen.now += seconds(10);
  plan = bed.plan();
  EXPECT_NE(find_action(plan, "pgfed__rewind", SlotVerb::create), nullptr);
  bed.execute(plan);
  bed.seen.checkpoint = {mb(1150), mb(1145), 1};
  bed.seen.position = bed.seen.wal_end = mb(1160);
  bed.seen.now += seconds(10);
  bed.hear("b", mb(1160));
  EXPECT_EQ(find_action(bed.plan(), "pgfed__rewind", SlotVerb::advance)->lsn, mb(1145));
  bed.hear("c", mb(1130));  // back, and beyond: it counts again
  EXPECT_NE(find_action(bed.plan(), "pgfed__rewind", SlotVerb::touch), nullptr);
}

// ---- xmin ------------------------------------------------------------------------------------

TEST(SlotPolicy, ClearsAStaleXminOnInactiveSlotsOnly) {
  SlotBed bed = settled_bed();
  bed.slot("pgfed_b")->xmin = true;
  bed.slot("pgfed_c")->xmin = true;
  bed.slot("pgfed_c")->active = true;
  bed.hear("b", mb(999));
  EXPECT_EQ(find_action(bed.plan(), "pgfed_b", SlotVerb::clear_xmin), nullptr);  // may come back
  bed.hear_elsewhere("b", mb(999));
  SlotPlan plan = bed.plan();
  EXPECT_NE(find_action(plan, "pgfed_b", SlotVerb::clear_xmin), nullptr);
  EXPECT_NE(find_action(plan, "pgfed_b", SlotVerb::touch), nullptr);
  EXPECT_EQ(find_action(plan, "pgfed_c", SlotVerb::clear_xmin), nullptr);
  bed.hear("b", mb(999));
  bed.pass(minutes(6));  // gone
  EXPECT_NE(find_action(bed.plan(), "pgfed_b", SlotVerb::clear_xmin), nullptr);
}

// ---- modes -----------------------------------------------------------------------------------

TEST(SlotPolicy, ObservePlansAndDoesNothing) {
  SlotBed bed;
  bed.settings.mode = Mode::observe;
  const SlotPlan plan = bed.plan();
  EXPECT_EQ(deeds(plan), (Deeds{"create pgfed_b", "create pgfed_c", "create pgfed__rewind"}));
  for (const SlotAction& action : plan.actions) EXPECT_TRUE(action.planned);
}

TEST(SlotPolicy, LeavingActiveDropsWhatNobodyUses) {
  for (const bool by_mode : {true, false}) {
    SlotBed bed = settled_bed();
    bed.slot("pgfed_b")->active = true;
    bed.add_slot("other", mb(1));
    bed.observe();
    if (by_mode) {
      bed.settings.mode = Mode::observe;
    } else {
      bed.settings.manage = false;
    }
    const SlotPlan plan = bed.plan();
    EXPECT_EQ(deeds(plan), (Deeds{"drop pgfed__rewind", "drop pgfed_c"}));
    EXPECT_EQ(plan.actions[0].cause, DropCause::leaving);
    EXPECT_FALSE(plan.actions[0].planned);
    EXPECT_EQ(explanation(plan, "pgfed_b"), "in use: stays");
    bed.execute(plan);
    bed.seen.now += seconds(10);
    // Once: what becomes inactive later is nobody's business any more.
    bed.plan();
    bed.slot("pgfed_b")->active = false;
    bed.seen.now += seconds(10);
    for (const SlotAction& action : bed.plan().actions) {
      EXPECT_TRUE(action.action != SlotVerb::drop || action.planned);
    }
    if (!by_mode) {
      EXPECT_EQ(bed.plan().actions[0].reason, "pgfed.manage_slots is off");
    }
  }
}

TEST(SlotPolicy, LeavingIsTriedForAMinute) {
  SlotBed bed = settled_bed();
  bed.observe();
  bed.settings.mode = Mode::off;
  EXPECT_FALSE(deeds(bed.plan()).empty());
  bed.pass(seconds(50));
  EXPECT_FALSE(deeds(bed.plan()).empty());
  bed.pass(seconds(20));
  EXPECT_EQ(bed.plan().actions[0].reason, "pgfed.mode is off");
}

TEST(SlotPolicy, DoesNothingBeforeItIsSettled) {
  SlotBed bed = settled_bed();
  bed.observe();
  bed.seen.settled = false;
  bed.seen.nodes.clear();
  bed.pass(hours(1));
  EXPECT_EQ(deeds(bed.plan()), Deeds{});
  // And has forgotten nothing meanwhile.
  EXPECT_EQ(bed.memory.find("pgfed_b")->owner, "b");
}

TEST(SlotPolicy, ARemovedStandbyLetsGoOfItsSlots) {
  SlotBed bed = settled_bed();
  bed.observe();
  bed.seen.role = Role::standby;
  bed.remove_node("a");
  bed.pass(minutes(6));
  EXPECT_EQ(deeds(bed.plan()), (Deeds{"drop pgfed__rewind", "drop pgfed_b", "drop pgfed_c"}));
}

TEST(SlotPolicy, AMistypedOwnNameDropsNothing) {
  SlotBed bed;
  bed.seen.role = Role::standby;
  bed.seen.self = "aa";
  bed.add_slot("pgfed_b", mb(500));
  bed.pass(hours(48));
  EXPECT_EQ(deeds(bed.plan()), Deeds{});
  EXPECT_EQ(bed.plan().actions[0].reason, "this node is not in pgfed.nodes");
}

TEST(SlotPolicy, PlansTheSameTwice) {
  SlotBed bed = settled_bed();
  bed.pass(minutes(6));
  bed.hear_elsewhere("b", mb(999));
  const SlotPlan first = bed.plan();
  std::reverse(bed.seen.slots.begin(), bed.seen.slots.end());
  std::reverse(bed.seen.nodes.begin(), bed.seen.nodes.end());
  std::reverse(bed.seen.peers.begin(), bed.seen.peers.end());
  EXPECT_EQ(bed.plan().actions, first.actions);
}

}  // namespace
}  // namespace pgfed::core::slot_test
