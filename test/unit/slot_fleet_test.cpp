#include "slot_fleet.hpp"

#include <gtest/gtest.h>

namespace pgfed::core::slot_test {
namespace {

/// 200 random steps: nothing that is needed is dropped or passed by, and at the end nothing has
/// leaked. A failure names the seed.
void play(std::uint64_t first, std::uint64_t count, Limits limits) {
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    Fleet fleet(seed, limits);
    for (int i = 0; i < 200 && fleet.trouble.empty(); ++i) fleet.step();
    if (fleet.trouble.empty()) fleet.settle();
    if (fleet.trouble.empty()) fleet.check_end();
    ASSERT_EQ(fleet.trouble, "") << "seed " << seed;
  }
}

TEST(SlotFleet, NeedsNothingThatIsGoneAndLeaksNothing) { play(1, 110, Limits::none); }
TEST(SlotFleet, WithALimitForEachSlot) { play(10001, 50, Limits::retained); }
TEST(SlotFleet, WithLittleSpace) { play(20001, 50, Limits::space); }

}  // namespace
}  // namespace pgfed::core::slot_test
