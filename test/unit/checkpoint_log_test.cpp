#include "pgfed/core/checkpoint_log.hpp"

#include <gtest/gtest.h>

#include "slot_fixture.hpp"

namespace pgfed::core::slot_test {
namespace {

TEST(CheckpointLog, KeepsTheOldestAndTheNewest) {
  CheckpointLog log;
  for (std::uint64_t i = 1; i <= 5000; ++i) log.note({mb(2 * i), mb(2 * i - 1), 1});
  EXPECT_LE(log.entries().size(), CheckpointLog::kCapacity);
  EXPECT_EQ(log.entries().front().record, mb(2));
  EXPECT_EQ(log.newest().record, mb(10000));
  log.note({mb(10000), mb(9999), 1});  // the same
  EXPECT_EQ(log.newest().record, mb(10000));
  log.note({mb(7), mb(6), 1});  // another data directory
  EXPECT_EQ(log.entries().size(), 1U);
  log.note({});
  EXPECT_EQ(log.entries().size(), 1U);
}

}  // namespace
}  // namespace pgfed::core::slot_test
