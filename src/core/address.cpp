#include "pgfed/core/address.hpp"

#include <algorithm>
#include <cstddef>

namespace pgfed::core {
namespace {

constexpr std::size_t kIpv4Octets = 4;
constexpr std::size_t kIpv6Groups = 8;
constexpr std::size_t kMaxGroupDigits = 4;
constexpr std::size_t kMaxZone = 15;  // IFNAMSIZ without its NUL

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex_digit(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/// Cuts off and returns what stands before the first `separator`; without one, everything.
std::string_view cut(std::string_view& text, char separator) {
  const std::size_t at = text.find(separator);
  const std::string_view head = text.substr(0, at);
  text = at == std::string_view::npos ? std::string_view{} : text.substr(at + 1);
  return head;
}

bool is_octet(std::string_view text) {
  if (text.empty() || text.size() > 3 || !std::all_of(text.begin(), text.end(), is_digit)) {
    return false;
  }
  if (text.size() > 1 && text[0] == '0') return false;
  int value = 0;
  for (const char c : text) value = value * 10 + (c - '0');
  return value <= 255;
}

bool is_zone(std::string_view text) {
  return !text.empty() && text.size() <= kMaxZone &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return is_digit(c) || is_letter(c) || c == '-' || c == '_' || c == '.';
         });
}

/// The groups of "1:2:3", where the last may be an IPv4 address, which counts for two; nothing
/// where it is not a list of groups. The empty text has none.
struct GroupCount {
  bool valid = true;
  std::size_t groups = 0;
};

GroupCount count_groups(std::string_view text, bool last_may_be_ipv4) {
  GroupCount count;
  if (text.empty()) return count;
  while (true) {
    const bool last = text.find(':') == std::string_view::npos;
    const std::string_view group = cut(text, ':');
    if (last && last_may_be_ipv4 && is_ipv4(group)) {
      count.groups += 2;
    } else if (!group.empty() && group.size() <= kMaxGroupDigits &&
               std::all_of(group.begin(), group.end(), is_hex_digit)) {
      count.groups += 1;
    } else {
      return {false, 0};
    }
    if (last) return count;
  }
}

bool is_number(std::string_view label) {
  if (label.empty()) return false;
  if (label.size() > 2 && label[0] == '0' && (label[1] == 'x' || label[1] == 'X')) {
    return std::all_of(label.begin() + 2, label.end(), is_hex_digit);
  }
  return std::all_of(label.begin(), label.end(), is_digit);
}

}  // namespace

bool is_ipv4(std::string_view text) {
  if (std::count(text.begin(), text.end(), '.') != kIpv4Octets - 1) return false;
  for (std::size_t i = 0; i < kIpv4Octets; ++i) {
    if (!is_octet(cut(text, '.'))) return false;
  }
  return true;
}

bool is_ipv6(std::string_view text) {
  if (const std::size_t percent = text.find('%'); percent != std::string_view::npos) {
    if (!is_zone(text.substr(percent + 1))) return false;
    text = text.substr(0, percent);
  }
  const std::size_t gap = text.find("::");
  if (gap == std::string_view::npos) {
    const GroupCount all = count_groups(text, true);
    return all.valid && all.groups == kIpv6Groups;
  }
  const GroupCount before = count_groups(text.substr(0, gap), false);
  const GroupCount after = count_groups(text.substr(gap + 2), true);
  return before.valid && after.valid && before.groups + after.groups < kIpv6Groups;
}

bool is_numeric(std::string_view text) {
  if (text.empty()) return false;
  while (true) {
    const bool last = text.find('.') == std::string_view::npos;
    if (!is_number(cut(text, '.'))) return false;
    if (last) return true;
  }
}

}  // namespace pgfed::core
