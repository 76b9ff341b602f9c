#pragma once

#include <libpq-fe.h>

#include "pgfed/core/text.hpp"

/// What is to be known of the TLS layer of a libpq session.
namespace pgfed::net {

/// "TLSv1.3"; empty without TLS.
core::VersionText tls_protocol(PGconn* connection);

/// The subject (RFC 2253) of the certificate with which this side has proved who it is. Empty where
/// it sent none: there is none, or the server did not ask for one.
core::Text<128> presented_subject(PGconn* connection);

/// From now on OpenSSL frees its buffers, 33 kB a session, while nothing is in them. No effect
/// without TLS.
void free_idle_buffers(PGconn* connection);

/// Bytes that OpenSSL has read and decrypted but not handed out: no poll of the socket shows them.
bool tls_pending(PGconn* connection);

}  // namespace pgfed::net
