#include "pgfed/pg/setup_reader.hpp"

#include "pgfed/core/hba.hpp"
#include "pgfed/net/conninfo.hpp"
#include "pgfed/pg/boundary.hpp"
#include "pgfed/pg/compat.hpp"
#include "pgfed/pg/settings.hpp"
#include "pgfed/pg/setup_section.hpp"

namespace pgfed::pg {
namespace {

/// Longer files are judged by their beginning.
constexpr long kMaxRules = 1000;
/// Streams first; the rest is for the lines of pg_hba.conf.
constexpr std::size_t kMaxStreams = 8;

/// Rules that cannot be parsed keep the whole file from being loaded: Postgres complains.
constexpr const char* kRules =
    "SELECT r.line_number, %s AS file, r.type,"
    " pg_catalog.array_to_string(r.database, E'\\n'),"
    " pg_catalog.array_to_string(r.user_name, E'\\n'),"
    " r.address, r.netmask, r.auth_method, pg_catalog.array_to_string(r.options, E'\\n')"
    " FROM pg_catalog.pg_hba_file_rules() AS r WHERE r.error IS NULL"
    " ORDER BY %s USING OPERATOR(pg_catalog.<)";

/// Standbys and others that follow the WAL over a network, in the clear. (client_port is -1 on a unix
/// socket, where client_addr is null as well.)
constexpr const char* kStreams =
    "SELECT a.application_name, pg_catalog.host(a.client_addr),"
    " a.client_addr OPERATOR(pg_catalog.<<=) '127.0.0.0/8'::pg_catalog.inet"
    " OR a.client_addr OPERATOR(pg_catalog.=) '::1'::pg_catalog.inet"
    " FROM pg_catalog.pg_stat_get_wal_senders() AS w,"
    " pg_catalog.pg_stat_get_activity(NULL) AS a"
    " WHERE a.pid OPERATOR(pg_catalog.=) w.pid AND a.client_addr IS NOT NULL"
    " AND w.state OPERATOR(pg_catalog.=) ANY ('{streaming,catchup}'::pg_catalog.text[])"
    " AND a.ssl IS NOT TRUE AND a.gss_enc IS NOT TRUE"
    " ORDER BY a.application_name USING OPERATOR(pg_catalog.<), 2 USING OPERATOR(pg_catalog.<)";

struct Problems {
  core::Problem* rows = nullptr;  ///< palloc'd; kMaxProblems of them
  std::size_t count = 0;
};

void run(const char* query, long limit) {
  const int result = SPI_execute(query, true, limit);
  if (result != SPI_OK_SELECT) {
    elog(ERROR, "query on the set-up failed: %s", SPI_result_code_string(result));
  }
}

/// A column as text, palloc'd; NULL is empty.
std::string_view column(std::uint64_t row, int number) {
  const char* value = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number);
  return value != nullptr ? value : "";
}

void add_problem(Problems& problems, core::ProblemKind kind, core::Status status,
                 const char* detail) {
  if (problems.count >= core::kMaxProblems) return;
  core::Problem& problem = problems.rows[problems.count++];
  problem.kind = kind;
  problem.status = status;
  problem.detail = detail;
}

void read_streams(Problems& problems) {
  run(kStreams, static_cast<long>(kMaxStreams));
  for (std::uint64_t row = 0; row < SPI_processed; ++row) {
    const bool loopback = column(row, 3) == "t";
    const char* detail = psprintf("the stream to \"%.80s\" at %.60s is not on TLS",
                                  column(row, 1).data(), column(row, 2).data());
    add_problem(problems, core::ProblemKind::stream_without_tls,
                loopback ? core::Status::warning : core::Status::critical, detail);
  }
}

void read_rules(Problems& problems) {
  // The expressions for the file and for the order of lines depend on the version only.
  run(psprintf(kRules, compat::hba_file_expression(), compat::hba_order_expression()), kMaxRules);
  const std::size_t count = SPI_processed;
  auto* rules = static_cast<core::HbaRule*>(palloc0((count + 1) * sizeof(core::HbaRule)));
  for (std::size_t row = 0; row < count; ++row) {
    core::HbaRule& rule = rules[row];
    rule.line = static_cast<std::uint32_t>(strtoul(column(row, 1).data(), nullptr, 10));
    rule.file = column(row, 2);
    rule.type = column(row, 3);
    rule.databases = column(row, 4);
    rule.users = column(row, 5);
    rule.address = column(row, 6);
    rule.netmask = column(row, 7);
    rule.method = column(row, 8);
    rule.options = column(row, 9);
  }
  Problems* out = &problems;
  const char* conninfo = setting::conninfo;
  const char* database = setting::database;
  call_cpp([rules, count, out, conninfo, database](BoxedError&) {
    const core::Result<net::Keywords> keywords = net::parse_peer_conninfo(conninfo);
    const std::string role =
        keywords.ok() ? std::string(net::value_of(keywords.value(), "user")) : std::string();
    for (const core::Problem& problem :
         core::judge_hba({rules, count}, {.role = role, .database = database},
                         core::kMaxProblems - out->count)) {
      out->rows[out->count++] = problem;
    }
  });
}

}  // namespace

bool read_setup() {
  Problems problems;
  problems.rows = static_cast<core::Problem*>(palloc0(core::kMaxProblems * sizeof(core::Problem)));
  if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
  PushActiveSnapshot(GetTransactionSnapshot());
  read_streams(problems);
  read_rules(problems);
  PopActiveSnapshot();
  SPI_finish();
  return publish_setup({problems.rows, problems.count});
}

}  // namespace pgfed::pg
