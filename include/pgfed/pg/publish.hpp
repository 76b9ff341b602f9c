#pragma once

#include <cstdint>
#include <span>

#include "pgfed/core/event.hpp"
#include "pgfed/core/inventory.hpp"
#include "pgfed/core/picture.hpp"
#include "pgfed/core/report.hpp"
#include "pgfed/core/time.hpp"

/// From the workers into shared memory. Postgres regime; but for publish_own_inventory(), which needs
/// memory, nothing here can fail.
namespace pgfed::pg {

/// pgfed.federation and pgfed.peers, and pgfed.checks.
void publish_picture(const core::Picture& picture);

/// pgfed.links.
void publish_links(std::span<const core::LinkRow> links);

/// pgfed.tls and pgfed.certificates.
void publish_trust(const core::TrustPicture& trust);

/// What this node's own files hold, for replies to exchanges; does nothing where it is what was
/// published last, by its digest.
void publish_own_inventory(const core::Inventory& inventory);

/// What this node says of itself in the replies to exchanges; `now` is when the report was made.
void publish_own_report(const core::Report& own, core::Instant now);

/// What the catalog worker found. Returns true where it is news, and then has raised the generation.
bool publish_nodes(core::CatalogState state, std::span<const core::NodeSpec> nodes,
                   std::uint64_t table_system_identifier,
                   const core::VersionText& extension_version);

/// Takes what publish_nodes() wrote, if its generation is another than `generation` (which is then
/// brought up to date). `nodes` has room for pgfed.max_nodes and kSpareNodes.
struct TakenNodes {
  std::uint64_t generation = 0;
  core::CatalogState state = core::CatalogState::unknown;
  std::uint64_t table_system_identifier = 0;
  core::VersionText extension_version;
  std::uint32_t count = 0;
};
bool take_nodes(TakenNodes& taken, core::NodeSpec* nodes);

}  // namespace pgfed::pg
