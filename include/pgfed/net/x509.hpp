#pragma once

#include <openssl/x509.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pgfed/core/certificate.hpp"
#include "pgfed/core/result.hpp"

/// From X.509 as OpenSSL has it to core::Certificate. Whoever made the certificate may be an enemy:
/// every text and count is limited here. None of these functions leaves anything in OpenSSL's error
/// queue, nor asks for a passphrase.
namespace pgfed::net {

struct X509Free {
  void operator()(X509* certificate) const noexcept { X509_free(certificate); }
};
using X509Owner = std::unique_ptr<X509, X509Free>;

/// What files of certificates may hold.
inline constexpr std::size_t kMaxCertificateFile = 1024UL * 1024;
/// Of a subject, an issuer: more is cut.
inline constexpr std::size_t kMaxDistinguishedName = 1024;
/// Of a DNS name or a common name: more is cut, and fits no host, which has at most 255 bytes.
inline constexpr std::size_t kMaxDnsName = 256;

core::Certificate certificate_of(X509* x509);
core::Fingerprint fingerprint_of(X509* certificate);
/// As in core::Certificate::subject.
std::string name_text(const X509_NAME* name);
/// "RSA 2048", "EC P-256", "Ed25519"; "unknown" where OpenSSL cannot read it.
std::string key_text(EVP_PKEY* key);

/// One certificate in DER; null where the bytes are none, or more follow.
X509Owner certificate_of_der(std::span<const std::uint8_t> der);

/// The certificates of a PEM text in order; other blocks (keys, parameters) and what stands between
/// are skipped, as OpenSSL and libpq do it. At least one, or else an error: "no certificate in it",
/// "certificate 2 cannot be read: ...".
core::Result<std::vector<X509Owner>> certificates_of_pem(std::string_view pem);

/// Reads a file whole; "No such file or directory", "larger than 1024 kB", "is a directory".
core::Result<std::string> read_file(const std::string& path,
                                    std::size_t limit = kMaxCertificateFile);

/// Both together, with OpenSSL's objects and without.
core::Result<std::vector<X509Owner>> load_certificates(const std::string& path,
                                                       std::size_t limit = kMaxCertificateFile);
core::Result<std::vector<core::Certificate>> read_certificates(
    const std::string& path, std::size_t limit = kMaxCertificateFile);

/// The reason of OpenSSL's oldest error in plain words; empty if there is none. Empties the queue,
/// which libpq uses in this process as well.
std::string take_openssl_error();

}  // namespace pgfed::net
