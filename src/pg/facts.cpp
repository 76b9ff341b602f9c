#include "pgfed/pg/shared_state.hpp"

namespace pgfed::pg {
namespace {

/// How far a standby's receipt may be behind what its upstream told of, before it counts as
/// catching up: one segment.
constexpr std::uint64_t kCatchupBytes = 16 * 1024 * 1024;

constexpr std::int64_t kPostgresEpochOffset =
    static_cast<std::int64_t>(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY *
    USECS_PER_SEC;

void take_primary(core::Facts& facts) {
  TimeLineID timeline = 0;
  facts.role = core::Role::primary;
  facts.state = core::State::running;
  facts.flush = core::Lsn{GetFlushRecPtr(&timeline)};
  facts.write = core::Lsn{std::max<std::uint64_t>(GetXLogWriteRecPtr(), facts.flush.value)};
  facts.replay = facts.flush;
  facts.timeline = timeline;
}

/// What the walreceiver shows, copied under its spinlock.
struct Receiver {
  bool streaming = false;
  std::uint64_t upstream_end = 0;
  char host[NI_MAXHOST] = {};
  int port = 0;
  char slot[NAMEDATALEN] = {};
};

void take_receiver(Receiver& out) {
  WalRcvData* receiver = WalRcv;
  SpinLockAcquire(&receiver->mutex);
  out.streaming = receiver->pid != 0 && receiver->walRcvState == WALRCV_STREAMING;
  if (out.streaming) {
    out.upstream_end = receiver->latestWalEnd;
    if (receiver->ready_to_display) {
      memcpy(out.host, receiver->sender_host, sizeof out.host);
      out.port = receiver->sender_port;
      memcpy(out.slot, receiver->slotname, sizeof out.slot);
    }
  }
  SpinLockRelease(&receiver->mutex);
  out.host[sizeof out.host - 1] = '\0';
  out.slot[sizeof out.slot - 1] = '\0';
}

void take_standby(core::Facts& facts) {
  TimeLineID timeline = 0;
  Receiver receiver;
  facts.role = core::Role::standby;
  facts.replay = core::Lsn{GetXLogReplayRecPtr(&timeline)};
  facts.timeline = timeline;
  take_receiver(receiver);
  // What was replayed from the archive or pg_wal is here, whoever brought it.
  facts.flush = core::Lsn{
      std::max<std::uint64_t>(GetWalRcvFlushRecPtr(nullptr, nullptr), facts.replay.value)};
  facts.write = core::Lsn{std::max<std::uint64_t>(GetWalRcvWriteRecPtr(), facts.flush.value)};
  facts.replay_paused = GetRecoveryPauseState() == RECOVERY_PAUSED;
  if (!receiver.streaming) {
    facts.state = core::State::not_streaming;
    return;
  }
  facts.upstream_end = core::Lsn{receiver.upstream_end};
  facts.upstream_host = core::HostText(receiver.host);
  facts.upstream_port = static_cast<std::uint16_t>(receiver.port);
  facts.slot = core::Text<64>(receiver.slot);
  facts.state = core::bytes_between(facts.flush, facts.upstream_end) > kCatchupBytes
                    ? core::State::catchup
                    : core::State::streaming;
}

}  // namespace

core::Facts take_facts() {
  core::Facts facts;
  if (RecoveryInProgress()) {
    take_standby(facts);
  } else {
    take_primary(facts);
  }
  facts.system_identifier = GetSystemIdentifier();
  facts.wall_clock = GetCurrentTimestamp() + kPostgresEpochOffset;
  return facts;
}

}  // namespace pgfed::pg
