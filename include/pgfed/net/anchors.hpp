#pragma once

#include <memory>
#include <span>

#include "pgfed/net/x509.hpp"

namespace pgfed::net {

/// Authorities of a CA file, or of several, and which certificates end in them. Time plays no part:
/// what has expired has an anchor too. As for libpq and PostgreSQL, only what has signed itself is
/// an anchor; intermediate certificates in a CA file help on the way.
class Anchors {
 public:
  Anchors();
  ~Anchors();
  Anchors(const Anchors&) = delete;
  Anchors& operator=(const Anchors&) = delete;

  void add(std::span<const X509Owner> certificates);
  /// Only those that are anchors themselves.
  void add_roots(std::span<const X509Owner> certificates);
  /// The authorities that the system trusts (sslrootcert=system).
  void add_system();
  [[nodiscard]] bool empty() const;

  /// The anchor of the first certificate, with the help of the others; zero where it has none.
  [[nodiscard]] core::Fingerprint anchor_of(std::span<const X509Owner> chain) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pgfed::net
