#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "pgfed/core/lsn.hpp"

namespace pgfed::core {

/// Where a server's history left one of the timelines that it came through.
struct TimelineEnd {
  std::uint32_t timeline = 0;
  Lsn end;  ///< the fork: WAL of this timeline counts up to here
  bool operator==(const TimelineEnd&) const = default;
};

/// How far somebody has come, and on which timeline.
struct TimelinePoint {
  std::uint32_t timeline = 0;
  /// Where that left its parent; zero: not known, or it has none. Tells timelines of one number
  /// apart: two servers that are promoted apart from each other give theirs the same.
  Lsn start;
  Lsn lsn;
  bool operator==(const TimelinePoint&) const = default;
};

/// The timelines that a server's data came through: those of its timeline's history file, and the
/// one that it is on.
class TimelineHistory {
 public:
  TimelineHistory() = default;
  TimelineHistory(std::uint32_t current, std::vector<TimelineEnd> ancestors)
      : current_(current), ancestors_(std::move(ancestors)) {}

  /// Reads the text of `pg_wal/0000000N.history`; nothing where a line is not of its form. Timeline
  /// 1 has no such file: hand in an empty text.
  static std::optional<TimelineHistory> parse(std::uint32_t current, std::string_view text);

  [[nodiscard]] std::uint32_t current() const { return current_; }
  [[nodiscard]] const std::vector<TimelineEnd>& ancestors() const { return ancestors_; }

  /// How much of this history somebody has who has come there: no more than up to the fork where
  /// his timeline is an ancestor; nothing where it is no part of this history, so that nobody can
  /// say how far the two go together.
  [[nodiscard]] std::optional<Lsn> reach(const TimelinePoint& point) const;
  /// Where the current timeline left its parent; zero where it has none.
  [[nodiscard]] Lsn start() const { return ancestors_.empty() ? Lsn{} : ancestors_.back().end; }

 private:
  std::uint32_t current_ = 0;  ///< 0: not known
  std::vector<TimelineEnd> ancestors_;
};

}  // namespace pgfed::core
