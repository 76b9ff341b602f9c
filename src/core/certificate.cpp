#include "pgfed/core/certificate.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include "pgfed/core/ip_bytes.hpp"

namespace pgfed::core {
namespace {

constexpr std::size_t kMaxDnsName = 255;
constexpr std::int64_t kMinute = 60;
constexpr std::int64_t kHour = 60 * kMinute;
constexpr std::int64_t kDay = 24 * kHour;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same_name(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

/// One star as the whole left-most label, in place of one label of the host.
bool wildcard_matches(std::string_view pattern, std::string_view host) {
  if (pattern.size() < 3 || !pattern.starts_with("*.") || pattern.size() > host.size()) {
    return false;
  }
  if (!same_name(pattern.substr(1), host.substr(host.size() - pattern.size() + 1))) return false;
  return host.find('.') >= host.size() - pattern.size();
}

bool name_matches(std::string_view name, std::string_view host) {
  return same_name(name, host) || wildcard_matches(name, host);
}

bool holds_nul(std::string_view name) { return name.find('\0') != std::string_view::npos; }

/// A name for a message: printable, not longer than a name can be.
std::string shown(std::string_view name) {
  std::array<char, kMaxDnsName> buffer{};
  std::string text(buffer.data(), copy_printable(name, buffer.data(), buffer.size()));
  if (holds_nul(name)) text += " (with a NUL byte)";
  return text;
}

std::string two_digits(std::int64_t number) {
  return (number < 10 ? "0" : "") + std::to_string(number);
}

std::string count_of(std::int64_t number, const char* unit) {
  return std::to_string(number) + " " + unit + (number == 1 ? "" : "s");
}

std::string span_text(std::int64_t seconds) {
  if (seconds >= 2 * kDay) return count_of(seconds / kDay, "day");
  if (seconds >= 2 * kHour) return count_of(seconds / kHour, "hour");
  if (seconds >= kMinute) return count_of(seconds / kMinute, "minute");
  return count_of(seconds, "second");
}

std::int64_t seconds_in(Duration duration) {
  return std::chrono::duration_cast<std::chrono::seconds>(duration).count();
}

}  // namespace

std::string Fingerprint::hex() const {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  if (!known()) return text;
  for (const std::uint8_t byte : bytes) {
    text += kDigits[byte >> 4U];
    text += kDigits[byte & 0xFU];
  }
  return text;
}

std::string utc_text(std::int64_t seconds_since_1970) {
  // What a certificate can say (years 0000 to 9999); the number may also have come over the wire.
  constexpr std::int64_t kFirst = -62167219200;
  constexpr std::int64_t kLast = 253402300799;
  const std::int64_t when = std::clamp(seconds_since_1970, kFirst, kLast);
  std::int64_t days = when / kDay;
  std::int64_t rest = when % kDay;
  if (rest < 0) {
    rest += kDay;
    --days;
  }
  const std::chrono::year_month_day date{
      std::chrono::sys_days(std::chrono::days(static_cast<int>(days)))};
  std::string year = std::to_string(static_cast<int>(date.year()));
  if (year.size() < 4) year.insert(0, 4 - year.size(), '0');
  return year + "-" + two_digits(static_cast<unsigned>(date.month())) + "-" +
         two_digits(static_cast<unsigned>(date.day())) + " " + two_digits(rest / kHour) + ":" +
         two_digits(rest % kHour / kMinute) + ":" + two_digits(rest % kMinute) + " UTC";
}

Validity judge_validity(const Certificate& certificate, const CertificateThresholds& thresholds,
                        std::int64_t wall_now) {
  if (certificate.not_after == 0) return {};  // not read
  if (wall_now < certificate.not_before) {
    return {CertificateState::not_yet_valid, Status::critical,
            "not valid before " + utc_text(certificate.not_before)};
  }
  if (wall_now > certificate.not_after) {
    return {CertificateState::expired, Status::critical,
            "expired on " + utc_text(certificate.not_after)};
  }
  const std::int64_t life = certificate.not_after - certificate.not_before;
  const std::int64_t left = certificate.not_after - wall_now;
  const bool critical = left < std::min(seconds_in(thresholds.critical), life / 10);
  const bool warning = left < std::min(seconds_in(thresholds.warning), life / 4);
  if (!critical && !warning) return {CertificateState::ok, Status::ok, {}};
  return {CertificateState::expiring, critical ? Status::critical : Status::warning,
          "expires in " + span_text(left) + " (" + utc_text(certificate.not_after) + ")"};
}

HostMatch match_host(const Certificate& certificate, std::string_view host) {
  constexpr HostMatch kNone{};
  if (host.empty() || holds_nul(host)) return kNone;
  const auto spoils = [](std::string_view name) { return holds_nul(name); };
  // Where texts have been cut or made printable since, nobody knows which of them it was.
  const bool nul_is_seen =
      holds_nul(certificate.common_name) ||
      std::any_of(certificate.dns_names.begin(), certificate.dns_names.end(), spoils);
  if (certificate.null_in_name && !nul_is_seen) return kNone;

  // libpq looks at the names in order, and stops at the first that matches or is broken. The order
  // between names of different kinds is not kept here: what is broken elsewhere counts as earlier.
  const IpBytes address = ip_bytes(host);
  std::vector<IpBytes> addresses;
  for (const std::string& one : certificate.ip_addresses) {
    addresses.push_back(ip_bytes(one));
    if (!addresses.back().known()) return kNone;
  }
  for (const std::string& name : certificate.dns_names) {
    if (spoils(name)) return kNone;
    if (name_matches(name, host)) return {.matches = true, .by_common_name = false};
  }
  if (address.known() &&
      std::find(addresses.begin(), addresses.end(), address) != addresses.end()) {
    return {.matches = true, .by_common_name = false};
  }

  const bool has_own_kind = address.known() ? !addresses.empty() : !certificate.dns_names.empty();
  const bool by_common_name = !has_own_kind && !certificate.common_name.empty() &&
                              !spoils(certificate.common_name) &&
                              name_matches(certificate.common_name, host);
  return {.matches = by_common_name, .by_common_name = by_common_name};
}

std::string names_text(const Certificate& certificate, std::size_t most) {
  const std::size_t count = certificate.dns_names.size() + certificate.ip_addresses.size();
  if (count == 0) {
    return certificate.common_name.empty() ? "no names"
                                           : "CN " + shown(certificate.common_name) + ", no SAN";
  }
  std::string text;
  std::size_t written = 0;
  const auto write = [&](const char* kind, const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      if (written == most) return;
      if (written++ != 0) text += ", ";
      text += kind + shown(name);
    }
  };
  write("DNS ", certificate.dns_names);
  write("IP ", certificate.ip_addresses);
  if (written < count || certificate.names_cut) {
    text += written == 0 ? "" : " and ";
    text += certificate.names_cut ? "more than " : "";
    text += written == 0 ? count_of(static_cast<std::int64_t>(count), "name")
                         : std::to_string(count - written) + " more";
  }
  return text;
}

}  // namespace pgfed::core
