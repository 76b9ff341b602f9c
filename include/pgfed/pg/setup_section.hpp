#pragma once

#include <cstdint>
#include <span>

#include "pgfed/core/inventory.hpp"
#include "pgfed/pg/postgres_api.hpp"

/// What the catalog worker found wrong with how this server is set up, on its way to the federation
/// worker: a section of shared memory. Postgres regime; nothing here can fail.
namespace pgfed::pg {

struct SetupSection {
  std::uint64_t generation;  ///< raised at every change; 0: nothing has been read yet
  std::uint32_t count;
  core::Problem problems[core::kMaxProblems];
};

/// Returns true where it is news, and then has raised the generation.
bool publish_setup(std::span<const core::Problem> problems);

/// Takes what publish_setup() wrote, if its generation is another than `generation` (which is then
/// brought up to date). `problems` has room for core::kMaxProblems.
struct TakenSetup {
  std::uint64_t generation = 0;
  std::uint32_t count = 0;
};
bool take_setup(TakenSetup& taken, core::Problem* problems);

}  // namespace pgfed::pg
