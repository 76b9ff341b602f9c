#include <algorithm>
#include <string>
#include <vector>

#include "pgfed/core/federation.hpp"

/// The rows of pgfed.tls and pgfed.certificates.
namespace pgfed::core {

namespace {

std::int8_t as_flag(const std::optional<bool>& value) {
  return static_cast<std::int8_t>(!value ? -1 : *value ? 1 : 0);
}

/// Names with a blank between two: a blank or control character within one would make two of it.
template <std::size_t N>
void join(const std::vector<std::string>& names, Text<N>& text) {
  std::string joined;
  std::size_t count = 0;
  for (const std::string& name : names) {
    if (count == kMaxShownNames || joined.size() + name.size() + 1 >= N) break;
    ++count;
    if (!joined.empty()) joined += ' ';
    for (const char c : name) {
      const auto byte = static_cast<unsigned char>(c);
      joined += byte <= ' ' || byte == 0x7F ? '?' : c;
    }
  }
  text = joined;
}

CertificateRow certificate_row(const Name& node, const Certificate& certificate) {
  CertificateRow row;
  row.node = node;
  row.subject = certificate.subject;
  row.issuer = certificate.issuer;
  join(certificate.dns_names, row.dns_names);
  join(certificate.ip_addresses, row.ip_addresses);
  row.serial = certificate.serial;
  row.sha256 = certificate.sha256;
  row.not_before = certificate.not_before;
  row.not_after = certificate.not_after;
  row.key = certificate.key;
  return row;
}

void judge(CertificateRow& row, const Certificate& certificate,
           const CertificateThresholds& thresholds, std::int64_t wall_now) {
  const Validity validity = judge_validity(certificate, thresholds, wall_now);
  row.status = validity.status;
  row.detail = validity.detail;
}

}  // namespace

TrustPicture Federation::trust(Instant now) const {
  TrustPicture picture;
  const std::int64_t wall_now = wall_seconds(now);
  for (const Peer& peer : peers_) {
    const PeerTrust& trust = peer.trust;
    TlsRow row;
    row.node = peer.spec.name;
    row.host = peer.spec.host;
    row.port = peer.spec.port;
    row.diagnosis = trust.diagnosis;
    row.status = trust.status;
    row.detail = trust.detail;
    row.checked_at = trust.checked_at;
    if (trust.result) {
      const ProbeResult& result = *trust.result;
      row.negotiation = result.negotiation;
      row.protocol = result.protocol;
      row.cipher = result.cipher;
      row.chain_ok = as_flag(result.chain_ok);
      row.host_match = as_flag(result.host_match);
      row.client_certificate = result.client_certificate;
      row.stage = result.stage;
    }
    picture.tls.push_back(row);

    const CertificateThresholds& thresholds = judged_by_of(peer).certificate;
    std::uint8_t depth = 0;
    for (const Certificate& certificate : trust.chain) {
      if (depth == kMaxChain) break;
      CertificateRow served = certificate_row(peer.spec.name, certificate);
      served.depth = depth;
      served.anchor = trust.anchor;
      judge(served, certificate, thresholds, wall_now);
      // What is wrong with it beside its age.
      if (depth == 0 && served.status == Status::ok && trust.status == Status::critical &&
          certificate_state_of(trust.diagnosis) != CertificateState::unknown) {
        served.status = trust.status;
        served.detail = trust.detail;
      }
      picture.certificates.push_back(served);
      ++depth;
    }
    if (!trust.inventory) continue;
    std::size_t files = 0;
    for (const FileCertificate& file : trust.inventory->certificates) {
      if (files++ == kMaxNodeCertificates) break;
      CertificateRow on_disk = certificate_row(peer.spec.name, file.certificate);
      on_disk.source = file.source;
      on_disk.depth = file.depth;
      on_disk.anchor = file.anchor;
      on_disk.path = file.path;
      judge(on_disk, file.certificate, thresholds, wall_now);
      const Certificate* served = trust.served();
      if (file.source == CertificateSource::ssl_cert_file && file.depth == 0 && served != nullptr &&
          !(served->sha256 == file.certificate.sha256) && on_disk.status == Status::ok) {
        on_disk.status = Status::warning;
        on_disk.detail = "the endpoint serves another one";
      }
      picture.certificates.push_back(on_disk);
    }
  }
  return picture;
}

}  // namespace pgfed::core
