// pgfed.exchange(): the one call between peers. Takes the caller's report as hearsay for the worker,
// answers with this server's own. Writes no WAL, takes no lock but those of shared memory, reads no
// table: it works on standbys, and while anything at all holds pgfed.nodes.

#include "pgfed/core/wire.hpp"
#include "pgfed/pg/boundary.hpp"
#include "pgfed/pg/entry.hpp"
#include "pgfed/pg/exchange_sessions.hpp"
#include "pgfed/pg/preconditions.hpp"
#include "pgfed/pg/settings.hpp"
#include "pgfed/pg/shared_copy.hpp"

namespace pgfed::pg {
namespace {

/// The report's bytes; refuses to unpack what is too large.
bytea* report_argument(FunctionCallInfo fcinfo) {
  const Datum datum = PG_GETARG_DATUM(0);
  const Size size = toast_raw_datum_size(datum) - VARHDRSZ;
  if (size > core::kMaxReport) {
    ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                    errmsg("report of %zu bytes is too large", size),
                    errdetail("A report has at most %zu bytes.", core::kMaxReport)));
  }
  return PG_GETARG_BYTEA_PP(0);
}

/// What matters here of a report.
struct Question {
  core::Name node;
  std::uint64_t known_inventory = 0;
};

/// Makes sure that it is a report.
Question read_report(const void* bytes, std::size_t length) {
  Question question;
  BoxedError error;
  run_cpp(error, [&](BoxedError& box) {
    const core::Result<core::Report> report =
        core::decode({static_cast<const std::uint8_t*>(bytes), length});
    if (report) {
      question.node = report.value().node;
      question.known_inventory = report.value().known_inventory;
    } else {
      box.set(report.error());
    }
  });
  if (error.raised) raise_boxed(error);
  return question;
}

std::uint32_t server_version_number() {
  return static_cast<std::uint32_t>(
      strtoul(GetConfigOption("server_version_num", false, false), nullptr, 10));
}

/// C++ regime.
core::Report make_report(const core::Facts& facts, const OwnCopy& own, core::Instant now,
                         std::uint32_t server_version) {
  core::Report report;
  report.node = setting::node_name;
  report.federation = setting::federation_name;
  report.incarnation = shared.control->incarnation;
  report.identity = own.identity;
  report.facts = facts;
  report.judged_by = own.judged_by;
  report.paths = own.paths;
  report.library_version = kLibraryVersion;
  report.extension_version = own.extension_version;
  report.server_version = server_version;
  report.inventory_digest = own.inventory_digest;
  report.links.reserve(own.links.count);
  for (const OwnLink& each : own.links) {
    core::LinkReport link = each.link;
    link.age = core::age(each.observed_at, now);
    report.links.push_back(link);
  }
  return report;
}

bytea* reply(std::uint64_t known_inventory) {
  const core::Facts facts = take_facts();
  const OwnCopy own = copy_own(known_inventory);
  const core::Instant now = boot_now();
  const std::uint32_t server_version = server_version_number();

  auto* result = static_cast<bytea*>(palloc(VARHDRSZ + core::kMaxReport));
  std::size_t length = 0;
  BoxedError error;
  run_cpp(error, [&](BoxedError&) {
    std::vector<std::uint8_t> bytes = core::encode(make_report(facts, own, now, server_version));
    if (own.inventory.rows != nullptr) {
      core::append_inventory(bytes, {own.inventory.rows, own.inventory.count});
    }
    length = std::min(bytes.size(), core::kMaxReport);
    std::memcpy(VARDATA(result), bytes.data(), length);
  });
  if (error.raised) raise_boxed(error);
  SET_VARSIZE(result, VARHDRSZ + length);
  return result;
}

}  // namespace

PGFED_FUNCTION(pgfed_exchange) {
  require_preload();
  enter_exchange();
  if (setting::node_name[0] == '\0') {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("pgfed.node_name is not set on this server"),
                    errhint("ALTER SYSTEM SET pgfed.node_name = 'the name of this server in "
                            "pgfed.nodes'; and restart.")));
  }
  const bytea* given = report_argument(fcinfo);
  const std::size_t length = VARSIZE_ANY_EXHDR(given);
  const Question question = read_report(VARDATA_ANY(given), length);

  const NodesCopy known = copy_nodes();
  const core::Name named = certificate_node(known.nodes.rows, known.nodes.count);
  if (!named.empty() && !(named == question.node)) {
    ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                    errmsg("the client certificate names node \"%s\"", named.c_str()),
                    errdetail("The report that came with it is by node \"%s\".",
                              to_database_encoding(question.node.view()))));
  }
  post_mail(named, VARDATA_ANY(given), length);
  PG_RETURN_BYTEA_P(reply(question.known_inventory));
}

}  // namespace pgfed::pg
