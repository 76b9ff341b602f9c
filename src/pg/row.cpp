#include "pgfed/pg/row.hpp"

#include "pgfed/pg/boundary.hpp"
#include "pgfed/pg/shared_state.hpp"

namespace pgfed::pg {

Datum text_datum(std::string_view text) { return CStringGetTextDatum(to_database_encoding(text)); }

Datum interval_datum(std::int64_t microseconds) {
  auto* interval = static_cast<Interval*>(palloc0(sizeof(Interval)));
  interval->day = static_cast<int32>(microseconds / USECS_PER_DAY);
  interval->time = microseconds % USECS_PER_DAY;
  return IntervalPGetDatum(interval);
}

std::int64_t round_to_milliseconds(std::int64_t microseconds) {
  constexpr std::int64_t kMillisecond = 1000;
  const std::int64_t half = microseconds < 0 ? -kMillisecond / 2 : kMillisecond / 2;
  return (microseconds + half) / kMillisecond * kMillisecond;
}

TimestampTz timestamp_of(std::int64_t seconds) {
  constexpr std::int64_t kEpochDays = POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE;
  return (seconds - kEpochDays * SECS_PER_DAY) * USECS_PER_SEC;
}

core::DetailText silence_text(std::int64_t microseconds) {
  char text[96];
  std::snprintf(text, sizeof text, "the worker \"pgfed\" of this server has been silent for %lld s",
                static_cast<long long>(microseconds / USECS_PER_SEC));
  return {text};
}

void begin_rows(FunctionCallInfo fcinfo) {
  require_preload();
  InitMaterializedSRF(fcinfo, 0);
}

Clocks Clocks::read() {
  Clocks clocks;
  clocks.boot = boot_now();
  clocks.wall = GetCurrentTimestamp();
  return clocks;
}

TimestampTz Clocks::wall_time(core::Instant at) const {
  constexpr std::int64_t kMillisecond = 1000;
  const TimestampTz time = wall - age_us(at);
  return time - time % kMillisecond;
}

void Row::add_null() {
  Assert(count_ < kMaxColumns);
  nulls_[count_++] = true;
}

void Row::add(Datum value) {
  Assert(count_ < kMaxColumns);
  values_[count_++] = value;
}

void Row::add_text(std::string_view text) { add(text_datum(text)); }

void Row::add_lsn(core::Lsn lsn) {
  if (lsn.valid()) {
    add(LSNGetDatum(lsn.value));
  } else {
    add_null();
  }
}

void Row::add_instant(core::Instant at, const Clocks& clocks) {
  if (core::happened(at)) {
    add_timestamp(clocks.wall_time(at));
  } else {
    add_null();
  }
}

void Row::add_expiry(std::int64_t not_after, const Clocks& clocks) {
  if (not_after == 0) {
    add_null();
  } else {
    add_interval(round_to_milliseconds(timestamp_of(not_after) - clocks.wall));
  }
}

void Row::store(FunctionCallInfo fcinfo) {
  auto* result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
  if (result->setDesc->natts > count_) {
    ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                    errmsg("the extension pgfed wants more columns than its library has"),
                    errhint("Install a library at least as new as the extension, and restart.")));
  }
  tuplestore_putvalues(result->setResult, result->setDesc, values_, nulls_);
}

}  // namespace pgfed::pg
