#include "pgfed/net/conninfo.hpp"

#include <libpq-fe.h>

#include <algorithm>
#include <array>
#include <memory>
#include <new>

namespace pgfed::net {

namespace {

using Options = std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)>;

/// PQconninfoParse without its error message, which repeats parts of what it was given.
Options parse_with_libpq(const char* conninfo) {
  char* message = nullptr;
  Options options(PQconninfoParse(conninfo, &message), &PQconninfoFree);
  const bool out_of_memory = !options && message == nullptr;
  PQfreemem(message);
  if (out_of_memory) throw std::bad_alloc();
  return options;
}

bool is_uri(std::string_view text) {
  return text.starts_with("postgresql://") || text.starts_with("postgres://");
}

/// As isspace() in the C locale, whatever the locale of the server.
bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

core::Error unparsable(std::string detail) {
  return {.sqlstate = core::sqlstate::kInvalidParameterValue,
          .message = "connection string could not be parsed",
          .detail = std::move(detail),
          .hint =
              "Write it as keyword=value pairs separated by blanks; a value that is empty or "
              "holds blanks stands in single quotes, in which \\' and \\\\ stand for ' and \\."};
}

void store(Keywords& keywords, std::string keyword, std::string value) {
  const auto same = std::find_if(keywords.begin(), keywords.end(),
                                 [&](const auto& pair) { return pair.first == keyword; });
  if (same != keywords.end()) {
    same->second = std::move(value);
  } else {
    keywords.emplace_back(std::move(keyword), std::move(value));
  }
}

/// Reads the pairs of a connection string by libpq's own rules.
class PairReader {
 public:
  explicit PairReader(std::string_view text) : text_(text) {}

  core::Result<Keywords> read() {
    Keywords keywords;
    for (skip_blanks(); !at_end(); skip_blanks()) {
      std::string keyword = read_keyword();
      skip_blanks();
      if (keyword.empty() || at_end() || peek() != '=') {
        return unparsable("A keyword without \"=\", or \"=\" without a keyword.");
      }
      ++at_;
      skip_blanks();
      std::string value;
      if (!at_end() && peek() == '\'') {
        if (!read_quoted(value)) return unparsable("A quoted value does not end.");
      } else {
        value = read_plain();
      }
      store(keywords, std::move(keyword), std::move(value));
    }
    return keywords;
  }

 private:
  [[nodiscard]] bool at_end() const { return at_ >= text_.size(); }
  [[nodiscard]] char peek() const { return text_[at_]; }
  void skip_blanks() {
    while (!at_end() && is_blank(peek())) ++at_;
  }
  std::string read_keyword() {
    std::string keyword;
    while (!at_end() && peek() != '=' && !is_blank(peek())) keyword += text_[at_++];
    return keyword;
  }
  std::string read_plain() {
    std::string value;
    while (!at_end() && !is_blank(peek())) {
      if (peek() == '\\' && ++at_ >= text_.size()) break;
      value += text_[at_++];
    }
    return value;
  }
  bool read_quoted(std::string& value) {
    ++at_;
    while (!at_end()) {
      if (peek() == '\'') {
        ++at_;
        return true;
      }
      if (peek() == '\\' && ++at_ >= text_.size()) break;
      value += text_[at_++];
    }
    return false;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

/// A list of what is allowed, not of what is refused: a later libpq may bring another secret.
constexpr std::array kPeerKeywords = {
    "user",
    "dbname",
    "passfile",
    "require_auth",
    "channel_binding",
    "application_name",
    "sslmode",
    "sslnegotiation",
    "sslcompression",
    "sslcert",
    "sslkey",
    "sslcertmode",
    "sslrootcert",
    "sslcrl",
    "sslcrldir",
    "sslsni",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "min_protocol_version",
    "max_protocol_version",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
};

struct Refusal {
  std::string_view keyword;
  const char* detail;
  const char* hint;
};

constexpr const char* kReadable = "Settings can be read by every member of pg_monitor.";
constexpr const char* kUseCertificate =
    "Use a client certificate (sslcert, sslkey) or a password file (passfile).";
constexpr const char* kTableSaysWhere = "The table pgfed.nodes says where each node is reached.";
constexpr const char* kUseNodes = "Use pgfed.add_node() or pgfed.set_node().";
constexpr const char* kPgfedSetsIt = "pgfed sets this parameter itself.";
constexpr const char* kRemove = "Remove it.";

constexpr std::array kRefusals = {
    Refusal{"password", kReadable, kUseCertificate},
    Refusal{"sslpassword", kReadable,
            "Use a key file without a passphrase, readable by the server's account only."},
    Refusal{"scram_client_key", kReadable, kUseCertificate},
    Refusal{"scram_server_key", kReadable, kUseCertificate},
    Refusal{"oauth_client_secret", kReadable, kUseCertificate},
    Refusal{"host", kTableSaysWhere, kUseNodes},
    Refusal{"hostaddr", kTableSaysWhere, kUseNodes},
    Refusal{"port", kTableSaysWhere, kUseNodes},
    Refusal{"service", "A service file could change every other parameter.",
            "Write the parameters themselves."},
    Refusal{"servicefile", "A service file could change every other parameter.",
            "Write the parameters themselves."},
    Refusal{"connect_timeout", "pgfed gives every attempt a deadline of its own.",
            "Use pgfed.peer_timeout."},
    Refusal{"options", kPgfedSetsIt, kRemove},
    Refusal{"replication", kPgfedSetsIt, kRemove},
    Refusal{"client_encoding", kPgfedSetsIt, kRemove},
    Refusal{"target_session_attrs", kPgfedSetsIt, kRemove},
    Refusal{"load_balance_hosts", kPgfedSetsIt, kRemove},
    Refusal{"fallback_application_name", kPgfedSetsIt, "Use application_name."},
    Refusal{"gssencmode", kPgfedSetsIt, kRemove},
};

core::Error refusal(const std::string& keyword) {
  core::Error error;
  error.sqlstate = core::sqlstate::kInvalidParameterValue;
  const auto known = std::find_if(kRefusals.begin(), kRefusals.end(),
                                  [&](const Refusal& one) { return one.keyword == keyword; });
  // What is neither known to us nor to libpq may be a slip of the quotes, and so a part of a
  // secret.
  if (known == kRefusals.end() && !libpq_knows(keyword)) {
    error.message = "unknown parameter in pgfed.conninfo";
    error.detail = "It is not named here, since it may be a part of a value.";
    error.hint = "Write keyword=value pairs, separated by blanks.";
    return error;
  }
  error.message = "parameter \"" + keyword + "\" is not allowed in pgfed.conninfo";
  if (known != kRefusals.end()) {
    error.detail = known->detail;
    error.hint = known->hint;
  } else {
    error.detail = "pgfed does not support it for the sessions between nodes.";
    error.hint = kRemove;
  }
  return error;
}

}  // namespace

core::Result<Keywords> parse_conninfo(const std::string& conninfo) {
  if (conninfo.find('\0') != std::string::npos) return unparsable("It holds a zero byte.");
  if (!is_uri(conninfo)) return PairReader(conninfo).read();

  const Options options = parse_with_libpq(conninfo.c_str());
  if (!options) return unparsable("It is no valid connection URI.");
  Keywords keywords;
  for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
    if (option->val != nullptr) keywords.emplace_back(option->keyword, option->val);
  }
  return keywords;
}

core::Result<Keywords> parse_peer_conninfo(const std::string& conninfo) {
  core::Result<Keywords> parsed = parse_conninfo(conninfo);
  if (!parsed) {
    core::Error error = parsed.error();
    error.message = "pgfed.conninfo could not be parsed";
    return error;
  }
  for (const auto& [keyword, value] : parsed.value()) {
    const bool allowed =
        std::find(kPeerKeywords.begin(), kPeerKeywords.end(), keyword) != kPeerKeywords.end();
    if (!allowed) return refusal(keyword);
  }
  return parsed;
}

std::string format_conninfo(const Keywords& keywords) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:/,@%+";
  std::string text;
  for (const auto& [keyword, value] : keywords) {
    if (!text.empty()) text += ' ';
    text += keyword;
    text += '=';
    if (!value.empty() && value.find_first_not_of(kPlain) == std::string::npos) {
      text += value;
      continue;
    }
    text += '\'';
    for (const char c : value) {
      if (c == '\'' || c == '\\') text += '\\';
      text += c;
    }
    text += '\'';
  }
  return text;
}

std::string_view value_of(const Keywords& keywords, std::string_view keyword) {
  const auto found = std::find_if(keywords.rbegin(), keywords.rend(),
                                  [&](const auto& pair) { return pair.first == keyword; });
  return found == keywords.rend() ? std::string_view() : std::string_view(found->second);
}

bool libpq_knows(const std::string& keyword) {
  // An empty string comes back as the list of all parameters, without any value from elsewhere.
  static const std::vector<std::string> known = [] {
    std::vector<std::string> names;
    const Options options = parse_with_libpq("");
    if (!options) return names;
    for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
      names.emplace_back(option->keyword);
    }
    return names;
  }();
  return std::find(known.begin(), known.end(), keyword) != known.end();
}

}  // namespace pgfed::net
