#pragma once

#include <cstdint>

#include "pgfed/pg/shared_state.hpp"

/// Copies of what lies in shared memory, palloc'd in the current context, for readers to format at
/// their leisure. Postgres regime; require_preload() first.
namespace pgfed::pg {

template <typename Element>
struct Copied {
  Element* rows = nullptr;
  std::uint32_t count = 0;

  [[nodiscard]] Element* begin() const { return rows; }
  [[nodiscard]] Element* end() const { return rows + count; }
};

Copied<NodeEntry> copy_federation();
Copied<core::LinkRow> copy_links();
Copied<core::CheckRow> copy_checks();
Copied<core::TlsRow> copy_tls();
Copied<core::CertificateRow> copy_certificates();
/// Oldest first.
Copied<EventEntry> copy_events();

struct NodesCopy {
  core::CatalogState state = core::CatalogState::unknown;
  Copied<core::NodeSpec> nodes;
};
NodesCopy copy_nodes();

struct OwnCopy {
  core::Identity identity = core::Identity::checking;
  core::JudgedBy judged_by;
  core::TlsPaths paths;
  core::VersionText extension_version;
  std::uint64_t inventory_digest = 0;
  Copied<OwnLink> links;
  Copied<std::uint8_t> inventory;  ///< encoded; only where it is not the known one
};
/// `known_inventory`: the digest of the inventory that whoever asks has already; 0: none.
OwnCopy copy_own(std::uint64_t known_inventory);

/// How long the federation worker has been silent, in microseconds, if that is so long that what it
/// last wrote is not to be believed any more (three intervals, but at least 250 ms); 0: it is alive.
std::int64_t worker_silence();

}  // namespace pgfed::pg
