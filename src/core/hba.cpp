#include "pgfed/core/hba.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "pgfed/core/ip_bytes.hpp"

namespace pgfed::core {

namespace {

/// Two ways in that matter here.
enum class Door { replication, exchange };
/// How one comes.
enum class Way { plain, tls };

bool lists(std::string_view lines, std::string_view wanted) {
  while (!lines.empty()) {
    const std::size_t end = lines.find('\n');
    if (lines.substr(0, end) == wanted) return true;
    lines = end == std::string_view::npos ? std::string_view{} : lines.substr(end + 1);
  }
  return false;
}

bool fits_way(const HbaRule& rule, Way way) {
  if (rule.type == "hostssl") return way == Way::tls;
  if (rule.type == "hostnossl") return way == Way::plain;
  // hostgssenc has GSSAPI's encryption, and does without TLS.
  return rule.type == "host" || rule.type == "hostnogssenc";
}

bool fits_door(const HbaRule& rule, Door door, const HbaAudience& audience) {
  // `all` leaves out physical replication.
  if (door == Door::replication) return lists(rule.databases, "replication");
  return lists(rule.databases, "all") || lists(rule.databases, audience.database) ||
         lists(rule.databases, "samerole") || lists(rule.databases, "samegroup") ||
         (lists(rule.databases, "sameuser") && audience.role == audience.database);
}

/// Groups (+role) and patterns (/regex, from 16 on) may well include whom they do not name.
bool has_pattern(std::string_view lines) {
  return lines.starts_with('+') || lines.starts_with('/') ||
         lines.find("\n+") != std::string_view::npos || lines.find("\n/") != std::string_view::npos;
}

bool for_everybody(const HbaRule& rule) { return lists(rule.users, "all"); }

/// Whether it lets in somebody who matters: any role may have the right to replicate, but only the
/// peers' role calls pgfed.exchange().
bool fits_users(const HbaRule& rule, Door door, const HbaAudience& audience) {
  return door == Door::replication || for_everybody(rule) || has_pattern(rule.users) ||
         (!audience.role.empty() && lists(rule.users, audience.role));
}

bool covers_users(const HbaRule& earlier, const HbaRule& later, Door door,
                  const HbaAudience& audience) {
  if (for_everybody(earlier)) return true;
  if (door == Door::exchange && !audience.role.empty() && lists(earlier.users, audience.role)) {
    return true;
  }
  return earlier.users == later.users;
}

bool bit(const IpBytes& address, std::size_t index) {
  return ((address.bytes.at(index / 8) >> (7 - index % 8)) & 1U) != 0;
}

/// The length of a prefix; -1: it is none.
int prefix_length(const IpBytes& mask) {
  std::size_t length = 0;
  while (length < mask.length * 8 && bit(mask, length)) ++length;
  for (std::size_t i = length; i < mask.length * 8; ++i) {
    if (bit(mask, i)) return -1;
  }
  return static_cast<int>(length);
}

struct Network {
  IpBytes address;
  int prefix = -1;  ///< -1: it is no network
};

Network network_of(const HbaRule& rule) {
  Network network;
  const IpBytes mask = ip_bytes(rule.netmask);
  network.address = ip_bytes(rule.address);
  if (!network.address.known() || mask.length != network.address.length) return network;
  network.prefix = prefix_length(mask);
  return network;
}

bool covers_address(const HbaRule& earlier, const HbaRule& later) {
  if (earlier.address == "all") return true;
  if (earlier.address == later.address && earlier.netmask == later.netmask) return true;
  const Network outer = network_of(earlier);
  const Network inner = network_of(later);
  if (outer.prefix < 0 || inner.prefix < outer.prefix ||
      outer.address.length != inner.address.length) {
    return false;
  }
  for (std::size_t i = 0; i < static_cast<std::size_t>(outer.prefix); ++i) {
    if (bit(outer.address, i) != bit(inner.address, i)) return false;
  }
  return true;
}

/// What comes from the machine itself needs no TLS, and the machine's own users are the server's
/// business.
bool is_local(const HbaRule& rule) {
  constexpr std::uint8_t kLoopback = 127;
  constexpr int kLoopbackPrefix = 8;
  constexpr int kWhole = 128;
  if (rule.type == "local" || rule.address == "samehost" || rule.address == "localhost")
    return true;
  const Network network = network_of(rule);
  if (network.address.length == 4) {
    return network.prefix >= kLoopbackPrefix && network.address.bytes[0] == kLoopback;
  }
  return network.address == ip_bytes("::1") && network.prefix == kWhole;
}

/// With clientcert=verify-full the certificate says who it is, whatever the method.
bool trusts(const HbaRule& rule) {
  return rule.method == "trust" && !lists(rule.options, "clientcert=verify-full");
}

std::string joined(std::string_view lines) {
  std::string text(lines);
  std::replace(text.begin(), text.end(), '\n', ',');
  return text;
}

std::string address_text(const HbaRule& rule) {
  std::string text(rule.address);
  if (rule.netmask.empty()) return text;
  const Network network = network_of(rule);
  return network.prefix >= 0 ? text + "/" + std::to_string(network.prefix)
                             : text + " " + std::string(rule.netmask);
}

std::string line_text(const HbaRule& rule) {
  // A path says little that its last part does not.
  std::string_view file = rule.file;
  if (const std::size_t slash = file.rfind('/'); slash != std::string_view::npos) {
    file = file.substr(slash + 1);
  }
  std::string text(rule.type);
  for (const std::string& field :
       {joined(rule.databases), joined(rule.users), address_text(rule), std::string(rule.method)}) {
    if (!field.empty()) text += " " + field;
  }
  return "line " + std::to_string(rule.line) + " of " + std::string(file) + ": " + in_quotes(text);
}

/// What one line lets in.
struct Verdict {
  bool plain = false;
  bool trusted = false;
};

Verdict judge(std::span<const HbaRule> rules, std::size_t at, const HbaAudience& audience) {
  Verdict verdict;
  const HbaRule& rule = rules[at];
  if (rule.method == "reject" || is_local(rule)) return verdict;
  for (const Door door : {Door::replication, Door::exchange}) {
    if (!fits_door(rule, door, audience) || !fits_users(rule, door, audience)) continue;
    for (const Way way : {Way::plain, Way::tls}) {
      if (!fits_way(rule, way)) continue;
      const auto caught = [&](const HbaRule& earlier) {
        return fits_way(earlier, way) && fits_door(earlier, door, audience) &&
               covers_users(earlier, rule, door, audience) && covers_address(earlier, rule);
      };
      if (std::any_of(rules.begin(), rules.begin() + static_cast<std::ptrdiff_t>(at), caught)) {
        continue;
      }
      verdict.plain = verdict.plain || way == Way::plain;
      verdict.trusted = verdict.trusted || trusts(rule);
    }
  }
  return verdict;
}

}  // namespace

std::vector<Problem> judge_hba(std::span<const HbaRule> rules, const HbaAudience& audience,
                               std::size_t most) {
  std::vector<Problem> trusting;
  std::vector<Problem> plain;
  for (std::size_t at = 0; at < rules.size(); ++at) {
    const Verdict verdict = judge(rules, at, audience);
    if (verdict.trusted) {
      trusting.push_back({ProblemKind::hba_trust, Status::critical,
                          DetailText("whoever asks is let in by " + line_text(rules[at]))});
    } else if (verdict.plain) {
      plain.push_back({ProblemKind::hba_without_tls, Status::warning,
                       DetailText("TLS is not required by " + line_text(rules[at]))});
    }
  }
  std::vector<Problem> problems = std::move(trusting);
  problems.insert(problems.end(), plain.begin(), plain.end());
  if (problems.size() > most) problems.resize(most);
  return problems;
}

}  // namespace pgfed::core
