#include "pgfed/net/tls_session.hpp"

#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>
#include <string_view>

namespace pgfed::net {

namespace {

SSL* tls_of(PGconn* connection) {
  // Null also where libpq uses another TLS library, which Debian's does not.
  return static_cast<SSL*>(PQsslStruct(connection, "OpenSSL"));
}

}  // namespace

core::VersionText tls_protocol(PGconn* connection) {
  if (PQsslInUse(connection) == 0) return {};
  const char* protocol = PQsslAttribute(connection, "protocol");
  return protocol == nullptr ? core::VersionText() : core::VersionText(protocol);
}

core::Text<128> presented_subject(PGconn* connection) {
  SSL* tls = tls_of(connection);
  if (tls == nullptr) return {};
  // A certificate may be loaded and yet not asked for; only who sent one has signed.
  int signature = 0;
  if (SSL_get_signature_type_nid(tls, &signature) != 1) return {};
  X509* certificate = SSL_get_certificate(tls);
  if (certificate == nullptr) return {};

  const std::unique_ptr<BIO, decltype(&BIO_free)> text(BIO_new(BIO_s_mem()), &BIO_free);
  // RFC 2253, but with letters beyond ASCII as they are: Text sees to what a terminal may get.
  constexpr unsigned long kFormat =
      XN_FLAG_RFC2253 & ~static_cast<unsigned long>(ASN1_STRFLGS_ESC_MSB);
  if (!text || X509_NAME_print_ex(text.get(), X509_get_subject_name(certificate), 0, kFormat) < 0) {
    return {};
  }
  char* bytes = nullptr;
  const long length = BIO_get_mem_data(text.get(), &bytes);
  if (length <= 0) return {};
  return {std::string_view(bytes, static_cast<std::size_t>(length))};
}

void free_idle_buffers(PGconn* connection) {
  SSL* tls = tls_of(connection);
  if (tls != nullptr) SSL_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
}

bool tls_pending(PGconn* connection) {
  SSL* tls = tls_of(connection);
  return tls != nullptr && SSL_pending(tls) > 0;
}

}  // namespace pgfed::net
