#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "pgfed/core/federation.hpp"

/// One Federation among servers that the test makes up: what stands at each endpoint answers dials
/// and requests as it was told to, after its latency, on a clock that the test moves.
namespace pgfed::core::testing {

inline constexpr std::uint64_t kSystem = 7420000000000000001ULL;

inline Incarnation life(std::string_view node, std::uint8_t number = 1) {
  Incarnation made;
  for (std::size_t i = 0; i < node.size() && i < 15; ++i) {
    made.bytes[i] = static_cast<std::uint8_t>(node[i]);
  }
  made.bytes[15] = number;
  return made;
}

inline Self self_named(std::string_view node) {
  Self self;
  self.node = node;
  self.federation = "iliad";
  self.incarnation = life(node);
  self.system_identifier = kSystem;
  self.library_version = "0.1";
  self.server_version = 150010;
  return self;
}

/// The usual three: leo on 127.0.0.2, ait on .3, pit on .4.
inline NodeSpec spec_of(std::string_view node, std::string_view host = "") {
  NodeSpec spec;
  spec.name = node;
  spec.site = "default";
  if (!host.empty()) {
    spec.host = host;
  } else if (node == "leo") {
    spec.host = "127.0.0.2";
  } else if (node == "ait") {
    spec.host = "127.0.0.3";
  } else if (node == "pit") {
    spec.host = "127.0.0.4";
  } else {
    spec.host = std::string(node) + ".example.com";
  }
  return spec;
}

inline Facts primary_facts(std::uint64_t lsn = 0x1000, std::uint32_t timeline = 1) {
  Facts facts;
  facts.role = Role::primary;
  facts.state = State::running;
  facts.timeline = timeline;
  facts.write = facts.flush = facts.replay = Lsn{lsn};
  facts.system_identifier = kSystem;
  return facts;
}

inline Facts standby_facts(std::uint64_t lsn = 0x1000, std::string_view upstream = "127.0.0.2") {
  Facts facts = primary_facts(lsn);
  facts.role = Role::standby;
  facts.state = State::streaming;
  facts.upstream_end = Lsn{lsn};
  facts.upstream_host = upstream;
  facts.upstream_port = 5432;
  return facts;
}

inline Report report_of(std::string_view node, const Facts& facts) {
  Report report;
  report.node = node;
  report.federation = "iliad";
  report.incarnation = life(node);
  report.identity = Identity::confirmed;
  report.facts = facts;
  report.library_version = "0.1";
  report.extension_version = "0.1";
  report.server_version = 150010;
  return report;
}

inline LinkReport link_of(std::string_view target, const Incarnation& incarnation,
                          Duration age = milliseconds(10)) {
  LinkReport link;
  link.target = target;
  link.connected = true;
  link.incarnation = incarnation;
  link.role = Role::standby;
  link.rtt = milliseconds(1);
  link.age = age;
  return link;
}

/// A certificate for a host, valid from day 0 to `days`, of the wall clock of these tests.
inline Certificate certificate_of(std::string_view host, std::uint8_t number = 1,
                                  std::int64_t days = 365) {
  Certificate certificate;
  certificate.subject = "CN=" + std::string(host);
  certificate.issuer = "CN=Iliad CA";
  certificate.ip_addresses = {std::string(host)};
  certificate.sha256.bytes.fill(number);
  certificate.not_after = days * 86400;
  certificate.key = "EC P-256";
  return certificate;
}

/// What a probe finds where all is well.
inline ProbeResult good_probe(const Certificate& served) {
  ProbeResult result;
  result.stage = ProbeStage::done;
  result.diagnosis = Diagnosis::ok;
  result.protocol = "TLSv1.3";
  result.chain_ok = true;
  result.host_match = true;
  result.client_certificate = ClientCertificate::sent;
  result.chain = {served};
  return result;
}

inline ProbeResult bad_probe(Diagnosis diagnosis, std::string_view detail = "it is broken") {
  ProbeResult result;
  result.stage = ProbeStage::connect;
  result.diagnosis = diagnosis;
  result.detail = detail;
  return result;
}

inline Failure failure_of(Stage stage, FailureKind kind, std::string_view message,
                          std::string_view sqlstate = "") {
  Failure failure;
  failure.stage = stage;
  failure.kind = kind;
  failure.message = message;
  failure.sqlstate = sqlstate;
  return failure;
}

inline Failure refused() {
  return failure_of(Stage::connect, FailureKind::network, "connection refused");
}

/// What stands at a node's endpoint.
struct Server {
  Report report;
  std::optional<Failure> refuses;    ///< what comes of each dial
  std::optional<Failure> breaks;     ///< what comes of each request
  std::optional<ProbeResult> probe;  ///< what a probe finds; nothing: a good certificate
  bool silent = false;               ///< nothing comes of anything
  bool frozen = false;  ///< dials succeed (the kernel's doing), requests stay unanswered
  Duration latency = milliseconds(1);  ///< from a dial or request to what comes of it
};

class Bench {
 public:
  explicit Bench(std::string_view node, std::size_t max_nodes = 32)
      : Bench(self_named(node), max_nodes) {}
  explicit Bench(const Self& self, std::size_t max_nodes = 32)
      : self_(self), fed(self, max_nodes, Instant(seconds(1000))) {}

  // ---- driving ---------------------------------------------------------------------------------

  void step(const Event& event) {
    const std::size_t first = actions.size();
    fed.step(event, now, actions);
    // No busy loop: once a step is done, nothing is due.
    EXPECT_GT(fed.next_deadline(), now) << "event " << event.index();
    for (std::size_t i = first; i < actions.size(); ++i) {
      if (const auto* dial = std::get_if<Dial>(&actions[i])) on_dial(*dial);
      if (const auto* ask = std::get_if<Ask>(&actions[i])) on_ask(*ask);
      if (const auto* hangup = std::get_if<Hangup>(&actions[i])) open_.erase(hangup->attempt);
      if (const auto* probe = std::get_if<Probe>(&actions[i])) on_probe(*probe);
    }
  }
  /// Moves the clock; everything that falls due in between happens at its time.
  void run_for(Duration duration) {
    const Instant end = now + duration;
    while (true) {
      const Instant due = fed.next_deadline();
      const bool event_first = !pending_.empty() && pending_.begin()->first <= due;
      const Instant next = event_first ? pending_.begin()->first : due;
      if (next > end) break;
      now = std::max(now, next);
      if (event_first) {
        const Event event = std::move(pending_.begin()->second);
        pending_.erase(pending_.begin());
        step(event);
      } else {
        step(Tick{});
      }
    }
    now = end;
  }
  void set_nodes(const std::vector<NodeSpec>& nodes) { step(nodes_changed(nodes)); }
  static NodesChanged nodes_changed(const std::vector<NodeSpec>& nodes) {
    NodesChanged change;
    change.state = CatalogState::ready;
    change.nodes = nodes;
    change.table_system_identifier = kSystem;
    change.extension_version = "0.1";
    return change;
  }
  void set_facts(const Facts& facts) { step(FactsTaken{facts}); }
  void set_settings(const Settings& settings) { step(SettingsChanged{settings}); }
  /// Facts, the table and one answering server for each of the three, this one among them.
  void start_three() {
    const std::string me = self_.node.str();
    const Facts mine = me == "leo" ? primary_facts() : standby_facts();
    for (const char* node : {"leo", "ait", "pit"}) {
      servers[node].report =
          report_of(node, std::string_view(node) == "leo" ? primary_facts() : standby_facts());
    }
    set_facts(mine);
    set_nodes({spec_of("leo"), spec_of("ait"), spec_of("pit")});
  }
  /// The same, some seconds later: all sessions stand, and what happened on the way is forgotten.
  void settle_three() {
    start_three();
    run_for(seconds(5));
    actions.clear();
  }
  /// The server is gone with its sessions, as after kill -9: its port is closed.
  void kill(const std::string& node) {
    servers[node].refuses = refused();
    break_sessions(node, failure_of(Stage::query, FailureKind::network,
                                    "server closed the connection unexpectedly"));
  }
  void break_sessions(const std::string& node, const Failure& failure) {
    for (const auto& [attempt, name] : std::map<Attempt, std::string>(open_)) {
      if (name != node) continue;
      open_.erase(attempt);
      step(SessionFailed{attempt, failure});
    }
  }
  /// Starts anew, as `number`th life.
  void restart(const std::string& node, std::uint8_t number) {
    servers[node].refuses.reset();
    servers[node].report.incarnation = life(node, number);
    break_sessions(node, failure_of(Stage::query, FailureKind::network,
                                    "server closed the connection unexpectedly"));
  }

  // ---- looking ---------------------------------------------------------------------------------

  FederationRow row(std::string_view node) const {
    for (const FederationRow& row : fed.picture(now).federation) {
      if (row.node == node) return row;
    }
    ADD_FAILURE() << "no row for " << node;
    return {};
  }
  PeerRow peer(std::string_view node) const {
    for (const PeerRow& row : fed.picture(now).peers) {
      if (row.node == node) return row;
    }
    ADD_FAILURE() << "no peer " << node;
    return {};
  }
  std::optional<CheckRow> check(std::string_view name, std::string_view node = "") const {
    for (const CheckRow& row : fed.picture(now).checks) {
      if (row.name == name && row.node == node) return row;
    }
    return std::nullopt;
  }
  /// The status in words; "none" where there is no such check.
  std::string verdict(std::string_view name, std::string_view node = "") const {
    const auto found = check(name, node);
    return found ? std::string(word(found->status)) : "none";
  }
  std::vector<CheckRow> checks_at(Status status) const {
    std::vector<CheckRow> found;
    for (const CheckRow& row : fed.picture(now).checks) {
      if (row.status == status) found.push_back(row);
    }
    return found;
  }
  std::optional<LinkRow> link(std::string_view observer, std::string_view target) const {
    for (const LinkRow& row : fed.links(now)) {
      if (row.observer == observer && row.target == target) return row;
    }
    return std::nullopt;
  }
  std::vector<Record> records(std::string_view event = "", std::string_view node = "") const {
    std::vector<Record> found;
    for (const Action& action : actions) {
      const auto* record = std::get_if<Record>(&action);
      if (record != nullptr && (event.empty() || record->event == event) &&
          (node.empty() || record->node == node)) {
        found.push_back(*record);
      }
    }
    return found;
  }
  std::string words() const {
    std::string all;
    for (const Record& record : records()) {
      all += record.event.str() + " " + record.node.str() + ": " + record.detail.str() + "\n";
    }
    return all;
  }
  std::size_t dials(std::string_view node = "") const {
    std::size_t count = 0;
    for (const Action& action : actions) {
      const auto* dial = std::get_if<Dial>(&action);
      count += dial != nullptr && (node.empty() || dial->node.name == node) ? 1 : 0;
    }
    return count;
  }
  /// Instants of the requests to one node.
  const std::vector<Instant>& asked(const std::string& node) { return asked_[node]; }
  /// Instants of the probes of one host.
  const std::vector<Instant>& probed(const std::string& host) { return probed_[host]; }
  template <typename T>
  std::size_t count() const {
    std::size_t count = 0;
    for (const Action& action : actions) count += std::holds_alternative<T>(action) ? 1 : 0;
    return count;
  }
  /// The attempt that was dialled last to a node.
  Attempt attempt(const std::string& node) const {
    for (auto at = dialled_.rbegin(); at != dialled_.rend(); ++at) {
      if (at->second == node) return at->first;
    }
    return 0;
  }

  const Self& self() const { return self_; }

 private:
  Self self_;

 public:
  Federation fed;
  Instant now{seconds(1000)};
  Actions actions;
  std::map<std::string, Server> servers;
  /// What would still come, by time: tests may add to it.
  std::multimap<Instant, Event>& pending() { return pending_; }

 private:
  void on_dial(const Dial& dial) {
    const std::string node = dial.node.name.str();
    dialled_[dial.attempt] = node;
    const Server& server = servers[node];
    if (server.silent) return;
    if (server.refuses) {
      pending_.emplace(now + server.latency, SessionFailed{dial.attempt, *server.refuses});
      return;
    }
    open_[dial.attempt] = node;
    SessionInfo info;
    info.server_version = 150010;
    info.tls_protocol = "TLSv1.3";
    info.client_dn = "/CN=" + self_.node.str();
    pending_.emplace(now + server.latency, SessionOpened{dial.attempt, info});
  }
  void on_probe(const Probe& probe) {
    probed_[probe.endpoint.host.str()].push_back(now);
    // A probe of what listens at an address, and no node, finds what the test says of that address.
    const Server& at_address = servers[probe.endpoint.host.str()];
    const Server& server = at_address.probe ? at_address : servers[probe.endpoint.name.str()];
    pending_.emplace(
        now + server.latency,
        Probed{probe.id, server.probe ? *server.probe
                                      : good_probe(certificate_of(probe.endpoint.host.view()))});
  }
  void on_ask(const Ask& ask) {
    const std::string node = dialled_[ask.attempt];
    asked_[node].push_back(now);
    const Server& server = servers[node];
    if (server.silent || server.frozen) return;
    if (server.breaks) {
      open_.erase(ask.attempt);
      pending_.emplace(now + server.latency, SessionFailed{ask.attempt, *server.breaks});
      return;
    }
    pending_.emplace(now + server.latency, ReplyReceived{ask.attempt, ask.request, server.report});
  }

  std::map<Attempt, std::string> dialled_;
  std::map<Attempt, std::string> open_;
  std::map<std::string, std::vector<Instant>> asked_;
  std::map<std::string, std::vector<Instant>> probed_;
  std::multimap<Instant, Event> pending_;
};

/// The gap between two requests to a node never exceeds this: its `seen` stays under two intervals.
inline void expect_on_time(Bench& bench, const std::string& node, std::size_t from = 0) {
  const auto& asked = bench.asked(node);
  ASSERT_GT(asked.size(), from + 1) << node;
  for (std::size_t i = from + 1; i < asked.size(); ++i) {
    EXPECT_LE(asked[i] - asked[i - 1], milliseconds(1002)) << node;
  }
  EXPECT_LT(age(bench.row(node).seen, bench.now), seconds(2)) << node;
}

}  // namespace pgfed::core::testing
