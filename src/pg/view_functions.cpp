// The rows of the views: copies of shared memory, with ages computed now. A stuck worker never shows
// green: where it has been silent for three intervals, what it last said is shown as unknown.

#include "pgfed/core/check_book.hpp"
#include "pgfed/pg/entry.hpp"
#include "pgfed/pg/row.hpp"
#include "pgfed/pg/settings.hpp"
#include "pgfed/pg/shared_copy.hpp"

namespace pgfed::pg {
namespace {

void add_interval_if(Row& row, bool known, std::int64_t microseconds) {
  if (known) {
    row.add_interval(microseconds);
  } else {
    row.add_null();
  }
}

/// As `SHOW server_version` begins: 150014 is 15.14.
void add_server_version(Row& row, std::uint32_t number) {
  constexpr std::uint32_t kMajor = 10000;
  if (number == 0) {
    row.add_null();
    return;
  }
  char text[32];
  std::snprintf(text, sizeof text, "%u.%u", number / kMajor, number % kMajor);
  row.add_text(text);
}

void add_federation_row(FunctionCallInfo fcinfo, const core::FederationRow& entry,
                        const Clocks& clocks, std::int64_t silence) {
  Row row;
  row.add_text(entry.node.view());
  row.add_text_or_null(entry.site);
  if (entry.role == core::Role::unknown) {
    row.add_null();
  } else {
    row.add_word(entry.role);
  }
  row.add_word(silence > 0 ? core::State::unknown : entry.state);
  row.add_text_or_null(entry.upstream);
  if (entry.timeline == 0) {
    row.add_null();
  } else {
    row.add_int(static_cast<std::int32_t>(entry.timeline));
  }
  row.add_lsn(entry.lsn);
  if (entry.lag_bytes < 0) {
    row.add_null();
  } else {
    row.add_bigint(entry.lag_bytes);
  }
  add_interval_if(row, entry.lag_us >= 0, round_to_milliseconds(entry.lag_us));
  row.add_null();  // slot
  row.add_word(silence > 0 ? core::CertificateState::unknown : entry.certificate);
  row.add_expiry(entry.not_after, clocks);
  add_interval_if(row, core::happened(entry.seen),
                  round_to_milliseconds(clocks.age_us(entry.seen)));
  row.add_word(silence > 0 ? core::Status::unknown : entry.status);
  row.add_text_or_null(silence > 0 ? silence_text(silence) : entry.detail);
  row.add_instant(entry.since, clocks);
  row.store(fcinfo);
}

void add_peer_row(FunctionCallInfo fcinfo, const core::PeerRow& entry, const Clocks& clocks,
                  std::int64_t silence) {
  Row row;
  row.add_text(entry.node.view());
  row.add_text_or_null(entry.host);
  row.add_int(entry.port);
  if (silence > 0) {
    row.add_text("unknown");
  } else {
    row.add_word(entry.state);
  }
  if (entry.stage == core::Stage::none) {
    row.add_null();
  } else {
    row.add_word(entry.stage);
  }
  row.add_text_or_null(entry.error);
  row.add_int(static_cast<std::int32_t>(std::min<std::uint32_t>(entry.failures, INT32_MAX)));
  row.add_instant(entry.connected_since, clocks);
  row.add_instant(entry.last_seen, clocks);
  add_interval_if(row, entry.rtt_us >= 0, entry.rtt_us);
  add_interval_if(row, entry.rtt_us >= 0, entry.clock_offset_us);
  add_server_version(row, entry.server_version);
  row.add_text_or_null(entry.library_version);
  row.add_text_or_null(entry.extension_version);
  if (entry.system_identifier == 0) {
    row.add_null();
  } else {
    row.add_bigint(static_cast<std::int64_t>(entry.system_identifier));
  }
  row.add_text_or_null(entry.tls_protocol);
  row.add_text_or_null(entry.client_dn);
  row.store(fcinfo);
}

void add_link_row(FunctionCallInfo fcinfo, const core::LinkRow& entry, const Clocks& clocks,
                  std::int64_t silence) {
  Row row;
  row.add_text(entry.observer.view());
  row.add_text(entry.target.view());
  if (silence > 0 || !entry.known) {
    row.add_null();
  } else {
    row.add_bool(entry.connected);
  }
  add_interval_if(row, entry.rtt_us >= 0, entry.rtt_us);
  row.add_text_or_null(entry.error);
  row.add_instant(entry.observed_at, clocks);
  row.store(fcinfo);
}

void add_check_row(FunctionCallInfo fcinfo, const core::CheckRow& check, const Clocks& clocks,
                   std::int64_t silence) {
  Row row;
  row.add_text_or_null(core::Name(setting::node_name));
  row.add_text_or_null(check.node);
  row.add_text(check.name.view());
  row.add_word(silence > 0 ? core::Status::unknown : check.status);
  row.add_instant(check.since, clocks);
  row.add_text_or_null(check.detail);
  row.add_text_or_null(check.hint);
  row.store(fcinfo);
}

core::Instant instant_of(pg_atomic_uint64* microseconds) {
  return core::Instant(core::Duration(static_cast<std::int64_t>(pg_atomic_read_u64(microseconds))));
}

/// The check that only a reader can make: whether the worker still turns.
core::CheckRow worker_check(std::int64_t silence) {
  core::CheckRow check;
  check.name = core::check::kWorker;
  check.status = silence > 0 ? core::Status::critical : core::Status::ok;
  check.since = instant_of(silence > 0 ? &shared.control->beat : &shared.control->started);
  if (silence <= 0) return check;
  const std::uint32_t pid = pg_atomic_read_u32(&shared.control->worker_pid);
  // It is in no list of backends: pg_terminate_backend() does not find it.
  char hint[256];
  if (pid == 0) {
    check.detail = "the worker \"pgfed\" of this server does not run";
    check.hint =
        "Look at the server log. If no worker could be registered there: ALTER SYSTEM SET "
        "max_worker_processes to a higher number, and restart.";
  } else {
    check.detail = silence_text(silence);
    std::snprintf(hint, sizeof hint,
                  "Look at the server log and at process %u. To start it anew, on that host: "
                  "pg_ctl kill TERM %u (if the process is stopped, kill -CONT %u as well).",
                  pid, pid, pid);
    check.hint = hint;
  }
  return check;
}

/// Said here as well, since a worker without a name has nothing to say.
core::CheckRow name_check() {
  core::CheckRow check;
  check.name = core::check::kSettings;
  check.status = core::Status::critical;
  check.since = instant_of(&shared.control->started);
  check.detail = "pgfed.node_name is not set";
  check.hint =
      "ALTER SYSTEM SET pgfed.node_name = 'the name of this server in pgfed.nodes'; and restart.";
  return check;
}

}  // namespace

PGFED_FUNCTION(pgfed_federation) {
  begin_rows(fcinfo);
  const std::int64_t silence = worker_silence();
  const Copied<NodeEntry> entries = copy_federation();
  const Clocks clocks = Clocks::read();
  for (const NodeEntry& entry : entries) add_federation_row(fcinfo, entry.row, clocks, silence);
  return Datum{0};
}

PGFED_FUNCTION(pgfed_peers) {
  begin_rows(fcinfo);
  const std::int64_t silence = worker_silence();
  const Copied<NodeEntry> entries = copy_federation();
  const Clocks clocks = Clocks::read();
  for (const NodeEntry& entry : entries) add_peer_row(fcinfo, entry.peer, clocks, silence);
  return Datum{0};
}

PGFED_FUNCTION(pgfed_links) {
  begin_rows(fcinfo);
  const std::int64_t silence = worker_silence();
  const Copied<core::LinkRow> links = copy_links();
  const Clocks clocks = Clocks::read();
  for (const core::LinkRow& link : links) {
    CHECK_FOR_INTERRUPTS();
    add_link_row(fcinfo, link, clocks, silence);
  }
  return Datum{0};
}

PGFED_FUNCTION(pgfed_checks) {
  begin_rows(fcinfo);
  const std::int64_t silence = worker_silence();
  const Copied<core::CheckRow> checks = copy_checks();
  const Clocks clocks = Clocks::read();
  add_check_row(fcinfo, worker_check(silence), clocks, 0);
  bool settings_said = false;
  for (const core::CheckRow& check : checks) {
    if (check.name == core::check::kWorker) continue;
    if (check.name == core::check::kSettings) settings_said = true;
    add_check_row(fcinfo, check, clocks, silence);
  }
  if (setting::node_name[0] == '\0' && !settings_said) {
    add_check_row(fcinfo, name_check(), clocks, 0);
  }
  return Datum{0};
}

PGFED_FUNCTION(pgfed_events) {
  begin_rows(fcinfo);
  for (const EventEntry& event : copy_events()) {
    Row row;
    row.add_bigint(event.id);
    row.add_timestamp(event.at);
    row.add_text_or_null(event.observer);
    row.add_text_or_null(event.node);
    row.add_word(event.severity);
    row.add_text(event.event.view());
    row.add_text_or_null(event.detail);
    row.add_text_or_null(event.actor);
    row.store(fcinfo);
  }
  return Datum{0};
}

}  // namespace pgfed::pg
