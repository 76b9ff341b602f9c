#include "pgfed/net/standby_conninfo.hpp"

#include <string_view>

#include "pgfed/net/conninfo.hpp"

namespace pgfed::net {

namespace {

constexpr const char* kSecrets[] = {"password", "sslpassword", "scram_client_key",
                                    "scram_server_key", "oauth_client_secret"};

/// Whether every host that would be dialled is a unix socket, on which there is no TLS and nobody
/// in between.
bool sockets_only(const Keywords& keywords) {
  std::string_view hosts = value_of(keywords, "host");
  if (!value_of(keywords, "hostaddr").empty()) return false;
  while (true) {
    const std::size_t comma = hosts.find(',');
    const std::string_view host = hosts.substr(0, comma);
    // An empty one stands for the default, which is a socket.
    if (!host.empty() && host.front() != '/' && host.front() != '@') return false;
    if (comma == std::string_view::npos) return true;
    hosts.remove_prefix(comma + 1);
  }
}

bool is_loopback(const Keywords& keywords) {
  std::string_view hosts = value_of(keywords, "hostaddr");
  if (hosts.empty()) hosts = value_of(keywords, "host");
  while (true) {
    const std::size_t comma = hosts.find(',');
    const std::string_view host = hosts.substr(0, comma);
    if (!host.starts_with("127.") && host != "::1" && host != "localhost") return false;
    if (comma == std::string_view::npos) return true;
    hosts.remove_prefix(comma + 1);
  }
}

/// What a mode weaker than verify-full means; empty for every other word, which is not repeated: it
/// may be a slip of the quotes.
std::string_view meaning(std::string_view mode) {
  if (mode == "disable") return "the stream is not encrypted";
  if (mode == "allow" || mode == "prefer") return "whoever sits in between can turn TLS off";
  if (mode == "require") return "any server with any certificate is trusted";
  if (mode == "verify-ca") return "any server with a certificate of that authority is trusted";
  return {};
}

core::Problem problem(core::ProblemKind kind, core::Status status, const std::string& detail) {
  return {.kind = kind, .status = status, .detail = core::DetailText(detail)};
}

}  // namespace

std::vector<core::Problem> judge_primary_conninfo(const std::string& conninfo) {
  std::vector<core::Problem> problems;
  if (conninfo.empty()) return problems;
  const core::Result<Keywords> parsed = parse_conninfo(conninfo);
  if (!parsed) return problems;
  const Keywords& keywords = parsed.value();
  for (const char* secret : kSecrets) {
    if (value_of(keywords, secret).empty()) continue;
    problems.push_back(problem(core::ProblemKind::password_in_conninfo, core::Status::warning,
                               std::string("primary_conninfo holds ") + secret));
    break;
  }
  // A service file may say anything.
  if (sockets_only(keywords) || !value_of(keywords, "service").empty()) return problems;
  std::string_view mode = value_of(keywords, "sslmode");
  const bool missing = mode.empty();
  if (missing) mode = value_of(keywords, "sslrootcert") == "system" ? "verify-full" : "prefer";
  if (meaning(mode).empty()) return problems;
  problems.push_back(problem(core::ProblemKind::weak_primary_conninfo, core::Status::warning,
                             "primary_conninfo has " +
                                 (missing ? std::string("no sslmode, which means prefer")
                                          : "sslmode=" + std::string(mode)) +
                                 ": " + std::string(meaning(mode))));
  return problems;
}

std::vector<core::Problem> judge_live_conninfo(const std::string& conninfo) {
  std::vector<core::Problem> problems;
  if (conninfo.empty()) return problems;
  const core::Result<Keywords> parsed = parse_conninfo(conninfo);
  if (!parsed || sockets_only(parsed.value())) return problems;
  if (value_of(parsed.value(), "sslmode") != "disable" ||
      value_of(parsed.value(), "gssencmode") == "require") {
    return problems;
  }
  problems.push_back(
      problem(core::ProblemKind::stream_without_tls,
              is_loopback(parsed.value()) ? core::Status::warning : core::Status::critical,
              "this standby streams without TLS (sslmode=disable)"));
  return problems;
}

}  // namespace pgfed::net
