#include "sim/world.hpp"

#include <algorithm>

#include "sim/checks.hpp"
#include "sim/fault_plan.hpp"

namespace pgfed::sim {

using core::Role;

namespace {

constexpr std::uint16_t kPort = 5432;
constexpr const char* kNames[] = {"leo", "ait", "pit", "uma", "zoe", "kai", "ida"};

/// Room for copies: paths are laid before anything is sent.
constexpr std::size_t kMostCopies = 2;

core::HostText host_of(std::size_t index, int moves) {
  return "10." + std::to_string(moves) + ".0." + std::to_string(index + 1);
}

}  // namespace

World::World(std::uint64_t seed, bool verbose)
    : dice_(seed), trace_(verbose), network_(queue_, dice_) {
  make_scenario();
  make_servers();
}

void World::make_scenario() {
  scenario_.nodes = 2 + dice_.below(6);
  // Half of the runs have the defaults.
  scenario_.interval = core::seconds(1);
  scenario_.timeout = core::seconds(2);
  if (dice_.chance(50)) {
    scenario_.interval = dice_.between(core::milliseconds(200), core::seconds(2));
    scenario_.timeout = dice_.between(scenario_.interval / 2, 2 * scenario_.interval);
  }
  scenario_.quiet_at = (12 + static_cast<int>(dice_.below(6))) * scenario_.interval;
  scenario_.end = scenario_.quiet_at + 6 * scenario_.interval;
}

void World::make_servers() {
  network_.resize(scenario_.nodes + kMostCopies);
  core::Settings settings;
  settings.peer_interval = scenario_.interval;
  settings.peer_timeout = scenario_.timeout;
  for (std::size_t i = 0; i < scenario_.nodes; ++i) {
    ServerTraits traits;
    traits.name = kNames[i];
    traits.host = host_of(i, 0);
    traits.no_hairpin = dice_.chance(15);
    traits.refuses_itself = dice_.chance(50);
    traits.shared_certificate = dice_.chance(30);
    traits.boot_offset = dice_.between(Duration(0), core::seconds(1000000));
    traits.tick_lateness = dice_.chance(50) ? Duration(0) : scenario_.interval / 50;
    servers_.push_back(std::make_unique<Server>(*this, i, traits));
    servers_.back()->take_settings(settings);
    put_in_table(i, true);
    connect_paths(i);
  }
  dead_.resize(scenario_.nodes + kMostCopies, false);
  primary_ = dice_.below(scenario_.nodes);
  ++table_version_;
  for (auto& server : servers_) {
    server->follow(primary_);
    server->take_table(table_version_, table_);
  }
  servers_[primary_]->set_role(Role::primary, 1);
}

void World::connect_paths(std::size_t index) {
  for (std::size_t other = 0; other < network_.size(); ++other) {
    const Duration latency = dice_.between(scenario_.interval / 2000, scenario_.interval / 40);
    network_.path(index, other).latency = index == other ? latency / 10 : latency;
    network_.path(other, index).latency = index == other ? latency / 10 : latency;
  }
}

void World::run() {
  for (std::size_t i = 0; i < scenario_.nodes; ++i) {
    queue_.in(dice_.between(Duration(0), scenario_.interval), [this, i] {
      servers_[i]->start();
      servers_[i]->disturbance.touch(now());
      refresh_facts(i);
    });
  }
  plan_faults(*this);
  queue_.at(scenario_.quiet_at, [this] { heal(); });
  queue_.in(scenario_.interval, [this] { sample(); });
  while (queue_.run_one(scenario_.end)) {
  }
  check_end(*this);
}

void World::refresh_facts(std::size_t index) {
  servers_[index]->take_facts();
  queue_.in(dice_.between(scenario_.interval / 10, scenario_.interval / 4),
            [this, index] { refresh_facts(index); });
}

void World::sample() {
  check_pictures(*this);
  queue_.in(scenario_.interval / 4, [this] { sample(); });
}

// ---- who is where ----------------------------------------------------------------------------

std::optional<std::size_t> World::server_at(const core::HostText& host) const {
  for (const auto& server : servers_) {
    if (server->traits().host == host) return server->index();
  }
  return std::nullopt;
}

std::optional<std::size_t> World::server_named(const core::Name& name) const {
  for (const auto& server : servers_) {
    if (!server->traits().copy && server->traits().name == name) return server->index();
  }
  return std::nullopt;
}

bool World::in_table(const core::Name& name) const {
  return std::any_of(table_.begin(), table_.end(),
                     [&](const core::NodeSpec& node) { return node.name == name; });
}

bool World::any_dead() const { return std::find(dead_.begin(), dead_.end(), true) != dead_.end(); }

std::size_t World::primaries() const {
  return static_cast<std::size_t>(
      std::count_if(servers_.begin(), servers_.end(), [](const auto& server) {
        return !server->traits().copy && server->running() && server->role() == Role::primary;
      }));
}

bool World::streams(std::size_t standby, std::size_t upstream) const {
  if (standby == upstream || !servers_[upstream]->running()) return false;
  auto& network = const_cast<Network&>(network_);  // NOLINT: path() has no const twin
  return network.path(upstream, standby).cuts == 0 && network.path(standby, upstream).cuts == 0;
}

// ---- what faults do --------------------------------------------------------------------------

std::size_t World::add_copy(std::size_t of, bool blind) {
  const std::size_t index = servers_.size();
  ServerTraits traits = servers_[of]->traits();
  traits.copy = true;
  traits.host = host_of(index, 99);
  traits.boot_offset = dice_.between(Duration(0), core::seconds(1000000));
  servers_.push_back(std::make_unique<Server>(*this, index, traits));
  Server& copy = *servers_.back();
  connect_paths(index);
  if (blind) network_.path(index, of).cuts = 1;
  copy.follow(primary_);
  core::Settings settings = servers_[of]->settings();
  settings.mode = core::Mode::active;
  copy.take_settings(settings);
  copy.take_table(servers_[of]->table_version(), servers_[of]->table());
  if (dice_.chance(30)) copy.set_role(Role::primary, servers_[of]->timeline());
  copy.start();
  refresh_facts(index);
  return index;
}

void World::leave_dead(std::size_t index) { dead_[index] = true; }

void World::promote(std::size_t index) {
  std::uint32_t newest = 0;
  for (const auto& server : servers_) newest = std::max(newest, server->timeline());
  primary_ = index;
  servers_[index]->set_role(Role::primary, newest + 1);
}

void World::put_in_table(std::size_t index, bool present) {
  const core::Name& name = servers_[index]->traits().name;
  std::erase_if(table_, [&](const core::NodeSpec& node) { return node.name == name; });
  if (!present) return;
  core::NodeSpec node;
  node.name = name;
  node.host = servers_[index]->traits().host;
  node.port = kPort;
  node.site = "default";
  table_.push_back(node);
}

void World::move(std::size_t index) {
  servers_[index]->move(host_of(index, 1 + static_cast<int>(dice_.below(90))));
  put_in_table(index, true);
}

void World::publish_table(Duration within) {
  const std::uint64_t version = ++table_version_;
  for (std::size_t i = 0; i < scenario_.nodes; ++i) {
    servers_[i]->disturbance.begin();
    const Duration delay = i == primary_ ? Duration(0) : dice_.between(Duration(0), within);
    queue_.in(delay,
              [this, i, version, table = table_] { servers_[i]->take_table(version, table); });
    queue_.in(within, [this, i] { servers_[i]->disturbance.end(now()); });
  }
}

void World::heal() {
  trace_.line(now(), "", [] { return std::string("---- the faults stop"); });
  for (std::size_t i = 0; i < scenario_.nodes; ++i) {
    Server& server = *servers_[i];
    server.thaw();
    server.set_trouble(Trouble::none);
    if (!server.alive() && !dead_[i]) server.start();
    server.take_table(table_version_, table_);
  }
  for (std::size_t i = 0; i < scenario_.nodes; ++i) {
    for (std::size_t j = 0; j < scenario_.nodes; ++j) {
      Path& path = network_.path(i, j);
      path.cuts = 0;
      path.loss = path.twice = 0;
      path.delay = Duration(0);
    }
    if (i == primary_) continue;
    Server& server = *servers_[i];
    server.follow(primary_);
    if (server.role() == Role::primary && !keep_two_primaries) {
      server.set_role(Role::standby, servers_[primary_]->timeline());
    }
    server.take_facts();
  }
}

// ---- what servers report ---------------------------------------------------------------------

void World::reset_callers(std::size_t index, std::uint64_t ended_life) {
  for (const auto& caller : servers_) {
    if (!caller->alive() || caller->index() == index) continue;
    for (const auto& [attempt, connection] : caller->connections()) {
      if (!connection.reaches || connection.target != index) continue;
      if (connection.open && connection.target_life != ended_life) continue;
      core::Failure failure;
      failure.stage = core::Stage::query;
      failure.kind = core::FailureKind::network;
      failure.message = "server closed the connection";
      network_.send(index, caller->index(),
                    [this, to = caller->index(), life = caller->life(), attempt = attempt,
                     failure] { servers_[to]->on_failed(life, attempt, failure); });
    }
  }
}

void World::after_step(const Server& server) {
  ++tally_.steps;
  check_step(*this, server);
}

void World::on_record(const Server& server, const core::Record& record) {
  if (record.event == "check" && record.detail.view().starts_with("duplicate: ok")) {
    ++tally_.duplicates_seen;
    if (!any_copy()) {
      throw Violation(server.traits().name.str() + " sees two servers where there is one");
    }
  }
}

}  // namespace pgfed::sim
