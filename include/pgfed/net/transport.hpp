#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "pgfed/core/event.hpp"
#include "pgfed/core/time.hpp"
#include "pgfed/net/hooks.hpp"

namespace pgfed::net {

/// How this server gets into any peer: pgfed.conninfo, parsed and checked.
using Keywords = std::vector<std::pair<std::string, std::string>>;

/// All sessions to the peers: non-blocking libpq behind one epoll descriptor, names resolved by
/// c-ares. Reports what happened as core events. Knows no Postgres server headers, never blocks,
/// never throws out of its public functions (out of memory ends the attempt concerned).
///
/// Deadlines belong to the core: an attempt lasts until the core hangs it up. The transport's own
/// limits are about bytes only: a reply larger than core::kMaxReport (plus the protocol's own
/// overhead), whatever the peer claims or streams, ends the session with FailureKind::protocol.
class Transport {
 public:
  using Hooks = net::Hooks;

  /// Where the system has no descriptor left, descriptor() is -1 and every dial fails. The process
  /// should have called clear_environment() before.
  explicit Transport(Hooks hooks);
  ~Transport();
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  /// Takes the keywords for dials from now on. `default_database` is used where they name none.
  void set_conninfo(Keywords keywords, std::string default_database);

  /// core::Dial. Besides SessionOpened or SessionFailed, a SessionProgress is reported each time
  /// the attempt enters another stage (resolve, connect, tls, authenticate).
  void dial(const core::Dial& dial);
  /// core::Ask: sends `SELECT pgfed.exchange($1)` with these bytes, binary both ways.
  void ask(const core::Ask& ask, const std::vector<std::uint8_t>& bytes);
  /// core::Hangup: returns at once; the goodbye is sent if it can be without waiting.
  void hangup(const core::Hangup& hangup);
  void hangup_all();

  /// The descriptor that becomes readable when there is something to do; for a WaitEventSet.
  [[nodiscard]] int descriptor() const;
  /// When run() is wanted even if nothing becomes readable: c-ares' own timers, or kNever where
  /// something has already happened, as a dial that failed at once.
  [[nodiscard]] core::Instant next_deadline() const;

  /// Does what can be done without waiting and appends what happened to `events`. Of an attempt that
  /// was hung up nothing is told any more, nor of one after its SessionFailed.
  void run(std::vector<core::Event>& events);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pgfed::net
