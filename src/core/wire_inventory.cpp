// The part of a report that says what a node's TLS files hold and what is wrong with its set-up.

#include <algorithm>
#include <cstddef>
#include <limits>

#include "pgfed/core/wire.hpp"
#include "pgfed/core/wire_records.hpp"

namespace pgfed::core {
namespace {

using namespace wire;

/// What a record inside an inventory holds. Part of the format: append, never renumber or reuse.
enum class InventoryTag : std::uint16_t {
  problem = 1,      ///< records of ProblemTag; once for each
  certificate = 2,  ///< records of CertificateTag; once for each
};

enum class ProblemTag : std::uint16_t {
  kind = 1,    ///< u8 ProblemKind
  status = 2,  ///< u8 Status
  detail = 3,  ///< text
};

enum class CertificateTag : std::uint16_t {
  source = 1,         ///< u8 CertificateSource
  depth = 2,          ///< u8
  path = 3,           ///< text
  subject = 4,        ///< text
  issuer = 5,         ///< text
  common_name = 6,    ///< text
  dns_name = 7,       ///< text; once for each
  ip_address = 8,     ///< text; once for each
  names_cut = 9,      ///< flag
  null_in_name = 10,  ///< flag
  serial = 11,        ///< text
  sha256 = 12,        ///< 32 bytes
  not_before = 13,    ///< i64 seconds since 1970
  not_after = 14,     ///< i64 seconds since 1970
  key = 15,           ///< text
  self_issued = 16,   ///< flag
  is_ca = 17,         ///< flag
  anchor = 18,        ///< 32 bytes
};

// What ASN.1 can say: the years 0 to 9999.
constexpr std::int64_t kFirstSecond = -62167219200;
constexpr std::int64_t kLastSecond = 253402300799;

// ---- writing ---------------------------------------------------------------------------------

Bytes encode_problem(const Problem& problem) {
  Bytes out;
  put(out, ProblemTag::kind, problem.kind);
  put(out, ProblemTag::status, problem.status);
  put(out, ProblemTag::detail, problem.detail);
  return out;
}

void encode_names(Bytes& out, const Certificate& certificate) {
  std::size_t room = kMaxShownNames;
  for (const std::string& name : certificate.dns_names) {
    if (room == 0) break;
    put(out, CertificateTag::dns_name, name);
    --room;
  }
  for (const std::string& address : certificate.ip_addresses) {
    if (room == 0) break;
    put(out, CertificateTag::ip_address, address);
    --room;
  }
  const bool cut = certificate.dns_names.size() + certificate.ip_addresses.size() > kMaxShownNames;
  put(out, CertificateTag::names_cut, certificate.names_cut || cut);
}

Bytes encode_certificate(const FileCertificate& file) {
  const Certificate& certificate = file.certificate;
  Bytes out;
  put(out, CertificateTag::source, file.source);
  put(out, CertificateTag::depth, file.depth);
  put(out, CertificateTag::path, file.path);
  put(out, CertificateTag::subject, certificate.subject);
  put(out, CertificateTag::issuer, certificate.issuer);
  put(out, CertificateTag::common_name, certificate.common_name);
  encode_names(out, certificate);
  put(out, CertificateTag::null_in_name, certificate.null_in_name);
  put(out, CertificateTag::serial, certificate.serial);
  put(out, CertificateTag::sha256, certificate.sha256);
  put(out, CertificateTag::not_before, certificate.not_before);
  put(out, CertificateTag::not_after, certificate.not_after);
  put(out, CertificateTag::key, certificate.key);
  put(out, CertificateTag::self_issued, certificate.self_issued);
  put(out, CertificateTag::is_ca, certificate.is_ca);
  if (file.anchor.known()) put(out, CertificateTag::anchor, file.anchor);
  return out;
}

// ---- reading ---------------------------------------------------------------------------------

bool get_problem_field(const RawRecord& record, Problem& problem) {
  switch (static_cast<ProblemTag>(record.tag)) {
    case ProblemTag::kind:
      return get_enum(record.payload, problem.kind, kLastProblemKind, ProblemKind::unknown);
    case ProblemTag::status:
      return get_enum(record.payload, problem.status, Status::unknown, Status::unknown);
    case ProblemTag::detail:
      return get(record.payload, problem.detail);
  }
  return true;  // of a newer peer
}

/// A certificate and whether this version knows where it comes from.
struct Reading {
  FileCertificate file;
  bool known = true;
};

bool get_source(View payload, Reading& reading) {
  // What a node serves is seen by dialling it, and not to be told by itself.
  if (!get_enum(payload, reading.file.source, CertificateSource::sslcert,
                CertificateSource::served)) {
    return false;
  }
  reading.known = reading.file.source != CertificateSource::served;
  return true;
}

/// Names beyond the limit are dropped.
bool get_name(View payload, Certificate& certificate, std::vector<std::string>& names) {
  if (certificate.dns_names.size() + certificate.ip_addresses.size() >= kMaxShownNames) {
    certificate.names_cut = true;
    return true;
  }
  return get(payload, names.emplace_back());
}

/// There were more of them than are told, if either says so.
bool get_names_cut(View payload, bool& names_cut) {
  bool cut = false;
  if (!get(payload, cut)) return false;
  names_cut = names_cut || cut;
  return true;
}

bool get_certificate_field(const RawRecord& record, Reading& reading) {
  const View payload = record.payload;
  Certificate& certificate = reading.file.certificate;
  switch (static_cast<CertificateTag>(record.tag)) {
    case CertificateTag::source:
      return get_source(payload, reading);
    case CertificateTag::depth:
      return get(payload, reading.file.depth);
    case CertificateTag::path:
      return get(payload, reading.file.path);
    case CertificateTag::subject:
      return get(payload, certificate.subject);
    case CertificateTag::issuer:
      return get(payload, certificate.issuer);
    case CertificateTag::common_name:
      return get(payload, certificate.common_name);
    case CertificateTag::dns_name:
      return get_name(payload, certificate, certificate.dns_names);
    case CertificateTag::ip_address:
      return get_name(payload, certificate, certificate.ip_addresses);
    case CertificateTag::names_cut:
      return get_names_cut(payload, certificate.names_cut);
    case CertificateTag::null_in_name:
      return get(payload, certificate.null_in_name);
    case CertificateTag::serial:
      return get(payload, certificate.serial);
    case CertificateTag::sha256:
      return get(payload, certificate.sha256);
    case CertificateTag::not_before:
      return get_clamped(payload, certificate.not_before, kFirstSecond, kLastSecond);
    case CertificateTag::not_after:
      return get_clamped(payload, certificate.not_after, kFirstSecond, kLastSecond);
    case CertificateTag::key:
      return get(payload, certificate.key);
    case CertificateTag::self_issued:
      return get(payload, certificate.self_issued);
    case CertificateTag::is_ca:
      return get(payload, certificate.is_ca);
    case CertificateTag::anchor:
      return get(payload, reading.file.anchor);
  }
  return true;  // of a newer peer
}

bool get_inventory_field(const RawRecord& record, Inventory& inventory) {
  switch (static_cast<InventoryTag>(record.tag)) {
    case InventoryTag::problem: {
      Problem problem;
      if (!get_records(record.payload, problem, get_problem_field)) return false;
      if (inventory.problems.size() < kMaxProblems) inventory.problems.push_back(problem);
      return true;
    }
    case InventoryTag::certificate: {
      Reading reading;
      if (!get_records(record.payload, reading, get_certificate_field)) return false;
      if (reading.known && inventory.certificates.size() < kMaxNodeCertificates) {
        inventory.certificates.push_back(std::move(reading.file));
      }
      return true;
    }
  }
  return true;  // of a newer peer
}

}  // namespace

bool wire::get_inventory(View payload, Inventory& inventory) {
  return get_records(payload, inventory, get_inventory_field);
}

std::vector<std::uint8_t> encode_inventory(const Inventory& inventory) {
  Bytes out;
  for (std::size_t i = 0; i < std::min(inventory.problems.size(), kMaxProblems); ++i) {
    put_bytes(out, InventoryTag::problem, encode_problem(inventory.problems[i]));
  }
  const std::size_t count = std::min(inventory.certificates.size(), kMaxNodeCertificates);
  for (std::size_t i = 0; i < count; ++i) {
    const Bytes certificate = encode_certificate(inventory.certificates[i]);
    if (out.size() + kHeaderSize + certificate.size() > kMaxEncodedInventory) break;
    put_bytes(out, InventoryTag::certificate, certificate);
  }
  return out;
}

}  // namespace pgfed::core
