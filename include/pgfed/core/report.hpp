#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "pgfed/core/certificate.hpp"
#include "pgfed/core/inventory.hpp"
#include "pgfed/core/lsn.hpp"
#include "pgfed/core/terms.hpp"
#include "pgfed/core/text.hpp"
#include "pgfed/core/time.hpp"

namespace pgfed::core {

/// A random number that a server draws each time its shared memory is made: tells one running
/// server from its copies and from its own earlier lives. All zero: unknown.
struct Incarnation {
  std::array<std::uint8_t, 16> bytes{};
  bool operator==(const Incarnation&) const = default;
  [[nodiscard]] bool known() const { return *this != Incarnation{}; }
};

/// What a server knows of its own WAL and of the stream it follows. Standard layout.
struct Facts {
  Role role = Role::unknown;
  State state = State::unknown;  ///< running | streaming | catchup | not_streaming
  std::uint32_t timeline = 0;
  Lsn write;         ///< primary: insert position written; standby: received and written
  Lsn flush;         ///< primary: flushed; standby: received and flushed
  Lsn replay;        ///< standby: replayed; primary: same as flush
  Lsn upstream_end;  ///< standby: the end of WAL that its upstream last told of
  bool replay_paused = false;
  HostText upstream_host;  ///< standby: whom its walreceiver is connected to
  std::uint16_t upstream_port = 0;
  Text<64> slot;  ///< standby: the slot it streams through, empty where none
  std::uint64_t system_identifier = 0;
  std::int64_t wall_clock = 0;  ///< microseconds since 1970, for display and clock_offset only

  bool operator==(const Facts&) const = default;
};

/// The settings by which a node wants to be judged by everyone; they travel with its report.
struct JudgedBy {
  Duration lag_warning = seconds(10);
  Duration lag_critical = seconds(60);
  Duration peer_interval = seconds(1);
  Mode mode = Mode::active;
  CertificateThresholds certificate;
  bool operator==(const JudgedBy&) const = default;
};

/// What the reporter sees of one node, itself at its own endpoint included: one row of pgfed.links.
struct LinkReport {
  Name target;
  Incarnation incarnation;  ///< of the server that answered there; zero where none has
  bool connected = false;
  Role role = Role::unknown;  ///< what it last said of itself
  Duration rtt{};
  ErrorText error;
  Duration age{};  ///< how old this observation was when the report was made
  bool operator==(const LinkReport&) const = default;
};

/// File names that this node dials its peers with; shown by pgfed.standby_settings().
struct TlsPaths {
  PathText sslrootcert;
  PathText sslcert;
  PathText sslkey;
  bool operator==(const TlsPaths&) const = default;
};

inline constexpr std::uint32_t kProtocol = 1;          ///< what this library speaks
inline constexpr std::size_t kMaxReport = 128 * 1024;  ///< bytes of an encoded report
inline constexpr std::size_t kMaxLinks = 256;          ///< as many as pgfed.max_nodes allows

/// What pgfed.exchange() carries, in both directions: a node's own word about itself.
struct Report {
  std::uint32_t protocol = kProtocol;
  Name node;
  Name federation;
  Incarnation incarnation;
  Identity identity = Identity::checking;
  Facts facts;
  JudgedBy judged_by;
  TlsPaths paths;
  VersionText library_version;
  VersionText extension_version;
  std::uint32_t server_version = 0;  ///< server_version_num
  std::vector<LinkReport> links;
  std::uint64_t inventory_digest = 0;  ///< of the reporter's inventory
  /// In a question: the digest of the asked node's inventory that the asking one has already. The
  /// answer holds the inventory only where its digest is another one; a question never does.
  std::uint64_t known_inventory = 0;
  std::optional<Inventory> inventory;
  bool operator==(const Report&) const = default;
};

}  // namespace pgfed::core
