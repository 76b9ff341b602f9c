#include "pgfed/core/slot_checks.hpp"

#include <gtest/gtest.h>

#include "slot_fixture.hpp"

namespace pgfed::core::slot_test {
namespace {

using std::chrono::minutes;

class SlotChecks : public testing::Test {
 protected:
  SlotChecks() {
    server.server_version = 170004;
    server.max_replication_slots_next = 20;
    server.max_slot_wal_keep_bytes = kGigabyte;
    bed.seen.wal = {kGigabyte, 50 * kGigabyte, 100 * kGigabyte};
    bed.cycle();
    bed.seen.now += seconds(10);
  }

  SlotFinding find(const char* name) {
    bed.observe();
    const auto findings = check_slots(bed.settings, bed.seen, bed.memory, server, holder);
    EXPECT_EQ(findings.size(), 6U);
    for (const SlotFinding& finding : findings) {
      if (std::string_view(finding.check) == name) return finding;
    }
    ADD_FAILURE() << "no check " << name;
    return {};
  }
  Slot& add_logical(const char* name) {
    Slot& slot = bed.add_slot(name, mb(990));
    slot.kind = SlotKind::logical;
    return slot;
  }

  SlotBed bed;
  SlotServer server;
  WalHolder holder;
};

void expect_ok(const SlotFinding& finding) {
  EXPECT_EQ(finding.status, Status::ok) << finding.detail;
  EXPECT_EQ(finding.detail, "");
  EXPECT_EQ(finding.hint, "");
}

TEST_F(SlotChecks, AreAllWellWhereAllIsWell) {
  bed.observe();
  for (const SlotFinding& finding :
       check_slots(bed.settings, bed.seen, bed.memory, server, holder)) {
    SCOPED_TRACE(finding.check);
    expect_ok(finding);
  }
}

// ---- slots -----------------------------------------------------------------------------------

TEST_F(SlotChecks, TellWhatHoldsMuch) {
  bed.seen.wal_end = mb(980 + 4096);
  EXPECT_EQ(find(check::kSlots).status, Status::warning);
  EXPECT_EQ(find(check::kSlots).detail, "slot \"pgfed_b\" holds 4096 MB of WAL (and 2 more)");
  bed.seen.wal_end = mb(980 + 4095);
  expect_ok(find(check::kSlots));
  bed.add_slot("unmanaged", mb(1));
  expect_ok(find(check::kSlots));
  bed.settings.retained_warning = kNoBytes;
  bed.seen.wal_end = mb(1000000);
  expect_ok(find(check::kSlots));
}

TEST_F(SlotChecks, TellWhatIsLostOrAboutToBe) {
  bed.slot("pgfed_b")->wal_status = WalStatus::lost;
  EXPECT_EQ(find(check::kSlots).status, Status::warning);
  EXPECT_NE(find(check::kSlots).hint.find("anew"), std::string::npos);
  bed.slot("pgfed_c")->wal_status = WalStatus::unreserved;
  EXPECT_EQ(find(check::kSlots).status, Status::critical);
  EXPECT_NE(find(check::kSlots).detail.find("(and 1 more)"), std::string::npos);
}

TEST_F(SlotChecks, TellWhatIsInTheWay) {
  bed.slot("pgfed_b")->kind = SlotKind::logical;
  EXPECT_EQ(find(check::kSlots).detail,
            "slot \"pgfed_b\" is logical, and in the way of that of node \"b\"");
  bed.slot("pgfed_b")->kind = SlotKind::physical;
  bed.slot("pgfed_b")->temporary = true;
  EXPECT_EQ(find(check::kSlots).detail,
            "slot \"pgfed_b\" is temporary, and in the way of that of node \"b\"");
  bed.slot("pgfed_b")->temporary = false;
  bed.slot("pgfed__rewind")->kind = SlotKind::logical;
  EXPECT_EQ(find(check::kSlots).detail,
            "slot \"pgfed__rewind\" is logical, and in the way of pgfed's own");
  bed.settings.manage = false;
  expect_ok(find(check::kSlots));
}

TEST_F(SlotChecks, TellWhatNobodyHas) {
  bed.add_slot("pgfed_stranger", mb(990));
  EXPECT_EQ(find(check::kSlots).detail,
            "slot \"pgfed_stranger\" is named as one of pgfed's, but no node has it");
  EXPECT_EQ(find(check::kSlots).hint,
            "If nobody needs it: SELECT pg_drop_replication_slot('pgfed_stranger').");
}

TEST_F(SlotChecks, TellWhatSomebodyElseUses) {
  bed.slot("pgfed_b")->active = true;
  expect_ok(find(check::kSlots));
  bed.hear_elsewhere("b", mb(999));
  EXPECT_EQ(find(check::kSlots).detail, "slot \"pgfed_b\" is in use, but not by node \"b\"");
}

// ---- limits and space ------------------------------------------------------------------------

TEST_F(SlotChecks, WantALimitThatIsOne) {
  server.max_slot_wal_keep_bytes = kNoBytes;
  EXPECT_EQ(find(check::kSlotLimit).status, Status::warning);
  // 1 GB in pg_wal and 50 GB free of 100 GB, of which 10 % stay free.
  EXPECT_EQ(find(check::kSlotLimit).hint,
            "ALTER SYSTEM SET max_slot_wal_keep_size = '41GB'; SELECT pg_reload_conf();");
  server.max_slot_wal_keep_bytes = 101 * kGigabyte;
  EXPECT_EQ(find(check::kSlotLimit).status, Status::warning);
  server.max_slot_wal_keep_bytes = 0;
  expect_ok(find(check::kSlotLimit));
  bed.seen.wal = WalDirectory{};
  server.max_slot_wal_keep_bytes = kNoBytes;
  EXPECT_EQ(find(check::kSlotLimit).status, Status::warning);
}

TEST_F(SlotChecks, WantSpace) {
  bed.seen.wal.free_bytes = 20 * kGigabyte;
  expect_ok(find(check::kWalSpace));
  bed.seen.wal.free_bytes = 19 * kGigabyte;
  EXPECT_EQ(find(check::kWalSpace).status, Status::warning);
  EXPECT_EQ(find(check::kWalSpace).detail,
            "19 % (19 GB) free where pg_wal lies; the oldest WAL is held by the last checkpoint");
  bed.seen.wal.free_bytes = 9 * kGigabyte;
  EXPECT_EQ(find(check::kWalSpace).status, Status::critical);
  bed.seen.wal = WalDirectory{};
  EXPECT_EQ(find(check::kWalSpace).status, Status::unknown);
}

TEST_F(SlotChecks, SayWhatToDoAboutEachHolder) {
  bed.seen.wal.free_bytes = 1;
  bed.add_slot("unmanaged", mb(1));
  const auto hint = [&](Holder kind, const char* slot) {
    holder = {kind, SlotName(slot), mb(1)};
    return find(check::kWalSpace).hint;
  };
  EXPECT_NE(hint(Holder::slot, "pgfed_b").find("pgfed.drop_slots()"), std::string::npos);
  EXPECT_NE(hint(Holder::slot, "unmanaged").find("pg_drop_replication_slot('unmanaged')"),
            std::string::npos);
  EXPECT_NE(hint(Holder::archiver, "").find("pg_stat_archiver"), std::string::npos);
  EXPECT_NE(hint(Holder::wal_keep_size, "").find("wal_keep_size = 0"), std::string::npos);
  EXPECT_NE(hint(Holder::summarizer, "").find("summarizer"), std::string::npos);
  EXPECT_NE(hint(Holder::checkpoint, "").find("CHECKPOINT"), std::string::npos);
}

// ---- the next start --------------------------------------------------------------------------

TEST_F(SlotChecks, WarnBeforeAStartWouldFail) {
  server.wal_level_next = WalLevel::minimal;
  EXPECT_EQ(find(check::kSlotRestart).status, Status::critical);
  EXPECT_NE(find(check::kSlotRestart).detail.find("wal_level = minimal"), std::string::npos);
  server.wal_level_next = WalLevel::replica;
  expect_ok(find(check::kSlotRestart));
  add_logical("sub");
  EXPECT_NE(find(check::kSlotRestart).detail.find("logical slot \"sub\""), std::string::npos);
  server.wal_level_next = WalLevel::logical;
  expect_ok(find(check::kSlotRestart));
  server.max_replication_slots_next = 3;
  EXPECT_EQ(find(check::kSlotRestart).status, Status::critical);
  EXPECT_NE(find(check::kSlotRestart).detail.find("there are 4 slots"), std::string::npos);
  bed.slot("sub")->temporary = true;  // not restored at a start
  expect_ok(find(check::kSlotRestart));
}

TEST_F(SlotChecks, WarnWhereThereIsNoRoom) {
  bed.seen.max_replication_slots = 3;
  expect_ok(find(check::kSlotRestart));
  bed.add_slot("other", mb(990));
  EXPECT_EQ(find(check::kSlotRestart).status, Status::warning);
  EXPECT_EQ(find(check::kSlotRestart).detail,
            "max_replication_slots = 3 leaves no room: 3 for the federation and 1 others");
  EXPECT_EQ(find(check::kSlotRestart).hint,
            "ALTER SYSTEM SET max_replication_slots = 6, and restart the server.");
  bed.settings.mode = Mode::observe;
  expect_ok(find(check::kSlotRestart));
  bed.settings.mode = Mode::active;
  bed.seen.wal_level_suffices = false;
  EXPECT_NE(find(check::kSlotRestart).detail.find("wal_level is minimal"), std::string::npos);
}

// ---- logical slots ---------------------------------------------------------------------------

TEST_F(SlotChecks, SayWhatToUseBeforeVersion17) {
  add_logical("sub");
  expect_ok(find(check::kLogicalSlots));
  server.server_version = 160002;
  EXPECT_EQ(find(check::kLogicalSlots).status, Status::warning);
  EXPECT_NE(find(check::kLogicalSlots).hint.find("pg_failover_slots"), std::string::npos);
  server.failover_extension = true;
  expect_ok(find(check::kLogicalSlots));
  server.failover_extension = false;
  bed.seen.role = Role::standby;
  expect_ok(find(check::kLogicalSlots));
}

TEST_F(SlotChecks, TellALostLogicalSlot) {
  add_logical("sub").invalidated = true;
  EXPECT_EQ(find(check::kLogicalSlots).status, Status::warning);
  expect_ok(find(check::kSlots));
}

TEST_F(SlotChecks, TellAStaleSlotOfAFormerPrimary) {
  bed.seen.role = Role::standby;
  add_logical("sub").failover = true;
  EXPECT_EQ(find(check::kLogicalSlots).status, Status::warning);
  EXPECT_EQ(find(check::kLogicalSlots).hint,
            "SELECT pg_drop_replication_slot('sub') on this node.");
  Slot there = *bed.slot("sub");
  server.primary_slots_known = true;
  server.primary_slots = {there};
  bed.slot("sub")->failover = false;  // made by hand, of the same name
  EXPECT_NE(find(check::kLogicalSlots).detail.find("no slot is synchronised"), std::string::npos);
  server.primary_slots.clear();
  expect_ok(find(check::kLogicalSlots));  // a logical slot of this standby's own
  server.server_version = 160000;
  bed.slot("sub")->failover = true;
  expect_ok(find(check::kLogicalSlots));
}

TEST_F(SlotChecks, SayWhyASlotIsNotSynchronised) {
  bed.seen.role = Role::standby;
  Slot there;
  there.name = "sub";
  there.kind = SlotKind::logical;
  there.failover = true;
  there.restart = mb(990);
  server.primary_slots = {there};
  expect_ok(find(check::kLogicalSlots));  // the primary has not said so yet
  server.primary_slots_known = true;
  const auto hint = [&] { return find(check::kLogicalSlots).hint; };
  EXPECT_NE(hint().find("sync_replication_slots = on"), std::string::npos);
  server.sync_replication_slots = true;
  EXPECT_NE(hint().find("hot_standby_feedback = on"), std::string::npos);
  server.hot_standby_feedback = true;
  EXPECT_NE(hint().find("pgfed.standby_settings('a')"), std::string::npos);
  server.primary_slot_name = true;
  EXPECT_NE(hint().find("dbname"), std::string::npos);
  server.primary_dbname = true;
  EXPECT_NE(hint().find("log"), std::string::npos);
  Slot& here = add_logical("sub");
  here.failover = here.synced = here.temporary = true;
  EXPECT_NE(find(check::kLogicalSlots).detail.find("not yet ready"), std::string::npos);
  here.temporary = false;
  expect_ok(find(check::kLogicalSlots));
  here.invalidated = true;
  EXPECT_NE(find(check::kLogicalSlots).detail.find("its copy is lost"), std::string::npos);
  server.upstream_is_primary = false;  // slots are synchronised from a primary only
  expect_ok(find(check::kLogicalSlots));
}

TEST_F(SlotChecks, GiveTheLineOfSynchronizedStandbySlots) {
  bed.slot("pgfed_b")->active = true;
  bed.slot("pgfed_c")->active = true;
  expect_ok(find(check::kSynchronizedSlots));  // no failover slots
  add_logical("sub").failover = true;
  EXPECT_EQ(find(check::kSynchronizedSlots).status, Status::warning);
  EXPECT_EQ(find(check::kSynchronizedSlots).hint,
            "ALTER SYSTEM SET synchronized_standby_slots = 'pgfed_b, pgfed_c'; SELECT "
            "pg_reload_conf();");
  server.synchronized_slots = {"pgfed_b", "pgfed_c"};
  expect_ok(find(check::kSynchronizedSlots));
  bed.slot("pgfed_c")->active = false;
  EXPECT_EQ(find(check::kSynchronizedSlots).status, Status::warning);
  EXPECT_EQ(find(check::kSynchronizedSlots).hint,
            "ALTER SYSTEM SET synchronized_standby_slots = 'pgfed_b'; SELECT pg_reload_conf();");
  server.synchronized_slots = {"pgfed_b", "gone"};
  EXPECT_EQ(find(check::kSynchronizedSlots).status, Status::critical);
  EXPECT_NE(find(check::kSynchronizedSlots).detail.find("not there"), std::string::npos);
  server.synchronized_slots = {"pgfed_b", "sub"};
  EXPECT_NE(find(check::kSynchronizedSlots).detail.find("no physical slot"), std::string::npos);
  server.server_version = 160000;
  expect_ok(find(check::kSynchronizedSlots));
}

}  // namespace
}  // namespace pgfed::core::slot_test
