#include "pgfed/net/dial_keywords.hpp"

#include <libpq-fe.h>

#include <algorithm>

namespace pgfed::net {

namespace {

/// What a session is started with, so that ALTER DATABASE or ALTER ROLE ... SET on the other side
/// (a database has an owner, who need not be a superuser) cannot change what the exchange does:
/// parameters of the start come before those. All of them any role may set, and all exist since
/// PostgreSQL 14; one that a server did not know would make it refuse the session.
constexpr const char* kSessionSettings =
    "-c role=none"
    " -c search_path="
    " -c default_transaction_isolation=read\\ committed"
    " -c default_transaction_read_only=off"
    " -c default_transaction_deferrable=off"
    " -c statement_timeout=0"
    " -c lock_timeout=0"
    " -c idle_in_transaction_session_timeout=0"
    " -c idle_session_timeout=0"
    " -c client_min_messages=warning"
    " -c tcp_user_timeout=0"
    " -c row_security=on"
    " -c jit=off";

/// In the name of a service, service@host, this makes a host whose first label is longer than DNS
/// allows (63): the C library refuses it without asking anybody.
constexpr const char* kNoService =
    "pgfed-does-not-do-gssapi@0123456789012345678901234567890123456789012345678901234567890123456789";

void set(Keywords& keywords, const std::string& keyword, const std::string& value) {
  const auto same = std::find_if(keywords.begin(), keywords.end(),
                                 [&](const auto& pair) { return pair.first == keyword; });
  if (same != keywords.end()) {
    same->second = value;
  } else {
    keywords.emplace_back(keyword, value);
  }
}

core::Error unknown_to_libpq(const std::string& keyword) {
  constexpr int kMajor = 10000;
  return {.sqlstate = core::sqlstate::kInvalidParameterValue,
          .message = "libpq " + std::to_string(PQlibVersion() / kMajor) + " does not know \"" +
                     keyword + "\"",
          .detail = {},
          .hint = {}};
}

}  // namespace

core::Result<Keywords> dial_keywords(const core::NodeSpec& node, const Keywords& conninfo,
                                     const std::string& default_database) {
  Keywords keywords = {
      {"dbname", default_database}, {"sslmode", "verify-full"},    {"keepalives", "1"},
      {"keepalives_idle", "30"},    {"keepalives_interval", "10"}, {"keepalives_count", "3"},
  };
  // A server that asks for GSSAPI makes libpq look up the host's name, which blocks.
  if (libpq_knows("require_auth")) {
    set(keywords, "require_auth", "!gss,!sspi");
  } else {
    // Before 16 it cannot be refused; but nobody needs to be asked about this name.
    set(keywords, "krbsrvname", kNoService);
  }

  const core::Result<Keywords> options = parse_conninfo(node.options.str());
  if (!options) {
    core::Error error = options.error();
    error.message = "options of node \"" + node.name.str() + "\" could not be parsed";
    return error;
  }
  // A row may have come by another way than pgfed.add_node(), as from a dump: whatever it says must
  // not turn off TLS or bring credentials.
  for (const auto& [keyword, value] : options.value()) {
    if (libpq_knows(keyword) && !core::is_endpoint_option(keyword)) {
      return core::check_options({{keyword, value}}).error();
    }
  }
  for (const Keywords* given : {&options.value(), &conninfo}) {
    for (const auto& [keyword, value] : *given) {
      if (!libpq_knows(keyword)) return unknown_to_libpq(keyword);
      set(keywords, keyword, value);
    }
  }

  set(keywords, "options", kSessionSettings);
  set(keywords, "client_encoding", "UTF8");
  set(keywords, "fallback_application_name", "pgfed");
  set(keywords, "gssencmode", "disable");
  set(keywords, "target_session_attrs", "any");
  if (libpq_knows("load_balance_hosts")) set(keywords, "load_balance_hosts", "disable");
  return keywords;
}

void set_addresses(Keywords& keywords, const core::NodeSpec& node,
                   const std::vector<std::string>& addresses) {
  // One host for each address, so that libpq verifies and announces the name for every one.
  std::string hosts;
  std::string numbers;
  for (const std::string& address : addresses) {
    if (!hosts.empty()) {
      hosts += ',';
      numbers += ',';
    }
    hosts += node.host.view();
    numbers += address;
  }
  set(keywords, "host", hosts);
  set(keywords, "hostaddr", numbers);
  // A single port stands for all.
  set(keywords, "port", std::to_string(node.port));
}

}  // namespace pgfed::net
