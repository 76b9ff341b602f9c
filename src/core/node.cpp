#include "pgfed/core/node.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "pgfed/core/address.hpp"

namespace pgfed::core {
namespace {

// ASCII only and independent of any locale.
bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_character(char c) { return is_lower(c) || is_digit(c) || c == '_' || c == '-'; }
bool is_host_character(char c) { return is_name_character(c) || is_upper(c); }
char lower(char c) { return is_upper(c) ? static_cast<char>(c - 'A' + 'a') : c; }

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= kMaxNameLength && is_lower(text[0]) &&
         std::all_of(text.begin(), text.end(), is_name_character);
}

bool contains(std::string_view text, char c) { return text.find(c) != std::string_view::npos; }

/// Whether the text would be shown as it is: valid UTF-8 without control characters.
bool is_printable(std::string_view text) {
  std::string copy(text.size(), '\0');
  copy.resize(copy_printable(text, copy.data(), copy.size()));
  return copy == text;
}

Error invalid(std::string message, std::string detail, std::string hint = {}) {
  return {sqlstate::kInvalidParameterValue, std::move(message), std::move(detail), std::move(hint)};
}

// ---- host ------------------------------------------------------------------------------------

constexpr std::size_t kMaxHost = 255;
constexpr std::size_t kMaxLabel = 63;

bool is_label(std::string_view label) {
  return !label.empty() && label.size() <= kMaxLabel && label.front() != '-' &&
         label.back() != '-' && std::all_of(label.begin(), label.end(), is_host_character);
}

bool is_dns_name(std::string_view host) {
  while (true) {
    const std::size_t dot = host.find('.');
    if (!is_label(host.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    host.remove_prefix(dot + 1);
  }
}

/// The address that means "every address of this machine" in listen_addresses, and that a client
/// which dials it takes for the machine it runs on: each node would find itself there.
bool is_unspecified(std::string_view host) {
  if (host == "0.0.0.0") return true;
  const std::string_view address = host.substr(0, host.find('%'));
  return is_ipv6(host) && std::all_of(address.begin(), address.end(),
                                      [](char c) { return c == '0' || c == ':' || c == '.'; });
}

/// What to type instead of a host that is none.
struct HostFault {
  std::string detail;
  std::string hint;
};

HostFault find_host_fault(std::string_view host) {
  const std::string what = "A host is one DNS name or one IP address.";
  if (host.size() > kMaxHost) return {"A host has at most 255 bytes.", ""};
  if (host[0] == '/' || host[0] == '@') {
    return {"It names a Unix-domain socket, which cannot be reached from another server.",
            "Give the DNS name or IP address at which the other servers reach this node."};
  }
  if (contains(host, ',')) {
    return {what, "Call pgfed.add_node() once for each node, with one host each."};
  }
  if (contains(host, '=') || host.find("//") != std::string_view::npos || contains(host, '@')) {
    return {what,
            "Connection strings do not belong here: credentials go into pgfed.conninfo, the port "
            "into the argument \"port\"."};
  }
  if (contains(host, '[') || contains(host, ']')) {
    return {what, "Write an IPv6 address without brackets, its port into the argument \"port\"."};
  }
  if (is_unspecified(host)) {
    return {"It stands for every address of a machine and cannot be dialled from another one.",
            "Give the DNS name or IP address at which the other servers reach this node."};
  }
  if (std::count(host.begin(), host.end(), ':') == 1) {
    return {what, "The port goes into the argument \"port\"."};
  }
  if (contains(host, ':')) {
    return {"It is not a valid IPv6 address.",
            "Write it as in \"2001:db8::1\", or with a zone as in \"fe80::1%eth0\"."};
  }
  if (is_numeric(host)) {
    return {"It is not a valid IPv4 address.",
            "Write four decimal numbers from 0 to 255 without leading zeros, as in \"192.0.2.1\"."};
  }
  if (host.back() == '.') {
    return {"A DNS name ends without a dot here, since certificates name it without one.",
            "Leave the last dot away."};
  }
  const bool ascii = std::all_of(host.begin(), host.end(),
                                 [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  return {
      "The parts of a DNS name have 1 to 63 letters, digits, \"-\" and \"_\" each, and neither "
      "start nor end with \"-\".",
      ascii ? "" : "Write an internationalized name in its ASCII form, which starts \"xn--\"."};
}

/// A host may be shown in an error unless it looks like a connection string, which may hold a
/// password.
std::string host_message(std::string_view host) {
  const bool revealing = contains(host, '@') || contains(host, '=') || contains(host, ' ') ||
                         host.find("//") != std::string_view::npos;
  return revealing ? "invalid host" : "invalid host " + in_quotes(host);
}

// ---- options ---------------------------------------------------------------------------------

bool is_count(std::string_view value) {
  int number = 0;
  const char* end = value.data() + value.size();
  const auto [stopped, error] = std::from_chars(value.data(), end, number);
  return error == std::errc{} && stopped == end && number >= 0;
}

bool is_switch(std::string_view value) { return value == "0" || value == "1"; }

bool is_negotiation(std::string_view value) { return value == "postgres" || value == "direct"; }

bool is_ip_address(std::string_view value) {
  return (is_ipv4(value) || is_ipv6(value)) && value.size() <= kMaxHost && !is_unspecified(value);
}

struct OptionRule {
  std::string_view keyword;
  bool (*accepts)(std::string_view value);
  std::string_view wanted;
};

constexpr const char* kSecondsWanted = "a whole number of seconds, not negative";

constexpr std::array<OptionRule, 8> kOptionRules = {{
    {"hostaddr", is_ip_address, "one IP address, without brackets"},
    {"sslnegotiation", is_negotiation, "postgres or direct"},
    {"sslsni", is_switch, "0 or 1"},
    {"keepalives", is_switch, "0 or 1"},
    {"keepalives_idle", is_count, kSecondsWanted},
    {"keepalives_interval", is_count, kSecondsWanted},
    {"keepalives_count", is_count, "a whole number, not negative"},
    {"tcp_user_timeout", is_count, "a whole number of milliseconds, not negative"},
}};

constexpr const char* kOptionsDetail =
    "Options are those of the endpoint: hostaddr, sslnegotiation, sslsni, keepalives, "
    "keepalives_idle, keepalives_interval, keepalives_count and tcp_user_timeout.";

/// Where a refused keyword belongs.
std::string option_hint(std::string_view keyword) {
  if (keyword == "host" || keyword == "port") {
    return "Use the argument \"" + std::string(keyword) + "\".";
  }
  if (keyword == "password" || keyword == "sslpassword") {
    return "A password belongs into no setting and no table: let every server log in with a "
           "certificate, or with a passfile that its own pgfed.conninfo names.";
  }
  return "How to get in (user, dbname, sslmode, sslrootcert, sslcert, sslkey, passfile) is the "
         "business of the setting pgfed.conninfo on each server.";
}

/// Keywords are shown only if they look like one: anything else may be a mistyped secret.
bool looks_like_keyword(std::string_view text) {
  constexpr std::size_t kLongestKeyword = 30;
  return !text.empty() && text.size() <= kLongestKeyword &&
         std::all_of(text.begin(), text.end(), [](char c) { return is_lower(c) || c == '_'; });
}

Outcome check_options_text(std::string_view options) {
  constexpr std::size_t kMaxOptions = sizeof(OptionsText) - 1;
  if (options.size() > kMaxOptions) {
    return invalid("options are too long",
                   "They have at most " + std::to_string(kMaxOptions) + " bytes.");
  }
  if (!is_printable(options)) {
    return invalid("options contain characters that cannot be printed", kOptionsDetail);
  }
  return Done{};
}

}  // namespace

NodeInput as_typed(const NodeSpec& node) {
  NodeInput input;
  input.name = node.name.str();
  input.host = node.host.str();
  input.port = node.port;
  input.site = node.site.str();
  input.upstream = node.upstream.str();
  input.options = node.options.str();
  return input;
}

Outcome check_name(std::string_view name) {
  if (is_name(name)) return Done{};
  std::string suggestion(name.substr(0, kMaxNameLength));
  std::transform(suggestion.begin(), suggestion.end(), suggestion.begin(), lower);
  return Error{sqlstate::kInvalidName, "invalid node name " + in_quotes(name),
               "A node name starts with a lower-case letter, followed by up to 49 letters, digits, "
               "\"_\" or \"-\", all lower case.",
               is_name(suggestion) ? "Use " + in_quotes(suggestion) + " instead." : ""};
}

Outcome check_host(std::string_view host) {
  if (host.empty()) {
    return invalid("host must not be empty",
                   "A host is the DNS name or IP address at which the other servers reach it.");
  }
  if (host.size() <= kMaxHost && !is_unspecified(host)) {
    if (is_ipv4(host) || is_ipv6(host)) return Done{};
    if (!is_numeric(host) && is_dns_name(host)) return Done{};
  }
  HostFault fault = find_host_fault(host);
  return invalid(host_message(host), std::move(fault.detail), std::move(fault.hint));
}

Outcome check_port(std::int64_t port) {
  constexpr std::int64_t kMaxPort = 65535;
  if (port >= 1 && port <= kMaxPort) return Done{};
  return invalid("invalid port " + std::to_string(port), "A port is a number from 1 to 65535.");
}

Outcome check_site(std::string_view site) {
  constexpr std::size_t kMaxSite = sizeof(SiteText) - 1;
  const std::string detail =
      "A site is a text of 1 to " + std::to_string(kMaxSite) + " bytes without control characters.";
  if (site.empty()) {
    return invalid("site must not be empty", detail, "Leave it away to get \"default\".");
  }
  if (site.size() <= kMaxSite && is_printable(site)) return Done{};
  return invalid("invalid site " + in_quotes(site), detail);
}

bool is_endpoint_option(std::string_view keyword) {
  return std::any_of(kOptionRules.begin(), kOptionRules.end(),
                     [keyword](const OptionRule& each) { return each.keyword == keyword; });
}

Outcome check_options(const std::vector<std::pair<std::string, std::string>>& options) {
  for (const auto& [keyword, value] : options) {
    const auto* rule =
        std::find_if(kOptionRules.begin(), kOptionRules.end(),
                     [&k = keyword](const OptionRule& each) { return each.keyword == k; });
    if (rule == kOptionRules.end()) {
      return invalid(looks_like_keyword(keyword)
                         ? "option " + in_quotes(keyword) + " is not allowed"
                         : "an option that is not allowed was given",
                     kOptionsDetail, option_hint(keyword));
    }
    if (!rule->accepts(value)) {
      return invalid(
          "invalid value for option " + in_quotes(keyword),
          "The value of " + in_quotes(keyword) + " is " + std::string(rule->wanted) + ".");
    }
  }
  return Done{};
}

Result<NodeSpec> check_node(const NodeInput& input) {
  if (Outcome checked = check_name(input.name); !checked) return checked.error();
  if (Outcome checked = check_host(input.host); !checked) return checked.error();
  if (Outcome checked = check_port(input.port); !checked) return checked.error();
  if (Outcome checked = check_site(input.site); !checked) return checked.error();
  if (!input.upstream.empty()) {
    if (Outcome checked = check_name(input.upstream); !checked) return checked.error();
  }
  if (Outcome checked = check_options_text(input.options); !checked) return checked.error();
  if (Outcome checked = check_options(input.parsed_options); !checked) return checked.error();

  NodeSpec node;
  node.name.assign(input.name);
  node.host.assign(input.host);
  node.port = static_cast<std::uint16_t>(input.port);
  node.site.assign(input.site);
  node.upstream.assign(input.upstream);
  node.options.assign(input.options);
  return node;
}

std::string slot_name(std::string_view node) {
  std::string slot = "pgfed_" + std::string(node);
  std::replace(slot.begin(), slot.end(), '-', '_');
  return slot;
}

}  // namespace pgfed::core
