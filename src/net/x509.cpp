#include "pgfed/net/x509.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

namespace pgfed::net {

namespace {

constexpr const char* kIoError = "58030";
constexpr const char* kBadFile = "F0000";
constexpr std::size_t kMaxSerial = 64;  ///< bytes; RFC 5280 allows 20
constexpr std::size_t kKilobyte = 1024;

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;

core::Error file_error(const char* sqlstate, std::string message) {
  return {.sqlstate = sqlstate, .message = std::move(message), .detail = {}, .hint = {}};
}

std::string_view bytes_of(const ASN1_STRING* text) {
  if (text == nullptr) return {};
  const unsigned char* data = ASN1_STRING_get0_data(text);
  const int length = ASN1_STRING_length(text);
  if (data == nullptr || length <= 0) return {};
  return {reinterpret_cast<const char*>(data), static_cast<std::size_t>(length)};
}

/// A name as libpq compares it: the bytes as they stand, whatever their type says.
std::string dns_name(core::Certificate& certificate, std::string_view bytes) {
  if (bytes.find('\0') != std::string_view::npos) certificate.null_in_name = true;
  return std::string(bytes.substr(0, kMaxDnsName));
}

std::string ip_text(std::string_view bytes) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const int family = bytes.size() == sizeof(in_addr) ? AF_INET : AF_INET6;
  if (bytes.size() != sizeof(in_addr) && bytes.size() != sizeof(in6_addr)) {
    return "invalid (" + std::to_string(bytes.size()) + " bytes)";
  }
  return inet_ntop(family, bytes.data(), text.data(), text.size()) == nullptr ? "invalid"
                                                                              : text.data();
}

void take_names(X509* x509, core::Certificate& certificate) {
  const X509_NAME* subject = X509_get_subject_name(x509);
  const int first = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (first >= 0) {
    certificate.common_name = dns_name(
        certificate, bytes_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, first))));
  }

  const std::unique_ptr<GENERAL_NAMES, decltype(&GENERAL_NAMES_free)> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(x509, NID_subject_alt_name, nullptr, nullptr)),
      &GENERAL_NAMES_free);
  if (!names) return;
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_DNS && name->type != GEN_IPADD) continue;
    if (certificate.dns_names.size() + certificate.ip_addresses.size() >= core::kMaxNames) {
      certificate.names_cut = true;
      return;
    }
    if (name->type == GEN_DNS) {
      certificate.dns_names.push_back(dns_name(certificate, bytes_of(name->d.dNSName)));
    } else {
      certificate.ip_addresses.push_back(ip_text(bytes_of(name->d.iPAddress)));
    }
  }
}

std::string hex_of(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    text += kDigits[byte >> 4U];
    text += kDigits[byte & 0xFU];
  }
  return text;
}

std::string serial_text(X509* x509) {
  const ASN1_INTEGER* serial = X509_get0_serialNumber(x509);
  const std::string_view bytes = bytes_of(serial);
  if (bytes.empty()) return "00";
  const bool negative = (ASN1_STRING_type(serial) & V_ASN1_NEG) != 0;
  return (negative ? "-" : "") + hex_of(bytes.substr(0, kMaxSerial));
}

std::int64_t seconds_of(const ASN1_TIME* when) {
  tm parts{};
  if (when == nullptr || ASN1_TIME_to_tm(when, &parts) != 1) return 0;
  return timegm(&parts);
}

std::string curve_text(EVP_PKEY* key) {
  std::array<char, 80> name{};
  std::size_t length = 0;
  if (EVP_PKEY_get_group_name(key, name.data(), name.size(), &length) != 1) return "EC";
  const std::string_view group(name.data());
  if (group == "prime256v1") return "EC P-256";
  if (group == "secp384r1") return "EC P-384";
  if (group == "secp521r1") return "EC P-521";
  return "EC " + std::string(group);
}

/// OpenSSL would ask at the terminal.
int no_passphrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*unused*/) { return -1; }

std::string system_error(int error) {
  std::array<char, 256> buffer{};
  return strerror_r(error, buffer.data(), buffer.size());
}

}  // namespace

std::string take_openssl_error() {
  // A failure deep inside is reported by every layer it comes through: the first says what it was.
  const unsigned long first = ERR_get_error();
  ERR_clear_error();
  if (first == 0) return {};
  if (ERR_SYSTEM_ERROR(first)) return system_error(ERR_GET_REASON(first));
  const char* reason = ERR_reason_error_string(first);
  return reason != nullptr ? reason : "error " + std::to_string(first);
}

std::string name_text(const X509_NAME* name) {
  const Bio text(BIO_new(BIO_s_mem()), &BIO_free);
  // RFC 2253, but with letters beyond ASCII as they are: who shows it sees to what a terminal gets.
  constexpr unsigned long kFormat =
      XN_FLAG_RFC2253 & ~static_cast<unsigned long>(ASN1_STRFLGS_ESC_MSB);
  if (!text || name == nullptr || X509_NAME_print_ex(text.get(), name, 0, kFormat) < 0) {
    ERR_clear_error();
    return {};
  }
  char* bytes = nullptr;
  const long length = BIO_get_mem_data(text.get(), &bytes);
  if (length <= 0) return {};
  return std::string(
      std::string_view(bytes, static_cast<std::size_t>(length)).substr(0, kMaxDistinguishedName));
}

std::string key_text(EVP_PKEY* key) {
  if (key == nullptr) return "unknown";
  const auto with_bits = [key](const char* kind) {
    return std::string(kind) + " " + std::to_string(EVP_PKEY_get_bits(key));
  };
  switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
      return with_bits("RSA");
    case EVP_PKEY_RSA_PSS:
      return with_bits("RSA-PSS");
    case EVP_PKEY_DSA:
      return with_bits("DSA");
    case EVP_PKEY_EC:
      return curve_text(key);
    case EVP_PKEY_ED25519:
      return "Ed25519";
    case EVP_PKEY_ED448:
      return "Ed448";
    default: {
      const char* name = EVP_PKEY_get0_type_name(key);
      return name == nullptr ? "unknown" : std::string(name).substr(0, 32);
    }
  }
}

core::Fingerprint fingerprint_of(X509* certificate) {
  core::Fingerprint print;
  unsigned length = 0;
  if (X509_digest(certificate, EVP_sha256(), print.bytes.data(), &length) != 1) print = {};
  ERR_clear_error();
  return print;
}

core::Certificate certificate_of(X509* x509) {
  core::Certificate certificate;
  const X509_NAME* subject = X509_get_subject_name(x509);
  const X509_NAME* issuer = X509_get_issuer_name(x509);
  certificate.subject = name_text(subject);
  certificate.issuer = name_text(issuer);
  certificate.self_issued = X509_NAME_cmp(subject, issuer) == 0;
  take_names(x509, certificate);
  certificate.serial = serial_text(x509);
  certificate.sha256 = fingerprint_of(x509);
  certificate.not_before = seconds_of(X509_get0_notBefore(x509));
  certificate.not_after = seconds_of(X509_get0_notAfter(x509));
  certificate.key = key_text(X509_get0_pubkey(x509));
  certificate.is_ca = (X509_get_extension_flags(x509) & EXFLAG_CA) != 0;
  ERR_clear_error();
  return certificate;
}

X509Owner certificate_of_der(std::span<const std::uint8_t> der) {
  if (der.size() > kMaxCertificateFile) return nullptr;
  const unsigned char* at = der.data();
  X509Owner certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  ERR_clear_error();
  if (certificate && at != der.data() + der.size()) return nullptr;
  return certificate;
}

core::Result<std::vector<X509Owner>> certificates_of_pem(std::string_view pem) {
  ERR_clear_error();
  std::vector<X509Owner> certificates;
  if (pem.size() > INT_MAX) return file_error(kBadFile, "too large");
  const Bio text(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free);
  if (!text) return file_error(kBadFile, "out of memory");
  for (;;) {
    X509Owner one(PEM_read_bio_X509(text.get(), nullptr, &no_passphrase, nullptr));
    if (one) {
      certificates.push_back(std::move(one));
      continue;
    }
    const unsigned long error = ERR_peek_last_error();
    const bool at_end =
        ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
    const std::string reason = take_openssl_error();
    if (!at_end) {
      return file_error(kBadFile, "certificate " + std::to_string(certificates.size() + 1) +
                                      " cannot be read: " + reason);
    }
    if (certificates.empty()) return file_error(kBadFile, "no certificate in it");
    return certificates;
  }
}

core::Result<std::string> read_file(const std::string& path, std::size_t limit) {
  struct Descriptor {
    int number;
    ~Descriptor() {
      if (number >= 0) close(number);
    }
  };
  // Not to wait for somebody who would write into a FIFO.
  const Descriptor file{open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)};
  struct stat about {};
  if (file.number < 0 || fstat(file.number, &about) != 0) {
    return file_error(kIoError, system_error(errno));
  }
  if (S_ISDIR(about.st_mode)) return file_error(kIoError, "is a directory");
  if (!S_ISREG(about.st_mode)) return file_error(kIoError, "is no regular file");
  std::string bytes;
  std::array<char, 16 * kKilobyte> piece{};
  for (;;) {
    const ssize_t count = read(file.number, piece.data(), piece.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return file_error(kIoError, system_error(errno));
    if (count == 0) return bytes;
    if (bytes.size() + static_cast<std::size_t>(count) > limit) {
      return file_error(kIoError, "larger than " + std::to_string(limit / kKilobyte) + " kB");
    }
    bytes.append(piece.data(), static_cast<std::size_t>(count));
  }
}

core::Result<std::vector<X509Owner>> load_certificates(const std::string& path, std::size_t limit) {
  const core::Result<std::string> bytes = read_file(path, limit);
  if (!bytes) return bytes.error();
  return certificates_of_pem(bytes.value());
}

core::Result<std::vector<core::Certificate>> read_certificates(const std::string& path,
                                                               std::size_t limit) {
  const core::Result<std::vector<X509Owner>> loaded = load_certificates(path, limit);
  if (!loaded) return loaded.error();
  std::vector<core::Certificate> certificates;
  for (const X509Owner& one : loaded.value()) certificates.push_back(certificate_of(one.get()));
  return certificates;
}

}  // namespace pgfed::net
