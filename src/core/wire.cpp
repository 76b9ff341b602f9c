#include "pgfed/core/wire.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>

#include "pgfed/core/wire_records.hpp"

namespace pgfed::core {
namespace {

using namespace wire;
using wire::get;  // beside the overloads below

constexpr std::array<std::uint8_t, 4> kMagic = {'p', 'g', 'f', 'd'};
constexpr std::size_t kVersionSize = 2;

/// What a record at the top holds. Part of the format: append, never renumber or reuse.
/// text: UTF-8 without NUL; uN: N bits unsigned; i64: 64 bits signed; flag: u8, zero or not.
enum class Tag : std::uint16_t {
  node = 1,                   ///< text, required
  federation = 2,             ///< text, required
  incarnation = 3,            ///< 16 bytes, required
  role = 4,                   ///< u8 Role, required
  identity = 5,               ///< u8 Identity
  state = 6,                  ///< u8 State
  timeline = 7,               ///< u32
  write = 8,                  ///< u64 Lsn
  flush = 9,                  ///< u64 Lsn
  replay = 10,                ///< u64 Lsn
  upstream_end = 11,          ///< u64 Lsn
  replay_paused = 12,         ///< flag
  upstream_host = 13,         ///< text
  upstream_port = 14,         ///< u16
  slot = 15,                  ///< text
  system_identifier = 16,     ///< u64
  wall_clock = 17,            ///< i64 microseconds since 1970
  lag_warning = 18,           ///< i64 microseconds
  lag_critical = 19,          ///< i64 microseconds
  peer_interval = 20,         ///< i64 microseconds
  mode = 21,                  ///< u8 Mode
  sslrootcert = 22,           ///< text
  sslcert = 23,               ///< text
  sslkey = 24,                ///< text
  library_version = 25,       ///< text
  extension_version = 26,     ///< text
  server_version = 27,        ///< u32 server_version_num
  link = 28,                  ///< records of LinkTag; once for each link
  certificate_warning = 29,   ///< i64 microseconds
  certificate_critical = 30,  ///< i64 microseconds
  inventory_digest = 31,      ///< u64
  known_inventory = 32,       ///< u64
  inventory = 33,             ///< records of InventoryTag, see wire_inventory.cpp
};

/// What a record inside a link holds; likewise.
enum class LinkTag : std::uint16_t {
  target = 1,       ///< text; a link without one says nothing and is skipped
  incarnation = 2,  ///< 16 bytes
  connected = 3,    ///< flag
  role = 4,         ///< u8 Role
  rtt = 5,          ///< i64 microseconds
  error = 6,        ///< text
  age = 7,          ///< i64 microseconds
};

/// Of a question's last record, for which encode() leaves room.
constexpr std::size_t kKnownInventorySize = kHeaderSize + sizeof(std::uint64_t);
constexpr std::size_t kMaxLinked = kMaxReport - kKnownInventorySize;

constexpr std::int64_t kMaxWallClock = 253402300800000000;  // the year 10000

// ---- writing ---------------------------------------------------------------------------------

Bytes encode_link(const LinkReport& link) {
  Bytes out;
  put(out, LinkTag::target, link.target);
  if (link.incarnation.known()) put(out, LinkTag::incarnation, link.incarnation);
  put(out, LinkTag::connected, link.connected);
  put(out, LinkTag::role, link.role);
  put(out, LinkTag::rtt, link.rtt);
  if (!link.error.empty()) put(out, LinkTag::error, link.error);
  put(out, LinkTag::age, link.age);
  return out;
}

void encode_facts(Bytes& out, const Facts& facts) {
  put(out, Tag::role, facts.role);
  put(out, Tag::state, facts.state);
  put(out, Tag::timeline, facts.timeline);
  put(out, Tag::write, facts.write);
  put(out, Tag::flush, facts.flush);
  put(out, Tag::replay, facts.replay);
  put(out, Tag::upstream_end, facts.upstream_end);
  put(out, Tag::replay_paused, facts.replay_paused);
  put(out, Tag::upstream_host, facts.upstream_host);
  put(out, Tag::upstream_port, facts.upstream_port);
  put(out, Tag::slot, facts.slot);
  put(out, Tag::system_identifier, facts.system_identifier);
  put(out, Tag::wall_clock, facts.wall_clock);
}

// ---- reading ---------------------------------------------------------------------------------

bool get_wall_clock(View payload, std::int64_t& wall_clock) {
  return get_clamped(payload, wall_clock, 0, kMaxWallClock);
}

bool get(View payload, Role& role) { return get_enum(payload, role, Role::standby, Role::unknown); }

bool get(View payload, State& state) {
  return get_enum(payload, state, State::no_pgfed, State::unknown);
}

/// `checking` claims nothing: nobody relies on a node that is still checking.
bool get(View payload, Identity& identity) {
  return get_enum(payload, identity, Identity::quarantine, Identity::checking);
}

/// `observe` is the harmless one: the peer is neither counted on to act, as with `active`, nor
/// taken for one that has left, as with `off`.
bool get(View payload, Mode& mode) { return get_enum(payload, mode, Mode::off, Mode::observe); }

bool get_link_field(const RawRecord& record, LinkReport& link) {
  switch (static_cast<LinkTag>(record.tag)) {
    case LinkTag::target:
      return get(record.payload, link.target);
    case LinkTag::incarnation:
      return get(record.payload, link.incarnation);
    case LinkTag::connected:
      return get(record.payload, link.connected);
    case LinkTag::role:
      return get(record.payload, link.role);
    case LinkTag::rtt:
      return get(record.payload, link.rtt);
    case LinkTag::error:
      return get(record.payload, link.error);
    case LinkTag::age:
      return get(record.payload, link.age);
  }
  return true;  // of a newer peer
}

bool get_link(View payload, std::vector<LinkReport>& links) {
  LinkReport link;
  if (!get_records(payload, link, get_link_field)) return false;
  if (!link.target.empty() && links.size() < kMaxLinks) links.push_back(link);
  return true;
}

bool get_field(const RawRecord& record, Report& report) {
  const View payload = record.payload;
  Facts& facts = report.facts;
  JudgedBy& judged_by = report.judged_by;
  switch (static_cast<Tag>(record.tag)) {
    case Tag::node:
      return get(payload, report.node);
    case Tag::federation:
      return get(payload, report.federation);
    case Tag::incarnation:
      return get(payload, report.incarnation);
    case Tag::role:
      return get(payload, facts.role);
    case Tag::identity:
      return get(payload, report.identity);
    case Tag::state:
      return get(payload, facts.state);
    case Tag::timeline:
      return get(payload, facts.timeline);
    case Tag::write:
      return get(payload, facts.write);
    case Tag::flush:
      return get(payload, facts.flush);
    case Tag::replay:
      return get(payload, facts.replay);
    case Tag::upstream_end:
      return get(payload, facts.upstream_end);
    case Tag::replay_paused:
      return get(payload, facts.replay_paused);
    case Tag::upstream_host:
      return get(payload, facts.upstream_host);
    case Tag::upstream_port:
      return get(payload, facts.upstream_port);
    case Tag::slot:
      return get(payload, facts.slot);
    case Tag::system_identifier:
      return get(payload, facts.system_identifier);
    case Tag::wall_clock:
      return get_wall_clock(payload, facts.wall_clock);
    case Tag::lag_warning:
      return get(payload, judged_by.lag_warning);
    case Tag::lag_critical:
      return get(payload, judged_by.lag_critical);
    case Tag::peer_interval:
      return get(payload, judged_by.peer_interval);
    case Tag::mode:
      return get(payload, judged_by.mode);
    case Tag::sslrootcert:
      return get(payload, report.paths.sslrootcert);
    case Tag::sslcert:
      return get(payload, report.paths.sslcert);
    case Tag::sslkey:
      return get(payload, report.paths.sslkey);
    case Tag::library_version:
      return get(payload, report.library_version);
    case Tag::extension_version:
      return get(payload, report.extension_version);
    case Tag::server_version:
      return get(payload, report.server_version);
    case Tag::link:
      return get_link(payload, report.links);
    case Tag::certificate_warning:
      return get(payload, judged_by.certificate.warning);
    case Tag::certificate_critical:
      return get(payload, judged_by.certificate.critical);
    case Tag::inventory_digest:
      return get(payload, report.inventory_digest);
    case Tag::known_inventory:
      return get(payload, report.known_inventory);
    case Tag::inventory:
      return get_inventory(payload, report.inventory.emplace());
  }
  return true;  // of a newer peer
}

/// Which of the required fields were there.
struct Required {
  bool node = false;
  bool federation = false;
  bool incarnation = false;
  bool role = false;

  void note(std::uint16_t tag) {
    node = node || tag == static_cast<std::uint16_t>(Tag::node);
    federation = federation || tag == static_cast<std::uint16_t>(Tag::federation);
    incarnation = incarnation || tag == static_cast<std::uint16_t>(Tag::incarnation);
    role = role || tag == static_cast<std::uint16_t>(Tag::role);
  }
  [[nodiscard]] const char* missing() const {
    if (!node) return "node";
    if (!federation) return "federation";
    if (!incarnation) return "incarnation";
    return role ? nullptr : "role";
  }
};

Error malformed(std::string message, std::string detail) {
  return {sqlstate::kProtocolViolation, std::move(message), std::move(detail), ""};
}

Error cut_short(std::size_t at) {
  return malformed("pgfed report is cut short",
                   "The record at byte " + std::to_string(at) + " is incomplete.");
}

}  // namespace

std::vector<std::uint8_t> encode(const Report& report) {
  Bytes out(kMagic.begin(), kMagic.end());
  put_unsigned(out, static_cast<std::uint16_t>(std::min<std::uint32_t>(report.protocol, 0xFFFF)));
  put(out, Tag::node, report.node);
  put(out, Tag::federation, report.federation);
  put(out, Tag::incarnation, report.incarnation);
  put(out, Tag::identity, report.identity);
  encode_facts(out, report.facts);
  put(out, Tag::lag_warning, report.judged_by.lag_warning);
  put(out, Tag::lag_critical, report.judged_by.lag_critical);
  put(out, Tag::peer_interval, report.judged_by.peer_interval);
  put(out, Tag::mode, report.judged_by.mode);
  put(out, Tag::sslrootcert, report.paths.sslrootcert);
  put(out, Tag::sslcert, report.paths.sslcert);
  put(out, Tag::sslkey, report.paths.sslkey);
  put(out, Tag::library_version, report.library_version);
  put(out, Tag::extension_version, report.extension_version);
  put(out, Tag::server_version, report.server_version);
  put(out, Tag::certificate_warning, report.judged_by.certificate.warning);
  put(out, Tag::certificate_critical, report.judged_by.certificate.critical);
  put(out, Tag::inventory_digest, report.inventory_digest);
  if (report.known_inventory != 0) append_known_inventory(out, report.known_inventory);

  std::size_t links = 0;
  for (const LinkReport& link : report.links) {
    const Bytes bytes = encode_link(link);
    if (links == kMaxLinks || out.size() + kHeaderSize + bytes.size() > kMaxLinked) break;
    put_bytes(out, Tag::link, bytes);
    ++links;
  }
  if (report.inventory) append_inventory(out, encode_inventory(*report.inventory));
  return out;
}

void append_known_inventory(std::vector<std::uint8_t>& bytes, std::uint64_t digest) {
  if (bytes.size() + kKnownInventorySize > kMaxReport) return;
  put(bytes, Tag::known_inventory, digest);
}

void append_inventory(std::vector<std::uint8_t>& bytes, std::span<const std::uint8_t> encoded) {
  if (bytes.size() + kHeaderSize > kMaxReport) return;
  const std::size_t room = kMaxReport - bytes.size() - kHeaderSize;
  View rest = encoded;
  std::size_t fits = 0;
  while (!rest.empty() && take_record(rest)) {
    const std::size_t taken = encoded.size() - rest.size();
    if (taken > room) break;
    fits = taken;
  }
  // A part of it would be taken for the whole.
  if (fits < encoded.size()) return;
  put_bytes(bytes, Tag::inventory, encoded.first(fits));
}

Result<Report> decode(std::span<const std::uint8_t> bytes) {
  if (bytes.size() > kMaxReport) {
    return malformed("pgfed report is too large", "It has " + std::to_string(bytes.size()) +
                                                      " bytes; at most " +
                                                      std::to_string(kMaxReport) + " are allowed.");
  }
  constexpr std::size_t kPrefix = kMagic.size() + kVersionSize;
  if (!std::equal(
          kMagic.begin(), kMagic.end(), bytes.begin(),
          bytes.begin() + static_cast<std::ptrdiff_t>(std::min(bytes.size(), kMagic.size())))) {
    return malformed("not a pgfed report", "It does not start as one.");
  }
  if (bytes.size() < kPrefix) return cut_short(kMagic.size());

  Report report;
  report.protocol = *get_unsigned<std::uint16_t>(bytes.subspan(kMagic.size()));
  Required required;
  View rest = bytes.subspan(kPrefix);
  while (!rest.empty()) {
    const std::size_t at = bytes.size() - rest.size();
    const auto record = take_record(rest);
    if (!record || !get_field(*record, report)) return cut_short(at);
    required.note(record->tag);
  }
  if (const char* field = required.missing(); field != nullptr) {
    return malformed("pgfed report is incomplete",
                     "It has no field \"" + std::string(field) + "\".");
  }
  if (report.inventory) report.inventory->digest = report.inventory_digest;
  return report;
}

}  // namespace pgfed::core
