#pragma once

#include <cstdint>
#include <vector>

#include "pgfed/core/inventory.hpp"
#include "pgfed/core/node.hpp"
#include "pgfed/core/probe.hpp"
#include "pgfed/core/report.hpp"
#include "pgfed/core/terms.hpp"

/// What the views show, before ages are computed: rows of standard layout that the federation
/// worker copies into shared memory as they are. Instants are on this server's boot clock.
namespace pgfed::core {

inline constexpr std::int64_t kNoValue = -1;

/// pgfed.federation
struct FederationRow {
  Name node;
  SiteText site;
  Role role = Role::unknown;
  State state = State::unknown;
  Status status = Status::unknown;
  Name upstream;  ///< in use; empty: none or not a known node
  std::uint32_t timeline = 0;
  Lsn lsn;  ///< primary: flushed; standby: replayed
  std::int64_t lag_bytes = kNoValue;
  std::int64_t lag_us = kNoValue;
  Instant seen{};   ///< last good answer
  Instant since{};  ///< start of this state
  DetailText detail;
  CertificateState certificate = CertificateState::unknown;  ///< of the one that it serves
  std::int64_t not_after = 0;  ///< of that one, seconds since 1970; 0: not known
};

/// pgfed.tls
struct TlsRow {
  Name node;
  HostText host;
  std::uint16_t port = 0;
  Negotiation negotiation = Negotiation::postgres;
  VersionText protocol;
  Text<64> cipher;
  std::int8_t chain_ok = -1;    ///< 0 or 1; -1: not known
  std::int8_t host_match = -1;  ///< likewise
  ClientCertificate client_certificate = ClientCertificate::unknown;
  ProbeStage stage = ProbeStage::none;
  Diagnosis diagnosis = Diagnosis::unknown;
  Status status = Status::unknown;
  DetailText detail;
  Instant checked_at{};
};

/// pgfed.certificates
struct CertificateRow {
  Name node;
  CertificateSource source = CertificateSource::served;
  std::uint8_t depth = 0;
  Text<192> subject;
  Text<192> issuer;
  Text<1024> dns_names;    ///< with a blank between two
  Text<256> ip_addresses;  ///< likewise
  Text<48> serial;
  Fingerprint sha256;
  std::int64_t not_before = 0;  ///< seconds since 1970
  std::int64_t not_after = 0;   ///< likewise
  Text<24> key;
  Fingerprint anchor;
  PathText path;
  Status status = Status::unknown;
  DetailText detail;
};

/// Rows of pgfed.certificates for each node at most: the chain it serves, and its files.
inline constexpr std::size_t kMaxCertificateRows = kMaxChain + kMaxNodeCertificates;

/// pgfed.tls and pgfed.certificates change rarely: see Federation::trust().
struct TrustPicture {
  std::vector<TlsRow> tls;                   ///< sorted by node
  std::vector<CertificateRow> certificates;  ///< sorted by node, source, depth
};

/// pgfed.peers
struct PeerRow {
  Name node;
  HostText host;
  std::uint16_t port = 0;
  SessionState state = SessionState::idle;
  Stage stage = Stage::none;
  ErrorText error;
  std::uint32_t failures = 0;  ///< in a row, since the last good answer
  Instant connected_since{};
  Instant last_seen{};
  std::int64_t rtt_us = kNoValue;
  std::int64_t clock_offset_us = 0;  ///< its wall clock minus ours; valid where rtt_us is
  std::uint32_t server_version = 0;
  VersionText library_version;
  VersionText extension_version;
  std::uint64_t system_identifier = 0;
  VersionText tls_protocol;
  Text<128> client_dn;
  TlsPaths paths;  ///< as the node reported them; for standby_settings()
};

/// pgfed.links; see Federation::links()
struct LinkRow {
  Name observer;
  Name target;
  bool known = true;  ///< false: the observer has not been heard, nothing can be said
  bool connected = false;
  std::int64_t rtt_us = kNoValue;
  ErrorText error;
  Instant observed_at{};
};

/// pgfed.checks
struct CheckRow {
  Name node;  ///< empty: about no single node
  Text<32> name;
  Status status = Status::unknown;
  Instant since{};
  DetailText detail;
  Text<384> hint;
};

struct Picture {
  std::vector<FederationRow> federation;  ///< sorted by node
  std::vector<PeerRow> peers;             ///< sorted by node
  std::vector<CheckRow> checks;
};

}  // namespace pgfed::core
