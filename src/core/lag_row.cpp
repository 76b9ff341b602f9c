#include "pgfed/core/lag_row.hpp"

#include <type_traits>

namespace pgfed::core {
namespace {

static_assert(std::is_trivially_copyable_v<LagRow> && std::is_standard_layout_v<LagRow>);

void grow(std::int64_t& lag_us, Duration by) {
  if (lag_us != kNoValue) lag_us += by.count();
}

}  // namespace

LagRow aged(LagRow row, Instant now) {
  if (now < row.fresh_until) return row;
  row.stale = true;
  // What was true of a rate is no longer known.
  row.bytes_per_second = kNoValue;
  row.catch_up_in_us = kNoValue;
  row.uncertainty_us = kNoValue;
  if (now <= row.as_of || !happened(row.as_of)) return row;
  const Duration passed = now - row.as_of;
  grow(row.write_lag_us, passed);
  grow(row.flush_lag_us, passed);
  grow(row.replay_lag_us, passed);
  row.as_of = now;
  return row;
}

LagRow second_hand(LagRow row, Instant heard_at, Duration freshness) {
  if (row.fresh_until > heard_at) row.fresh_until = heard_at + freshness;
  return row;
}

}  // namespace pgfed::core
