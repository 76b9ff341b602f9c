#pragma once

#include <memory>
#include <vector>

#include "pgfed/core/event.hpp"
#include "pgfed/core/node.hpp"
#include "pgfed/core/probe.hpp"
#include "pgfed/core/time.hpp"
#include "pgfed/net/conninfo.hpp"
#include "pgfed/net/hooks.hpp"

namespace pgfed::net {

/// Dials endpoints afresh and looks at what they serve: plain sockets and OpenSSL behind one epoll
/// descriptor, names resolved by c-ares. A bad certificate does not end a handshake: it is kept,
/// and verified afterwards. Knows no Postgres server headers, never blocks on the network (it reads
/// the files of pgfed.conninfo), never throws out of its public functions.
///
/// The server sees a connection that asks for TLS and leaves without a startup packet: Postgres
/// logs nothing of that.
class Prober {
 public:
  using Hooks = net::Hooks;

  explicit Prober(Hooks hooks);
  ~Prober();
  Prober(const Prober&) = delete;
  Prober& operator=(const Prober&) = delete;

  /// What the probes trust and present from now on: sslrootcert (a file, or `system`), sslcrl,
  /// sslcrldir, sslcert, sslkey, ssl_min_protocol_version and ssl_max_protocol_version of
  /// pgfed.conninfo, with libpq's defaults for those that are missing. Files are read again when
  /// they changed.
  void set_conninfo(const Keywords& conninfo);

  /// Begins a probe; its end is reported by run(), at the latest after `limit`. The endpoint's
  /// options count as they do for a session: hostaddr, sslnegotiation, sslsni. More than
  /// kMaxProbes at a time wait for their turn, which the limit does not count.
  void probe(core::ProbeId id, const core::NodeSpec& endpoint, core::Duration limit);
  /// Forgets a probe; nothing is reported of it any more.
  void cancel(core::ProbeId id);
  void cancel_all();

  static constexpr std::size_t kMaxProbes = 32;

  /// Becomes readable when run() has something to do.
  [[nodiscard]] int descriptor() const;
  /// When run() is wanted even so; kForever where nothing is under way.
  [[nodiscard]] core::Instant next_deadline() const;
  /// Does what can be done without waiting, a few handshakes at most; appends core::Probed.
  void run(std::vector<core::Event>& events);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pgfed::net
