#include "pgfed/core/timeline_history.hpp"

#include <algorithm>
#include <charconv>

namespace pgfed::core {

namespace {

/// More than a cluster lives through; a file with more is not taken for a history.
constexpr std::size_t kMaxAncestors = 4096;

std::string_view take_word(std::string_view& line) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  std::size_t start = 0;
  while (start < line.size() && blank(line[start])) ++start;
  std::size_t end = start;
  while (end < line.size() && !blank(line[end])) ++end;
  const std::string_view found = line.substr(start, end - start);
  line.remove_prefix(end);
  return found;
}

}  // namespace

std::optional<TimelineHistory> TimelineHistory::parse(std::uint32_t current,
                                                      std::string_view text) {
  std::vector<TimelineEnd> ancestors;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::string_view number = take_word(line);
    if (number.empty() || number.front() == '#') continue;
    TimelineEnd entry;
    const auto read = std::from_chars(number.data(), number.data() + number.size(), entry.timeline);
    const auto lsn = parse_lsn(take_word(line));
    if (read.ec != std::errc() || read.ptr != number.data() + number.size() || !lsn ||
        entry.timeline == 0 || entry.timeline >= current || ancestors.size() >= kMaxAncestors ||
        (!ancestors.empty() && ancestors.back().timeline >= entry.timeline)) {
      return std::nullopt;
    }
    entry.end = *lsn;
    ancestors.push_back(entry);
  }
  return TimelineHistory(current, std::move(ancestors));
}

std::optional<Lsn> TimelineHistory::reach(const TimelinePoint& point) const {
  if (point.timeline == 0 || current_ == 0 || !point.lsn.valid()) return std::nullopt;
  const auto same = [&](Lsn own_start) {
    return !point.start.valid() || !own_start.valid() || point.start == own_start;
  };
  Lsn own_start;
  for (const TimelineEnd& ancestor : ancestors_) {
    if (ancestor.timeline == point.timeline) {
      if (!same(own_start)) return std::nullopt;
      return std::min(point.lsn, ancestor.end);
    }
    own_start = ancestor.end;
  }
  if (point.timeline != current_ || !same(own_start)) return std::nullopt;
  return point.lsn;
}

}  // namespace pgfed::core
