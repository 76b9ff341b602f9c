#pragma once

#include <cstdint>
#include <string_view>

#include "pgfed/core/lsn.hpp"
#include "pgfed/core/text.hpp"
#include "pgfed/core/time.hpp"
#include "pgfed/pg/postgres_api.hpp"

/// From the core's types to SQL's. Everything here is in the Postgres regime.
namespace pgfed::pg {

/// A text of the core in this database's encoding (see to_database_encoding).
Datum text_datum(std::string_view text);

/// An interval of so many microseconds, whole days split off as a difference of timestamps has them.
Datum interval_datum(std::int64_t microseconds);

/// To the nearest millisecond.
std::int64_t round_to_milliseconds(std::int64_t microseconds);

/// A wall-clock time in seconds since 1970.
TimestampTz timestamp_of(std::int64_t seconds);

/// For what a reader must not believe any more: "the worker "pgfed" ... has been silent for 12 s".
core::DetailText silence_text(std::int64_t microseconds);

/// What the functions behind the views begin with: pgfed is loaded, and rows go into a tuplestore.
void begin_rows(FunctionCallInfo fcinfo);

/// Both clocks, read together, to show instants of the boot clock as points in time.
struct Clocks {
  core::Instant boot;
  TimestampTz wall = 0;

  static Clocks read();
  [[nodiscard]] std::int64_t age_us(core::Instant at) const { return core::age(at, boot).count(); }
  /// Truncated to milliseconds, since the two clocks cannot be read at the same moment.
  [[nodiscard]] TimestampTz wall_time(core::Instant at) const;
};

/// One row of a set-returning function, filled column by column in the order of its definition.
class Row {
 public:
  void add_null();
  void add(Datum value);
  void add_text(std::string_view text);
  /// NULL where it is empty.
  template <std::size_t N>
  void add_text_or_null(const core::Text<N>& text) {
    if (text.empty()) {
      add_null();
    } else {
      add_text(text.view());
    }
  }
  /// The word of one of the core's enumerations.
  template <typename Word>
  void add_word(Word value) {
    add_text(word(value));
  }
  void add_int(std::int32_t value) { add(Int32GetDatum(value)); }
  void add_bigint(std::int64_t value) { add(Int64GetDatum(value)); }
  void add_bool(bool value) { add(BoolGetDatum(value)); }
  /// NULL where it is invalid.
  void add_lsn(core::Lsn lsn);
  void add_interval(std::int64_t microseconds) { add(interval_datum(microseconds)); }
  void add_timestamp(TimestampTz value) { add(TimestampTzGetDatum(value)); }
  /// NULL where it never happened.
  void add_instant(core::Instant at, const Clocks& clocks);

  /// How long until then, in seconds since 1970, negative where it is past; NULL where it is 0, not
  /// known.
  void add_expiry(std::int64_t not_after, const Clocks& clocks);

  /// Appends the row to the result. An extension older than this library knows fewer columns: new
  /// ones are only ever added at the end, and left out there.
  void store(FunctionCallInfo fcinfo);

 private:
  static constexpr int kMaxColumns = 24;
  Datum values_[kMaxColumns] = {};
  bool nulls_[kMaxColumns] = {};
  int count_ = 0;
};

}  // namespace pgfed::pg
