#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pgfed/core/check_book.hpp"
#include "pgfed/core/event.hpp"
#include "pgfed/core/lag_estimator.hpp"
#include "pgfed/core/node_registry.hpp"
#include "pgfed/core/peer.hpp"
#include "pgfed/core/picture.hpp"
#include "pgfed/core/settings.hpp"

namespace pgfed::core {

/// The federation as one node sees it: takes events, answers with actions, knows no socket, clock or
/// database. Deterministic: the same events at the same instants give the same actions and pictures.
class Federation {
 public:
  Federation(const Self& self, std::size_t max_nodes, Instant started);

  /// Takes one event and appends what is to be done about it. `now` never goes backwards.
  void step(const Event& event, Instant now, Actions& actions);

  /// When step(Tick) is wanted at the latest.
  [[nodiscard]] Instant next_deadline() const;

  /// What to show, with `now` for what lies between the events (lag grows by itself).
  [[nodiscard]] Picture picture(Instant now) const;

  /// The rows of pgfed.links: n × n, hence apart from the picture, to be taken less often.
  [[nodiscard]] std::vector<LinkRow> links(Instant now) const;

  /// The rows of pgfed.tls and pgfed.certificates: they change rarely, hence apart from the picture.
  [[nodiscard]] TrustPicture trust(Instant now) const;

  /// What this node says of itself in an exchange; without the inventory, of which only the digest
  /// is in every report.
  [[nodiscard]] Report report(Instant now) const;
  /// What this node tells of its TLS files and its set-up.
  [[nodiscard]] const Inventory& own_inventory() const { return own_inventory_; }

  [[nodiscard]] Identity identity() const { return identity_; }

  /// Raised whenever something changed that a reader should see at once (a state, role, check or
  /// link, not an age or an LSN): the shell publishes at its leisure otherwise.
  [[nodiscard]] std::uint64_t revision() const { return revision_; }
  /// Likewise for the links alone.
  [[nodiscard]] std::uint64_t links_revision() const { return links_revision_; }
  /// Likewise for what trust() shows.
  [[nodiscard]] std::uint64_t trust_revision() const { return trust_revision_; }

 private:
  // federation.cpp: events
  void apply(const SettingsChanged& change, Instant now, Actions& actions);
  void apply(const NodesChanged& change, Instant now, Actions& actions);
  void apply(const FactsTaken& taken, Instant now, Actions& actions);
  void apply(const SessionProgress& progress);
  void apply(const SessionOpened& opened, Instant now);
  void apply(const SessionFailed& failed, Instant now, Actions& actions);
  void apply(const ReplyReceived& reply, Instant now, Actions& actions);
  void apply(const Heard& heard, Instant now);
  /// Hangs up and knows nothing of the node any more, as after a change of its endpoint.
  void forget(Peer& peer, Instant now, Actions& actions);
  void run_sessions(Instant now, Actions& actions);
  void note_failure(Peer& peer, const Failure& failure, Instant now, Actions& actions);
  void note_state(Peer& peer, Instant now, Actions& actions);
  void tell_peers_soon(Instant now);
  [[nodiscard]] bool may_dial(const Peer& peer) const;
  [[nodiscard]] bool idle() const;

  // federation_trust.cpp: probes, files, reloads
  void apply(const Probed& probed, Instant now, Actions& actions);
  void apply(const TrustChanged& changed, Instant now, Actions& actions);
  void apply(const FilesRead& read, Instant now, Actions& actions);
  void apply(const SetupRead& read);
  void run_probes(Instant now, Actions& actions);
  [[nodiscard]] Instant next_probe() const;
  void stop_probe(Peer& peer, Actions& actions);
  void note_probe(Peer& peer, const ProbeResult& result, Instant now, Actions& actions);
  void consider_reload(Instant now, Actions& actions);
  [[nodiscard]] bool reload_is_wanted() const;
  void take_inventory(Peer& peer, Report& report);
  void renew_own_inventory();

  // federation_trust_checks.cpp: verdicts on them
  void review_trust(Instant now, Actions& actions);
  void review_endpoint(Peer& peer, Actions& actions);
  void review_validity(Peer& peer, std::int64_t wall_now, Actions& actions);
  void review_problems(Peer& peer);
  void review_authorities();
  void review_shared_certificate();
  [[nodiscard]] std::optional<Problem> missing_names() const;
  void write_trust_checks(const Peer& peer);
  [[nodiscard]] std::int64_t wall_seconds(Instant now) const;

  // federation_identity.cpp: is this server the node whose name it carries?
  void learn_identity_from_self(const Report& answer, Instant now, Actions& actions);
  void learn_identity_from_failure(Instant now, Actions& actions);
  /// `asked`: when the request was sent that the report answers.
  void learn_identity_from_peer(const Report& report, Instant asked, Instant now, Actions& actions);
  void learn_identity_from_namesake(const Peer& peer, const Report& answer, Instant now,
                                    Actions& actions);
  void doubt_identity_after_move(Instant now, Actions& actions);
  void set_identity(Identity identity, std::string_view why, Instant now, Actions& actions);
  void review_identity(Instant now, Actions& actions);
  [[nodiscard]] bool upstream_is_self() const;
  Rival& note_rival(Peer& peer, const Incarnation& claimed, Identity identity, Instant at);
  /// Weighs what was claimed against the answer that came; `before` is the answer before it.
  void weigh_rival(Peer& peer, const std::optional<Report>& before, Instant asked, Instant now);
  [[nodiscard]] bool rival_proven(const Peer& peer, Instant now) const;

  // federation_checks.cpp: verdicts
  void evaluate(Instant now, Actions& actions);
  void check_self(Instant now);
  void check_primaries(Actions& actions);
  void check_node(const Peer& peer, Instant now);
  [[nodiscard]] std::string_view why_not_dialled() const;
  void write_finding(const char* name, const Name& node, const Finding& finding);
  void check_standby(const Peer& peer, const Facts& facts, const JudgedBy& judged_by, Instant now);

  // federation_picture.cpp
  [[nodiscard]] FederationRow federation_row(const Peer& peer, Instant now) const;
  [[nodiscard]] PeerRow peer_row(const Peer& peer) const;
  void add_links(const Peer& peer, Instant now, std::vector<LinkRow>& links) const;
  [[nodiscard]] LinkReport link_to(const Peer& peer, Instant now) const;

  // shared by them
  [[nodiscard]] Peer* find(const Name& name);
  [[nodiscard]] const Peer* find(const Name& name) const;
  [[nodiscard]] Peer* find(Attempt attempt);
  [[nodiscard]] bool is_self(const Peer& peer) const { return peer.spec.name == self_.node; }
  [[nodiscard]] const Facts* facts_of(const Peer& peer) const;
  [[nodiscard]] const JudgedBy& judged_by_of(const Peer& peer) const;
  [[nodiscard]] const Peer* the_primary() const;
  [[nodiscard]] const Peer* upstream_of(const Facts& facts) const;
  [[nodiscard]] std::optional<Duration> lag_of(const Facts& facts, Instant now) const;
  [[nodiscard]] Timing timing() const { return {settings_.peer_interval, settings_.peer_timeout}; }
  [[nodiscard]] Duration patience() const { return 3 * settings_.peer_interval; }

  Self self_;
  Instant started_;
  Settings settings_;
  std::uint64_t table_system_identifier_ = 0;
  NodeRegistry registry_;
  std::vector<Peer> peers_;  ///< sorted by name; this node among them
  Facts facts_;
  Instant facts_at_{};
  JudgedBy judged_by_;
  LagEstimator primary_wal_;
  Instant identity_since_{};
  Counters counters_;
  CheckBook checks_;

  ProbeId last_probe_ = 0;
  FilesRead files_;                      ///< this server's, as read last
  std::vector<Problem> setup_problems_;  ///< likewise
  Inventory own_inventory_;
  std::uint64_t loaded_digest_ = 0;     ///< of the files that the server is known to have loaded
  std::uint64_t reloading_digest_ = 0;  ///< of those for which it was told to load them
  Instant reloaded_at_{};
  ProbeId local_probe_ = 0;  ///< of this server at an address that it listens on
  Instant local_probe_at_{};
  Instant local_probe_due_{};
  Instant local_leaf_at_{};
  Instant trust_reviewed_at_{};
  std::uint64_t trust_revision_ = 1;
  std::uint64_t revision_ = 1;
  std::uint64_t links_revision_ = 1;
  Instant evaluated_at_{};

  // What is small, and texts: in any other order there would be holes between them.
  std::uint32_t strangers_in_a_row_ = 0;  ///< answers of another server at our own endpoint
  VersionText extension_version_;
  DetailText identity_detail_;
  Fingerprint local_leaf_;  ///< that this server served at an address that it listens on
  Finding authorities_;
  std::optional<Finding> shared_certificate_;
  CatalogState catalog_ = CatalogState::unknown;
  Identity identity_ = Identity::checking;
  bool settled_by_peer_ = false;
  bool quarantine_told_ = false;
  bool no_primary_ = false;
  bool two_primaries_ = false;
  bool trust_dirty_ = true;
  bool dirty_ = true;
};

}  // namespace pgfed::core
