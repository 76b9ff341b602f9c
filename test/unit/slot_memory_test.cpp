#include "pgfed/core/slot_memory.hpp"

#include <gtest/gtest.h>

#include "slot_fixture.hpp"

namespace pgfed::core::slot_test {
namespace {

TEST(SlotMemory, IsBounded) {
  SlotBed bed;
  for (int i = 0; i < 3000; ++i) bed.add_slot("slot_" + std::to_string(i), mb(1));
  bed.observe();
  EXPECT_EQ(bed.memory.records().size(), SlotMemory::kMaxRecords);
  bed.seen.slots.clear();
  bed.observe();
  EXPECT_LT(bed.memory.records().size(), 10U);
}

}  // namespace
}  // namespace pgfed::core::slot_test
