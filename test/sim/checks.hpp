#pragma once

namespace pgfed::sim {

class Server;
class World;

/// What must hold after every single step of a server. Throws Violation, as the others do.
void check_step(const World& world, const Server& server);

/// What must hold at any time of the pictures of those that nothing has disturbed for three
/// intervals: they equal the truth, whatever befalls the others.
void check_pictures(World& world);

/// What must hold at the end of a run.
void check_end(World& world);

}  // namespace pgfed::sim
