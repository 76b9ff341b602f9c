#include "sim/fault_plan.hpp"

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "sim/world.hpp"

namespace pgfed::sim {

using core::Role;

namespace {

/// From when to when a fault lasts.
struct Window {
  Time begin;
  Time end;
};

void tell(World& world, std::size_t index, const std::string& what) {
  world.trace().line(world.now(), world.server(index).traits().name.view(),
                     [&] { return "! " + what; });
}

Window draw_window(World& world) {
  Dice& dice = world.dice();
  const Duration interval = world.interval();
  const Time last = world.scenario().quiet_at;
  const Time begin = dice.between(2 * interval, last - interval);
  const Duration longest = dice.chance(50) ? interval : 6 * interval;
  return {begin, std::min(begin + dice.between(interval / 20, longest), last)};
}

std::size_t draw_server(World& world) { return world.dice().below(world.scenario().nodes); }

/// The server counts as disturbed for the whole window.
void disturb(World& world, std::size_t index, const Window& window) {
  world.queue().at(window.begin, [&world, index] { world.server(index).disturbance.begin(); });
  world.queue().at(window.end,
                   [&world, index] { world.server(index).disturbance.end(world.now()); });
}

/// One way, both ways, or all ways of one server, or simply all.
std::vector<Path*> draw_paths(World& world) {
  Dice& dice = world.dice();
  const std::size_t nodes = world.scenario().nodes;
  const std::size_t a = draw_server(world);
  const std::size_t b = (a + 1 + dice.below(nodes - 1)) % nodes;
  const std::size_t scope = dice.below(10);
  std::vector<Path*> paths = {&world.network().path(a, b)};
  if (scope < 4) return paths;
  paths.push_back(&world.network().path(b, a));
  if (scope < 7) return paths;
  paths.clear();
  for (std::size_t i = 0; i < nodes; ++i) {
    for (std::size_t j = 0; j < nodes; ++j) {
      if (scope == 9 || i == a || j == a) paths.push_back(&world.network().path(i, j));
    }
  }
  return paths;
}

void disturb(World& world, const std::vector<Path*>& paths, const Window& window) {
  world.queue().at(window.begin, [paths] {
    for (Path* path : paths) path->disturbance.begin();
  });
  world.queue().at(window.end, [&world, paths] {
    for (Path* path : paths) path->disturbance.end(world.now());
  });
}

// ---- the network -----------------------------------------------------------------------------

/// Messages get lost, late, overtaken and doubled.
void plan_noise(World& world) {
  Dice& dice = world.dice();
  Window window = draw_window(world);
  const std::vector<Path*> paths = draw_paths(world);
  const auto loss = static_cast<unsigned>(dice.chance(50) ? dice.below(500) : 0);
  const auto twice = static_cast<unsigned>(dice.chance(50) ? dice.below(300) : 0);
  const Duration longest =
      dice.chance(50) ? world.scenario().timeout * 3 / 2 : world.interval() / 5;
  const Duration delay = dice.between(Duration(0), longest);
  // What is on its way when the noise stops belongs to it.
  const Time last = std::max(window.begin, window.end - delay);
  disturb(world, paths, window);
  world.queue().at(window.begin, [&world, paths, loss, twice, delay] {
    world.trace().line(world.now(), "", [&] {
      return "! noise on " + std::to_string(paths.size()) + " paths: " + std::to_string(loss) +
             " of 1000 lost, " + std::to_string(twice) + " twice, late by up to " + show(delay);
    });
    for (Path* path : paths) {
      path->loss = loss;
      path->twice = twice;
      path->delay = delay;
    }
  });
  world.queue().at(last, [paths] {
    for (Path* path : paths) {
      path->loss = path->twice = 0;
      path->delay = Duration(0);
    }
  });
}

/// Nothing arrives, one way or more.
void plan_cut(World& world) {
  const Window window = draw_window(world);
  const std::vector<Path*> paths = draw_paths(world);
  disturb(world, paths, window);
  world.queue().at(window.begin, [&world, paths] {
    world.trace().line(world.now(), "",
                       [&] { return "! cut of " + std::to_string(paths.size()) + " paths"; });
    for (Path* path : paths) ++path->cuts;
  });
  world.queue().at(window.end, [paths] {
    for (Path* path : paths) --path->cuts;
  });
}

// ---- the servers -----------------------------------------------------------------------------

void plan_restart(World& world) {
  const Window window = draw_window(world);
  const std::size_t index = draw_server(world);
  const bool host_too = world.dice().chance(30);
  const bool at_once = world.dice().chance(30);
  disturb(world, index, window);
  world.queue().at(window.begin, [&world, index, host_too, at_once] {
    world.server(index).crash(host_too);
    if (at_once && !world.dead(index)) world.server(index).start();
  });
  world.queue().at(window.end, [&world, index] {
    if (!world.dead(index)) world.server(index).start();
  });
}

void plan_freeze(World& world) {
  const Window window = draw_window(world);
  const std::size_t index = draw_server(world);
  disturb(world, index, window);
  world.queue().at(window.begin, [&world, index] { world.server(index).freeze(); });
  world.queue().at(window.end, [&world, index] { world.server(index).thaw(); });
}

const std::vector<Trouble>& troubles() {
  static const std::vector<Trouble> all = {Trouble::crowded,  Trouble::starting,
                                           Trouble::rejected, Trouble::not_loaded,
                                           Trouble::flapping, Trouble::garbled};
  return all;
}

/// Callers are turned away, dropped or served garbage.
void plan_trouble(World& world) {
  const Window window = draw_window(world);
  const std::size_t index = draw_server(world);
  const Trouble trouble = world.dice().pick(troubles());
  const bool restarted = world.dice().chance(50);
  disturb(world, index, window);
  world.queue().at(window.begin, [&world, index, trouble, restarted] {
    tell(world, index, "has trouble " + std::to_string(static_cast<int>(trouble)));
    world.server(index).set_trouble(trouble);
    if (!restarted || world.dead(index)) return;
    world.server(index).crash(false);
    world.server(index).start();
  });
  world.queue().at(window.end, [&world, index] { world.server(index).set_trouble(Trouble::none); });
}

/// Makes the old primary a standby of the present one, as after pg_rewind.
void bring_back(World& world, std::size_t old) {
  if (old == world.primary() || world.dead(old)) return;
  Server& server = world.server(old);
  server.crash(false);
  server.follow(world.primary());
  server.set_role(Role::standby, world.server(world.primary()).timeline());
  server.start();
}

/// A standby becomes the primary. The old one is dead for a while, goes on for a while as a second
/// primary, or changes places with it.
void plan_promotion(World& world) {
  Dice& dice = world.dice();
  const Window window = draw_window(world);
  const std::size_t index = draw_server(world);
  const std::size_t way = dice.below(3);
  world.queue().at(window.begin, [&world, index, way, window] {
    Server& server = world.server(index);
    const std::size_t old = world.primary();
    if (index == old || !server.running() || server.role() == Role::primary) return;
    tell(world, index, "is promoted");
    if (way != 1) world.server(old).crash(false);
    world.promote(index);
    if (way == 2) bring_back(world, old);
    Disturbance& disturbance = world.server(old).disturbance;
    disturbance.begin();
    for (std::size_t i = 0; i < world.scenario().nodes; ++i) {
      if (i == index || i == old) continue;
      world.queue().at(world.dice().between(window.begin, window.end),
                       [&world, i] { world.server(i).follow(world.primary()); });
    }
    world.queue().at(window.end, [&world, old, way, &disturbance] {
      if (way != 2 && !(way == 1 && world.keep_two_primaries)) bring_back(world, old);
      disturbance.end(world.now());
    });
  });
}

/// pgfed.mode = off for a while.
void plan_switch_off(World& world) {
  const Window window = draw_window(world);
  const std::size_t index = draw_server(world);
  disturb(world, index, window);
  const auto set = [&world, index](core::Mode mode) {
    tell(world, index, "gets mode " + std::string(word(mode)));
    core::Settings settings = world.server(index).settings();
    settings.mode = mode;
    world.server(index).take_settings(settings);
  };
  world.queue().at(window.begin, [set] { set(core::Mode::off); });
  world.queue().at(window.end, [set] { set(core::Mode::active); });
}

// ---- the table -------------------------------------------------------------------------------

/// A node is removed and perhaps added again, or moves to another address; the others learn of it
/// at different times.
void plan_table_change(World& world) {
  Dice& dice = world.dice();
  const Window window = draw_window(world);
  const std::size_t index = draw_server(world);
  const bool moves = dice.chance(50);
  const bool returns = dice.chance(70);
  const auto publish = [&world] {
    const Duration rest = world.scenario().quiet_at - world.now();
    world.publish_table(std::min(2 * world.interval(), rest));
  };
  disturb(world, index, window);
  world.queue().at(window.begin, [&world, index, moves, publish] {
    if (moves) {
      if (world.dead(index)) return;
      tell(world, index, "moves");
      world.server(index).crash(false);
      world.move(index);
      world.server(index).start();
    } else {
      tell(world, index, "is removed from the table");
      world.put_in_table(index, false);
    }
    publish();
  });
  if (moves || !returns) return;
  world.queue().at(window.end, [&world, index, publish] {
    tell(world, index, "is added to the table");
    world.put_in_table(index, true);
    publish();
  });
}

// ---- what stays ------------------------------------------------------------------------------

/// A restored backup, a snapshot or a clone comes up under a node's name and stays.
void plan_copy(World& world) {
  const Duration interval = world.interval();
  const Time last = world.scenario().quiet_at - 2 * interval;
  const std::size_t of = draw_server(world);
  const bool blind = world.dice().chance(40);
  world.queue().at(world.dice().between(2 * interval, last), [&world, of, blind] {
    tell(world, of, blind ? "is copied; the copy cannot reach it" : "is copied");
    world.add_copy(of, blind);
  });
}

void plan_death(World& world) {
  const Duration interval = world.interval();
  const Time last = world.scenario().quiet_at - interval;
  const std::size_t index = draw_server(world);
  const bool host_too = world.dice().chance(50);
  world.queue().at(world.dice().between(2 * interval, last), [&world, index, host_too] {
    tell(world, index, "dies for good");
    world.server(index).disturbance.touch(world.now());
    world.leave_dead(index);
    world.server(index).crash(host_too);
  });
}

void plan_second_primary(World& world) {
  const Duration interval = world.interval();
  const Time last = world.scenario().quiet_at - interval;
  const std::size_t index = draw_server(world);
  world.queue().at(world.dice().between(2 * interval, last), [&world, index] {
    Server& server = world.server(index);
    if (!server.running() || server.role() == Role::primary) return;
    tell(world, index, "becomes a second primary");
    world.keep_two_primaries = true;
    world.promote(index);
  });
}

void plan_one(World& world) {
  switch (world.dice().below(10)) {
    case 0:
    case 1:
      return plan_noise(world);
    case 2:
    case 3:
      return plan_cut(world);
    case 4:
    case 5:
      return plan_restart(world);
    case 6:
      return plan_freeze(world);
    case 7:
      return plan_promotion(world);
    case 8:
      return world.dice().chance(50) ? plan_table_change(world) : plan_switch_off(world);
    default:
      return plan_trouble(world);
  }
}

}  // namespace

void plan_faults(World& world) {
  Dice& dice = world.dice();
  // One run in ten is left alone: what is wrong there is not the fault of a fault.
  if (dice.chance(10)) return;
  const std::size_t count = 1 + dice.below(10);
  for (std::size_t i = 0; i < count; ++i) plan_one(world);
  if (dice.chance(20)) plan_copy(world);
  if (dice.chance(15)) plan_death(world);
  if (dice.chance(5)) plan_second_primary(world);
}

}  // namespace pgfed::sim
