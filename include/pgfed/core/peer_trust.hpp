#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "pgfed/core/inventory.hpp"
#include "pgfed/core/probe.hpp"
#include "pgfed/core/text.hpp"
#include "pgfed/core/time.hpp"

namespace pgfed::core {

/// What one check has to say.
struct Finding {
  Status status = Status::ok;
  DetailText detail;
  Text<384> hint;
  CertificateState state = CertificateState::unknown;  ///< of a certificate, where it is about one
};

/// What this node knows of the TLS of one node: from its own probes of the endpoint, and from what
/// the node says of its files.
struct PeerTrust {
  ProbeId probe = 0;   ///< under way; 0: none
  Instant asked_at{};  ///< when it was begun
  Instant due{};       ///< of the next one
  Instant checked_at{};
  std::optional<ProbeResult> result;   ///< of the last one, without chain and steps
  std::vector<Certificate> chain;      ///< that was served when one was last seen
  Fingerprint anchor;                  ///< that it ends in
  std::optional<Inventory> inventory;  ///< its own word; this node's own among them

  // What follows from that, see Federation::review_trust().
  Diagnosis diagnosis = Diagnosis::unknown;
  Status status = Status::unknown;
  DetailText detail;
  CertificateState certificate = CertificateState::unknown;
  std::optional<Finding> tls;       ///< nothing: nothing to say
  std::optional<Finding> validity;  ///< of what it serves and of its authorities
  std::optional<Finding> files;
  std::optional<Finding> security;

  /// The certificate that it serves; null where none was seen.
  [[nodiscard]] const Certificate* served() const {
    return chain.empty() ? nullptr : &chain.front();
  }
};

/// What to do about a diagnosis, as somebody who knows would say it.
std::string_view hint_for(Diagnosis diagnosis);

}  // namespace pgfed::core
