#pragma once

namespace pgfed::sim {

class World;

/// Draws what goes wrong in a run, and when, and puts it into the queue. Everything is over when
/// World::heal() is called, but for what stays on purpose: dead servers, copies, and in few runs a
/// second primary.
void plan_faults(World& world);

}  // namespace pgfed::sim
