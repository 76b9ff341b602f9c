#include "pgfed/pg/publish.hpp"

#include "pgfed/core/wire.hpp"
#include "pgfed/pg/boundary.hpp"
#include "pgfed/pg/settings.hpp"
#include "pgfed/pg/shared_state.hpp"

namespace pgfed::pg {
namespace {

std::uint32_t clamp_count(std::size_t count, std::size_t capacity) {
  return static_cast<std::uint32_t>(std::min(count, capacity));
}

template <typename Row>
void copy_rows(Row* to, const Row* from, std::size_t count) {
  static_assert(std::is_trivially_copyable_v<Row> && std::is_standard_layout_v<Row>);
  if (count > 0) memcpy(static_cast<void*>(to), from, count * sizeof(Row));
}

}  // namespace

void publish_picture(const core::Picture& picture) {
  const auto max_nodes = static_cast<std::size_t>(setting::max_nodes);
  const std::uint32_t nodes =
      clamp_count(std::min(picture.federation.size(), picture.peers.size()), max_nodes);
  FederationSection* federation = shared.federation;
  LWLockAcquire(section_lock(Section::federation), LW_EXCLUSIVE);
  for (std::uint32_t i = 0; i < nodes; ++i) {
    copy_rows(&federation->entries[i].row, &picture.federation[i], 1);
    copy_rows(&federation->entries[i].peer, &picture.peers[i], 1);
  }
  federation->count = nodes;
  LWLockRelease(section_lock(Section::federation));

  ChecksSection* checks = shared.checks;
  const std::uint32_t count = clamp_count(picture.checks.size(), check_capacity(max_nodes));
  LWLockAcquire(section_lock(Section::checks), LW_EXCLUSIVE);
  copy_rows(checks->rows, picture.checks.data(), count);
  checks->count = count;
  LWLockRelease(section_lock(Section::checks));
}

void publish_links(std::span<const core::LinkRow> links) {
  const auto max_nodes = static_cast<std::size_t>(setting::max_nodes);
  LinksSection* section = shared.links;
  const std::uint32_t count = clamp_count(links.size(), max_nodes * max_nodes);
  LWLockAcquire(section_lock(Section::links), LW_EXCLUSIVE);
  copy_rows(section->rows, links.data(), count);
  section->count = count;
  LWLockRelease(section_lock(Section::links));
}

void publish_trust(const core::TrustPicture& trust) {
  const auto max_nodes = static_cast<std::size_t>(setting::max_nodes);
  const std::uint32_t endpoints = clamp_count(trust.tls.size(), max_nodes);
  LWLockAcquire(section_lock(Section::tls), LW_EXCLUSIVE);
  copy_rows(shared.tls->rows, trust.tls.data(), endpoints);
  shared.tls->count = endpoints;
  LWLockRelease(section_lock(Section::tls));

  CertificatesSection* section = shared.certificates;
  const std::uint32_t certificates =
      clamp_count(trust.certificates.size(), certificate_capacity(max_nodes));
  LWLockAcquire(section_lock(Section::certificates), LW_EXCLUSIVE);
  copy_rows(section->rows, trust.certificates.data(), certificates);
  section->count = certificates;
  LWLockRelease(section_lock(Section::certificates));
}

void publish_own_inventory(const core::Inventory& inventory) {
  OwnSection* own = shared.own;
  LWLockAcquire(section_lock(Section::own), LW_SHARED);
  const bool known = own->inventory_digest == inventory.digest;
  LWLockRelease(section_lock(Section::own));
  if (known) return;

  auto* bytes = static_cast<std::uint8_t*>(palloc(core::kMaxEncodedInventory));
  std::size_t length = 0;
  BoxedError error;
  run_cpp(error, [&](BoxedError&) {
    const std::vector<std::uint8_t> encoded = core::encode_inventory(inventory);
    length = std::min(encoded.size(), core::kMaxEncodedInventory);
    std::copy_n(encoded.begin(), length, bytes);
  });
  if (error.raised) raise_boxed(error);

  LWLockAcquire(section_lock(Section::own), LW_EXCLUSIVE);
  memcpy(own->inventory, bytes, length);
  own->inventory_length = static_cast<std::uint32_t>(length);
  own->inventory_digest = inventory.digest;
  LWLockRelease(section_lock(Section::own));
  pfree(bytes);
}

void publish_own_report(const core::Report& own, core::Instant now) {
  const auto max_nodes = static_cast<std::size_t>(setting::max_nodes);
  OwnSection* to = shared.own;
  const std::uint32_t own_count = clamp_count(own.links.size(), max_nodes);
  LWLockAcquire(section_lock(Section::own), LW_EXCLUSIVE);
  to->identity = own.identity;
  to->judged_by = own.judged_by;
  to->paths = own.paths;
  to->extension_version = own.extension_version;
  for (std::uint32_t i = 0; i < own_count; ++i) {
    to->links[i].link = own.links[i];
    to->links[i].observed_at = now - own.links[i].age;
  }
  to->count = own_count;
  LWLockRelease(section_lock(Section::own));
}

bool publish_nodes(core::CatalogState state, std::span<const core::NodeSpec> nodes,
                   std::uint64_t table_system_identifier,
                   const core::VersionText& extension_version) {
  NodesSection* section = shared.nodes;
  const std::uint32_t count =
      clamp_count(nodes.size(), static_cast<std::size_t>(setting::max_nodes) + kSpareNodes);
  LWLockAcquire(section_lock(Section::nodes), LW_EXCLUSIVE);
  bool changed = section->generation == 0 || section->state != state ||
                 section->table_system_identifier != table_system_identifier ||
                 !(section->extension_version == extension_version) || section->count != count;
  for (std::uint32_t i = 0; i < count && !changed; ++i) changed = !(section->nodes[i] == nodes[i]);
  if (changed) {
    section->state = state;
    section->table_system_identifier = table_system_identifier;
    section->extension_version = extension_version;
    copy_rows(section->nodes, nodes.data(), count);
    section->count = count;
    ++section->generation;
  }
  LWLockRelease(section_lock(Section::nodes));
  return changed;
}

bool take_nodes(TakenNodes& taken, core::NodeSpec* nodes) {
  const NodesSection* section = shared.nodes;
  LWLockAcquire(section_lock(Section::nodes), LW_SHARED);
  const bool changed = section->generation != taken.generation;
  if (changed) {
    taken.generation = section->generation;
    taken.state = section->state;
    taken.table_system_identifier = section->table_system_identifier;
    taken.extension_version = section->extension_version;
    taken.count = section->count;
    copy_rows(nodes, section->nodes, section->count);
  }
  LWLockRelease(section_lock(Section::nodes));
  return changed;
}

}  // namespace pgfed::pg
