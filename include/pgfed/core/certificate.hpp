#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "pgfed/core/terms.hpp"
#include "pgfed/core/text.hpp"
#include "pgfed/core/time.hpp"

namespace pgfed::core {

/// SHA-256 of a certificate's DER form, as `openssl x509 -fingerprint -sha256` has it. All zero:
/// none.
struct Fingerprint {
  std::array<std::uint8_t, 32> bytes{};
  bool operator==(const Fingerprint&) const = default;
  [[nodiscard]] bool known() const { return *this != Fingerprint{}; }
  /// 64 lower-case hexadecimal digits; empty where it is not known.
  [[nodiscard]] std::string hex() const;
};

inline constexpr std::size_t kMaxChain = 10;             ///< certificates of one chain
inline constexpr std::size_t kMaxShownNames = 32;        ///< names shown of one certificate
inline constexpr std::size_t kMaxNames = 1024;           ///< names looked at of one certificate
inline constexpr std::size_t kMaxNodeCertificates = 24;  ///< that one node tells of its files

/// What there is to know of an X.509 certificate, whoever handed it over: nothing here is trusted.
/// Texts are as they stand in the certificate, control characters and all: they become printable
/// where they go into a Text (see copy_printable).
struct Certificate {
  std::string subject;                    ///< RFC 2253
  std::string issuer;                     ///< likewise
  std::string common_name;                ///< the first CN of the subject; empty: none
  std::vector<std::string> dns_names;     ///< subjectAltName, in order, at most kMaxNames in all
  std::vector<std::string> ip_addresses;  ///< likewise, as inet_ntop writes them
  bool names_cut = false;                 ///< there were more of them
  bool null_in_name = false;              ///< a name holds a NUL byte: libpq refuses such a one
  std::string serial;                     ///< hexadecimal, upper case, without a prefix
  Fingerprint sha256;
  std::int64_t not_before = 0;  ///< seconds since 1970
  std::int64_t not_after = 0;   ///< seconds since 1970
  std::string key;              ///< "RSA 2048", "EC P-256", "Ed25519"
  bool self_issued = false;     ///< subject and issuer are the same
  bool is_ca = false;           ///< basicConstraints say so
  bool operator==(const Certificate&) const = default;
};

/// pgfed.federation.certificate.
enum class CertificateState : std::uint8_t {
  unknown = 0,
  ok,
  expiring,
  expired,
  not_yet_valid,
  untrusted,
  mismatch,
  plaintext,
};

/// When a certificate's remaining validity is worth a word. Never more than 1/4 and 1/10 of the
/// certificate's whole life, so that short-lived ones are not always about to expire.
struct CertificateThresholds {
  Duration warning = std::chrono::hours(24 * 30);
  Duration critical = std::chrono::hours(24 * 7);
  bool operator==(const CertificateThresholds&) const = default;
};

struct Validity {
  CertificateState state = CertificateState::unknown;  ///< ok, expiring, expired or not_yet_valid
  Status status = Status::unknown;
  std::string detail;  ///< "expires in 6 days (2027-01-02 03:04:05 UTC)"; empty where all is well
};

/// `wall_now`: seconds since 1970.
Validity judge_validity(const Certificate& certificate, const CertificateThresholds& thresholds,
                        std::int64_t wall_now);

/// "2027-01-02 03:04:05 UTC"
std::string utc_text(std::int64_t seconds_since_1970);

/// How a certificate's names fit the host that was asked for.
struct HostMatch {
  bool matches = false;
  bool by_common_name = false;  ///< only because it has no name of the host's own kind
};

/// As libpq's verify-full does it (PostgreSQL 15 and later, fe-secure-common.c and
/// fe-secure-openssl.c): DNS names with one wildcard as the whole left-most label, compared without
/// regard to case; addresses with iPAddress names by value; the common name only where there is no
/// subjectAltName of the host's kind. A name with a NUL byte matches nothing and spoils all.
HostMatch match_host(const Certificate& certificate, std::string_view host);

/// The names of a certificate for a message: "DNS leo.example, DNS *.db, IP 10.0.0.1", cut with
/// "and N more"; "no names" where it has none, "CN leo.example, no SAN" where it has only that.
std::string names_text(const Certificate& certificate, std::size_t most = 8);

}  // namespace pgfed::core
