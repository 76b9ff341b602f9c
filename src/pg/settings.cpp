#include "pgfed/pg/settings.hpp"

#include "pgfed/core/node.hpp"
#include "pgfed/net/conninfo.hpp"
#include "pgfed/pg/boundary.hpp"
#include "pgfed/pg/entry.hpp"

namespace pgfed::pg::setting {
namespace {

constexpr int kHour = 60 * 60 * 1000;  // ms
constexpr int kDay = 24 * 60 * 60;     // s

}  // namespace

char* node_name = nullptr;
char* federation_name = nullptr;
char* database = nullptr;
int max_nodes = 32;
int mode = static_cast<int>(core::Mode::active);
char* conninfo = nullptr;
int peer_interval = 1000;
int peer_timeout = 2000;
int lag_warning = 10 * 1000;
int lag_critical = 60 * 1000;
int tls_interval = 60 * 1000;
int certificate_warning = 30 * kDay;
int certificate_critical = 7 * kDay;
bool tls_reload = true;

namespace {

const config_enum_entry kModes[] = {
    {"active", static_cast<int>(core::Mode::active), false},
    {"observe", static_cast<int>(core::Mode::observe), false},
    {"off", static_cast<int>(core::Mode::off), false},
    {nullptr, 0, false},
};

constexpr std::size_t kMaxFederationName = 63;

/// Says what is wrong with a value. The message is set in any case: without it Postgres would print
/// the value itself, which may hold a secret.
bool refuse(const BoxedError& error, const char* name) {
  const char* state = error.sqlstate.c_str();
  if (strlen(state) == 5) {
    GUC_check_errcode(MAKE_SQLSTATE(state[0], state[1], state[2], state[3], state[4]));
  }
  GUC_check_errmsg("invalid value for parameter \"%s\": %s", name, error.message.c_str());
  if (!error.detail.empty()) GUC_check_errdetail("%s", error.detail.c_str());
  if (!error.hint.empty()) GUC_check_errhint("%s", error.hint.c_str());
  return false;
}

bool all_printable(std::string_view text) {
  for (const char c : text) {
    if (c < 0x20 || c > 0x7e) return false;
  }
  return true;
}

}  // namespace

PGFED_CALLBACK(bool, check_node_name, (char** value, void**, GucSource)) {
  const char* text = *value;
  if (text == nullptr || text[0] == '\0') return true;
  BoxedError error;
  run_cpp(error, [text](BoxedError& box) {
    const core::Outcome outcome = core::check_name(text);
    if (!outcome) box.set(outcome.error());
  });
  return error.raised ? refuse(error, "pgfed.node_name") : true;
}

PGFED_CALLBACK(bool, check_federation_name, (char** value, void**, GucSource)) {
  const std::string_view text = *value != nullptr ? *value : "";
  if (text.size() <= kMaxFederationName && all_printable(text)) return true;
  GUC_check_errmsg("invalid value for parameter \"pgfed.federation_name\"");
  GUC_check_errdetail("The name of a federation has at most %d printable ASCII characters.",
                      static_cast<int>(kMaxFederationName));
  return false;
}

PGFED_CALLBACK(bool, check_database, (char** value, void**, GucSource)) {
  const std::string_view text = *value != nullptr ? *value : "";
  if (!text.empty() && text.size() < NAMEDATALEN) return true;
  GUC_check_errmsg("invalid value for parameter \"pgfed.database\"");
  GUC_check_errdetail("The name of a database has 1 to %d bytes.", NAMEDATALEN - 1);
  return false;
}

PGFED_CALLBACK(bool, check_conninfo, (char** value, void**, GucSource)) {
  const char* text = *value;
  if (text == nullptr || text[0] == '\0') return true;
  BoxedError error;
  run_cpp(error, [text](BoxedError& box) {
    const core::Result<net::Keywords> keywords = net::parse_peer_conninfo(text);
    if (!keywords) box.set(keywords.error());
  });
  return error.raised ? refuse(error, "pgfed.conninfo") : true;
}

void define_settings() {
  DefineCustomStringVariable(
      "pgfed.node_name", "Name of this server in its federation.",
      "Empty: pgfed idles. Starts with a lower-case letter, then lower-case letters, digits, \"_\" "
      "and \"-\"; at most 50 characters.",
      &node_name, "", PGC_POSTMASTER, 0, check_node_name, nullptr, nullptr);
  DefineCustomStringVariable("pgfed.federation_name", "Name of the federation.",
                             "Must be the same on every node.", &federation_name, "",
                             PGC_POSTMASTER, 0, check_federation_name, nullptr, nullptr);
  DefineCustomStringVariable("pgfed.database", "Database in which the extension pgfed is.", nullptr,
                             &database, "postgres", PGC_POSTMASTER, 0, check_database, nullptr,
                             nullptr);
  DefineCustomIntVariable("pgfed.max_nodes", "Number of nodes that a federation can have.",
                          "Sizes shared memory.", &max_nodes, 32, 2, 256, PGC_POSTMASTER, 0,
                          nullptr, nullptr, nullptr);
  DefineCustomEnumVariable(
      "pgfed.mode", "What pgfed does on this server.",
      "\"active\"; \"observe\" sees everything and changes nothing; \"off\" closes its sessions.",
      &mode, static_cast<int>(core::Mode::active), kModes, PGC_SIGHUP, 0, nullptr, nullptr,
      nullptr);
  DefineCustomStringVariable(
      "pgfed.conninfo", "Credentials and TLS parameters with which this server dials its peers.",
      "A libpq connection string without host, port and passwords.", &conninfo, "", PGC_SIGHUP,
      GUC_SUPERUSER_ONLY, check_conninfo, nullptr, nullptr);
  DefineCustomIntVariable("pgfed.peer_interval", "Time between two questions to a peer.", nullptr,
                          &peer_interval, 1000, 10, kHour, PGC_SIGHUP, GUC_UNIT_MS, nullptr,
                          nullptr, nullptr);
  DefineCustomIntVariable(
      "pgfed.peer_timeout", "Time within which a peer must be connected, and must answer.", nullptr,
      &peer_timeout, 2000, 10, kHour, PGC_SIGHUP, GUC_UNIT_MS, nullptr, nullptr, nullptr);
  DefineCustomIntVariable("pgfed.lag_warning", "Replay lag of this server that is a warning.",
                          "Other nodes judge this server by it too.", &lag_warning, 10 * 1000, 1,
                          INT_MAX, PGC_SIGHUP, GUC_UNIT_MS, nullptr, nullptr, nullptr);
  DefineCustomIntVariable("pgfed.lag_critical", "Replay lag of this server that is critical.",
                          "Other nodes judge this server by it too.", &lag_critical, 60 * 1000, 1,
                          INT_MAX, PGC_SIGHUP, GUC_UNIT_MS, nullptr, nullptr, nullptr);
  DefineCustomIntVariable(
      "pgfed.tls_interval", "Time between two fresh dials of an endpoint, which look at its TLS.",
      "The files of this server's TLS are read as often.", &tls_interval, 60 * 1000, 1000,
      24 * kHour, PGC_SIGHUP, GUC_UNIT_MS, nullptr, nullptr, nullptr);
  DefineCustomIntVariable(
      "pgfed.certificate_warning", "Remaining validity of a certificate that is a warning.",
      "At most a quarter of the certificate's whole life. Other nodes judge this server by it too.",
      &certificate_warning, 30 * kDay, 0, 3650 * kDay, PGC_SIGHUP, GUC_UNIT_S, nullptr, nullptr,
      nullptr);
  DefineCustomIntVariable(
      "pgfed.certificate_critical", "Remaining validity of a certificate that is critical.",
      "At most a tenth of the certificate's whole life. Other nodes judge this server by it too.",
      &certificate_critical, 7 * kDay, 0, 3650 * kDay, PGC_SIGHUP, GUC_UNIT_S, nullptr, nullptr,
      nullptr);
  DefineCustomBoolVariable(
      "pgfed.tls_reload",
      "Reloads the server when its certificate, key, CA or CRL file has changed.",
      "Only where the new files belong together, and a reload activates nothing else.", &tls_reload,
      true, PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
  MarkGUCPrefixReserved("pgfed");
}

core::Settings core_settings() {
  core::Settings settings;
  settings.mode = static_cast<core::Mode>(mode);
  settings.peer_interval = core::milliseconds(peer_interval);
  settings.peer_timeout = core::milliseconds(peer_timeout);
  settings.lag_warning = core::milliseconds(lag_warning);
  settings.lag_critical = core::milliseconds(lag_critical);
  settings.tls_interval = core::milliseconds(tls_interval);
  settings.certificate.warning = core::seconds(certificate_warning);
  settings.certificate.critical = core::seconds(certificate_critical);
  settings.tls_reload = tls_reload;
  // What does not parse was refused by the check hook; on lack of memory the paths stay empty.
  BoxedError error;
  const char* text = conninfo;
  core::TlsPaths* paths = &settings.paths;
  run_cpp(error, [text, paths](BoxedError&) {
    const core::Result<net::Keywords> keywords = net::parse_peer_conninfo(text);
    if (!keywords) return;
    paths->sslrootcert = net::value_of(keywords.value(), "sslrootcert");
    paths->sslcert = net::value_of(keywords.value(), "sslcert");
    paths->sslkey = net::value_of(keywords.value(), "sslkey");
  });
  return settings;
}

}  // namespace pgfed::pg::setting
