#include "sim/checks.hpp"

#include <algorithm>
#include <string>

#include "sim/world.hpp"

namespace pgfed::sim {

using core::Identity;
using core::Role;
using core::State;
using core::Status;

namespace {

constexpr int kGraceIntervals = 3;

bool is_quiet(World& world, std::size_t a, std::size_t b, Time since) {
  return world.network().path(a, b).disturbance.quiet_since(since) &&
         world.network().path(b, a).disturbance.quiet_since(since);
}

/// The checks of one observer's picture at one instant.
class PictureCheck {
 public:
  PictureCheck(World& world, std::size_t observer)
      : world_(world),
        observer_(world.server(observer)),
        since_(world.now() - kGraceIntervals * world.interval()) {}

  void run() {
    const Server& observer = observer_;
    if (!undisturbed(observer) || !observer.running()) return;
    if (observer.table_version() != world_.table_version()) return;
    if (!world_.in_table(observer.traits().name)) {
      require(observer.connections().empty(), "holds sessions though it is not in the table");
      return;
    }
    picture_ = observer.federation().picture(observer.local_now());
    require(picture_.federation.size() == world_.table().size(), "shows another number of nodes");
    require(picture_.peers.size() == world_.table().size(), "shows another number of peers");
    if (may_be_confirmed()) {
      require(observer.federation().identity() == Identity::confirmed, "is not confirmed");
    } else {
      return;
    }
    links_ = observer.federation().links(observer.local_now());
    for (std::size_t i = 0; i < picture_.federation.size(); ++i) {
      check_row(picture_.federation[i], picture_.peers[i]);
    }
    for (const core::LinkRow& link : links_) check_link(link);
    check_primaries();
  }

 private:
  [[nodiscard]] bool undisturbed(const Server& server) const {
    return server.disturbance.quiet_since(since_);
  }
  [[nodiscard]] bool quiet_between(const Server& a, const Server& b) const {
    return is_quiet(world_, a.index(), b.index(), since_);
  }
  /// Settled for long enough that one round, which takes an interval, has told everybody.
  [[nodiscard]] bool settled(const Server& server) const {
    return server.facts_changed + world_.interval() * 3 / 2 <= world_.now();
  }

  void require(bool holds, const std::string& what) const {
    if (holds) return;
    throw Violation("at " + show(world_.now()) + " " + observer_.traits().name.str() + " " + what);
  }

  /// Somebody who can prove it is there: itself, or an undisturbed peer.
  [[nodiscard]] bool may_be_confirmed() const {
    if (!observer_.traits().no_hairpin) return quiet_between(observer_, observer_);
    for (std::size_t i = 0; i < world_.scenario().nodes; ++i) {
      const Server& peer = world_.server(i);
      if (i == observer_.index() || !peer.running() || !undisturbed(peer)) continue;
      if (!world_.in_table(peer.traits().name) || !quiet_between(observer_, peer)) continue;
      if (!quiet_between(peer, peer)) continue;
      return true;
    }
    return false;
  }

  void check_row(const core::FederationRow& row, const core::PeerRow& peer_row) const {
    const auto target = world_.server_named(row.node);
    require(target.has_value(), "shows a node that does not exist: " + row.node.str());
    const Server& peer = world_.server(*target);
    if (!undisturbed(peer) || !quiet_between(observer_, peer)) return;
    const std::string of = " of " + row.node.str() + " ";
    if (world_.dead(peer.index())) {
      // Who cannot reach itself at first waits in vain for that, then for the dead one.
      const Time earlier = since_ - world_.scenario().timeout;
      const std::size_t self = observer_.index();
      const bool reaches_itself =
          !observer_.traits().no_hairpin && is_quiet(world_, self, self, earlier);
      if (!reaches_itself && !observer_.disturbance.quiet_since(earlier)) return;
      require(row.state == State::unreachable,
              "shows state" + of + std::string(word(row.state)) + " instead of unreachable");
      require(row.status == Status::critical, "shows a dead node without alarm");
      return;
    }
    if (!peer.running()) return;
    const Duration seen = core::age(row.seen, observer_.local_now());
    // Twice the interval is promised to users; nothing explains more than a slow round trip here.
    require(seen < world_.interval() * 5 / 4,
            "has not seen " + row.node.str() + " for " + show(seen));
    if (&peer != &observer_) {
      require(peer_row.state == core::SessionState::connected,
              "has no session with " + row.node.str() + ": " + peer_row.error.str());
      require(peer_row.failures == 0, "counts failures" + of);
    }
    if (!settled(peer)) return;
    const core::Facts& truth = peer.facts();
    require(row.role == truth.role, "shows role" + of + std::string(word(row.role)));
    require(row.state == truth.state, "shows state" + of + std::string(word(row.state)) +
                                          " instead of " + std::string(word(truth.state)));
    require(row.timeline == truth.timeline, "shows timeline" + of + std::to_string(row.timeline) +
                                                " instead of " + std::to_string(truth.timeline));
    require(row.lsn >= peer.lsn_at(world_.now() - 2 * world_.interval()),
            "shows an old LSN" + of + core::format(row.lsn));
    ++world_.tally().rows;
    require(row.lag_bytes >= core::kNoValue && row.lag_us >= core::kNoValue,
            "shows a negative lag" + of);
  }

  void check_link(const core::LinkRow& link) const {
    const auto from = world_.server_named(link.observer);
    const auto to = world_.server_named(link.target);
    require(from && to, "shows a link of an unknown node");
    const Server& observer = world_.server(*from);
    const Server& target = world_.server(*to);
    for (const Server* server : {&observer, &target}) {
      if (!undisturbed(*server) || !server->running()) return;
    }
    if (!quiet_between(observer_, observer) || !quiet_between(observer, target)) return;
    if (observer.table_version() != world_.table_version()) return;
    if (&observer == &target && observer.traits().no_hairpin) return;
    // An observer without proof of itself looks at nobody.
    if (observer.federation().identity() != Identity::confirmed) return;
    if (*from == *to && target.traits().no_hairpin) return;
    ++world_.tally().links;
    require(link.connected, "shows no link from " + link.observer.str() + " to " +
                                link.target.str() + ": " + link.error.str());
  }

  /// Two primaries at once, where both are in sight.
  void check_primaries() const {
    std::size_t primaries = 0;
    for (std::size_t i = 0; i < world_.scenario().nodes; ++i) {
      const Server& server = world_.server(i);
      if (!world_.in_table(server.traits().name)) continue;
      if (!undisturbed(server) || !quiet_between(observer_, server) || !settled(server)) return;
      if (server.running() && server.role() == Role::primary) ++primaries;
    }
    for (const core::CheckRow& check : picture_.checks) {
      if (!(check.name == core::check::kPrimary) || !check.node.empty()) continue;
      require((primaries == 1) == (check.status == Status::ok),
              "sees another number of primaries than " + std::to_string(primaries) + ": " +
                  check.detail.str());
    }
  }

  World& world_;
  const Server& observer_;
  Time since_;
  core::Picture picture_;
  std::vector<core::LinkRow> links_;
};

/// Nothing is waited for longer than the timeout.
void check_deadlines(const World& world, const Server& server) {
  if (!server.running()) return;
  const Duration longest = world.scenario().timeout + server.traits().tick_lateness;
  for (const auto& [attempt, connection] : server.connections()) {
    if (connection.open && connection.asked == 0) continue;
    if (world.now() - connection.since <= longest) continue;
    throw Violation("at " + show(world.now()) + " " + server.traits().name.str() +
                    " still waits for " + connection.node.str());
  }
}

void check_copy(World& world, const Server& copy) {
  const auto of = world.server_named(copy.traits().name);
  const Server& real = world.server(*of);
  if (!real.running() || !copy.running()) return;
  const auto& table = copy.table();
  const bool knows_it = std::any_of(table.begin(), table.end(), [&](const core::NodeSpec& node) {
    return node.name == real.traits().name && node.host == real.traits().host;
  });
  if (!knows_it) return;  // it moved, or was not in the table, when the copy was made
  const Identity identity = copy.federation().identity();
  if (identity == Identity::quarantine) return;
  // Where it cannot reach the real one, one peer that can settles it.
  const bool blind =
      world.network().path(copy.index(), real.index()).cuts > 0 || copy.traits().no_hairpin;
  for (std::size_t i = 0; blind && i < world.scenario().nodes; ++i) {
    const Server& peer = world.server(i);
    if (i == real.index() || !peer.running() || !world.in_table(peer.traits().name)) continue;
    if (!world.in_table(real.traits().name)) continue;
    const auto at = std::find_if(table.begin(), table.end(), [&](const core::NodeSpec& node) {
      return node.name == peer.traits().name && node.host == peer.traits().host;
    });
    if (at != table.end())
      throw Violation("a blind copy of " + real.traits().name.str() + " is " +
                      std::string(word(identity)));
  }
  if (!blind) {
    throw Violation("a copy of " + real.traits().name.str() + " is " + std::string(word(identity)));
  }
}

}  // namespace

void check_step(const World& world, const Server& server) {
  if (!server.alive()) return;
  const Identity identity = server.federation().identity();
  const core::Name& name = server.traits().name;
  if (server.traits().copy && identity == Identity::confirmed) {
    throw Violation("at " + show(world.now()) + " a copy of " + name.str() + " is confirmed");
  }
  if (!server.traits().copy && identity == Identity::quarantine) {
    throw Violation("at " + show(world.now()) + " " + name.str() + " is in quarantine");
  }
  if (identity != Identity::checking && identity != Identity::quarantine) return;
  for (const auto& [attempt, connection] : server.connections()) {
    if (connection.node == name) continue;
    throw Violation("at " + show(world.now()) + " " + name.str() + ", which is " +
                    std::string(word(identity)) + ", has a session with " + connection.node.str());
  }
}

void check_pictures(World& world) {
  for (std::size_t i = 0; i < world.size(); ++i) check_deadlines(world, world.server(i));
  for (std::size_t i = 0; i < world.scenario().nodes; ++i) PictureCheck(world, i).run();
}

void check_end(World& world) {
  for (std::size_t i = world.scenario().nodes; i < world.size(); ++i) {
    check_copy(world, world.server(i));
  }
  if (world.any_dead() || world.any_copy() || world.primaries() != 1) return;
  // All is well in the end: nobody complains of anything.
  for (std::size_t i = 0; i < world.scenario().nodes; ++i) {
    const Server& server = world.server(i);
    if (!world.in_table(server.traits().name)) continue;
    if (!world.in_table(world.server(world.primary()).traits().name)) continue;
    for (const core::CheckRow& check : server.federation().picture(server.local_now()).checks) {
      if (check.status == Status::ok) continue;
      if (world.table().size() == 1 && check.name == core::check::kIdentity) continue;
      throw Violation(server.traits().name.str() + " still complains: " + check.name.str() + " " +
                      check.node.str() + " " + std::string(word(check.status)) + " " +
                      check.detail.str());
    }
  }
}

}  // namespace pgfed::sim
