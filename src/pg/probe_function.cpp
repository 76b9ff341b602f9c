// pgfed.probe(): dials any address as the federation worker dials the endpoints, and says step by step
// how far it gets. The worker is not asked: the prober runs in this backend, between waits that a
// cancel, a statement timeout or the end of the server ends at once.

#include "pgfed/core/node.hpp"
#include "pgfed/net/conninfo.hpp"
#include "pgfed/net/prober.hpp"
#include "pgfed/pg/boundary.hpp"
#include "pgfed/pg/compat.hpp"
#include "pgfed/pg/entry.hpp"
#include "pgfed/pg/row.hpp"
#include "pgfed/pg/settings.hpp"
#include "pgfed/pg/shared_state.hpp"

namespace pgfed::pg {
namespace {

constexpr core::Duration kLimit = core::seconds(10);
/// How long the prober's own end of the limit may be late.
constexpr core::Duration kGrace = core::seconds(2);
constexpr core::Duration kLongestWait = core::seconds(1);

/// What is shown of a step; printable.
struct Line {
  core::Text<16> stage;
  bool ok = false;
  core::Text<1024> detail;
  core::Duration elapsed{};
};

// ---- C++ regime ------------------------------------------------------------------------------

/// A probe under way.
struct Run {
  explicit Run(core::Instant now)
      : started(now), prober({boot_now, [this] { ++descriptors; }, [this] { --descriptors; }}) {}

  core::Instant started;
  int descriptors = 0;
  net::Prober prober;
  std::vector<core::Event> events;
  std::vector<Line> lines;
  bool ended = false;
};

Line line_of(const core::ProbeStep& step) {
  return {word(step.stage), step.ok, step.detail, step.elapsed};
}

Line verdict(const core::ProbeResult& result, core::Duration elapsed) {
  std::string text(word(result.diagnosis));
  if (!result.detail.empty()) text += ": " + result.detail;
  return {"diagnosis", result.diagnosis == core::Diagnosis::ok, text, elapsed};
}

void turn(Run& run) {
  run.prober.run(run.events);
  for (const core::Event& event : run.events) {
    const auto* probed = std::get_if<core::Probed>(&event);
    if (probed == nullptr || run.ended) continue;
    for (const core::ProbeStep& step : probed->result.steps) run.lines.push_back(line_of(step));
    run.lines.push_back(verdict(probed->result, core::age(run.started, boot_now())));
    run.ended = true;
  }
  run.events.clear();
}

/// What was given, by the rules for a node's endpoint.
core::Result<core::NodeSpec> check_endpoint(std::string_view host, std::int64_t port,
                                            std::string_view options) {
  core::NodeInput input;
  input.name = "probe";
  input.host = host;
  input.port = port;
  input.options = options;
  core::Result<net::Keywords> parsed = net::parse_conninfo(input.options);
  if (!parsed) {
    core::Error error = parsed.error();
    error.message = "options could not be parsed";
    return error;
  }
  input.parsed_options = std::move(parsed.value());
  core::Result<core::NodeSpec> checked = core::check_node(input);
  if (checked || checked.error().hint.find("pgfed.add_node()") == std::string::npos) return checked;
  core::Error error = checked.error();
  error.hint = "Call pgfed.probe() once for each of them.";
  return error;
}

std::unique_ptr<Run> start(const core::NodeSpec& endpoint, const char* conninfo) {
  auto run = std::make_unique<Run>(boot_now());
  const core::Result<net::Keywords> keywords = net::parse_peer_conninfo(conninfo);
  run->prober.set_conninfo(keywords ? keywords.value() : net::Keywords{});
  run->prober.probe(1, endpoint, kLimit);
  return run;
}

// ---- Postgres regime -------------------------------------------------------------------------

/// What must be given back, whatever happens.
struct Held {
  Run* run = nullptr;
  int reserved = 0;  ///< descriptors that Postgres was told of
};

void account_descriptors(Held* held, int open) {
  for (; held->reserved < open; ++held->reserved) ReserveExternalFD();
  for (; held->reserved > open; --held->reserved) ReleaseExternalFD();
}

void give_back(Held* held) {
  delete held->run;
  held->run = nullptr;
  account_descriptors(held, 0);
}

core::NodeSpec endpoint_arguments(FunctionCallInfo fcinfo) {
  constexpr const char* kNames[] = {"host", "port", "options"};
  for (int i = 0; i < 3; ++i) {
    if (!PG_ARGISNULL(i)) continue;
    ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                    errmsg("argument \"%s\" must not be null", kNames[i])));
  }
  const text* host = PG_GETARG_TEXT_PP(0);
  const std::int32_t port = PG_GETARG_INT32(1);
  const text* options = PG_GETARG_TEXT_PP(2);
  core::NodeSpec endpoint;
  BoxedError error;
  run_cpp(error, [&](BoxedError& box) {
    const core::Result<core::NodeSpec> checked =
        check_endpoint({VARDATA_ANY(host), VARSIZE_ANY_EXHDR(host)}, port,
                       {VARDATA_ANY(options), VARSIZE_ANY_EXHDR(options)});
    if (checked) {
      endpoint = checked.value();
    } else {
      box.set(checked.error());
    }
  });
  if (error.raised) raise_boxed(error);
  return endpoint;
}

long time_to_wait(const Run& run) {
  const core::Instant now = boot_now();
  const core::Instant until = std::min(run.prober.next_deadline(), now + kLongestWait);
  if (until <= now) return 0;
  return static_cast<long>(((until - now).count() + 999) / 1000);
}

/// Until the probe has come to its end.
void watch(Held* held) {
  static uint32 wait_event = 0;
  if (wait_event == 0) wait_event = compat::wait_event("PgfedProbe");
  Run* run = held->run;
  while (true) {
    CHECK_FOR_INTERRUPTS();
    BoxedError error;
    run_cpp(error, [run](BoxedError&) { turn(*run); });
    if (error.raised) raise_boxed(error);
    account_descriptors(held, run->descriptors);
    if (run->ended) return;
    if (core::age(run->started, boot_now()) > kLimit + kGrace) {
      elog(ERROR, "the probe has not come to its end");
    }
    const int events = WaitLatchOrSocket(
        MyLatch, WL_LATCH_SET | WL_SOCKET_READABLE | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
        run->prober.descriptor(), time_to_wait(*run), wait_event);
    if ((events & WL_LATCH_SET) != 0) ResetLatch(MyLatch);
  }
}

void show(FunctionCallInfo fcinfo, const Run& run) {
  for (const Line& line : run.lines) {
    Row row;
    row.add_text(line.stage.view());
    row.add_bool(line.ok);
    row.add_text_or_null(line.detail);
    row.add_interval(line.elapsed.count());
    row.store(fcinfo);
  }
}

void probe(FunctionCallInfo fcinfo, Held* held) {
  PG_TRY();
  {
    watch(held);
    show(fcinfo, *held->run);
  }
  PG_CATCH();
  {
    give_back(held);
    PG_RE_THROW();
  }
  PG_END_TRY();
  give_back(held);
}

}  // namespace

PGFED_FUNCTION(pgfed_probe) {
  begin_rows(fcinfo);
  const core::NodeSpec endpoint = endpoint_arguments(fcinfo);
  // In memory of its own: what is on the stack of a PG_TRY may be lost in a longjmp.
  auto* held = static_cast<Held*>(palloc0(sizeof(Held)));
  const char* conninfo = setting::conninfo;
  BoxedError error;
  run_cpp(error, [&](BoxedError&) { held->run = start(endpoint, conninfo).release(); });
  if (error.raised) raise_boxed(error);
  probe(fcinfo, held);
  return Datum{0};
}

}  // namespace pgfed::pg
