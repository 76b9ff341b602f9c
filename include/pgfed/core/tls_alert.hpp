#pragma once

#include <cstdint>
#include <string>

/// The alerts of TLS (RFC 8446, 6.2) by which a server says what it does not like.
namespace pgfed::core {

namespace tls_alert {
inline constexpr std::uint8_t kHandshakeFailure = 40;
inline constexpr std::uint8_t kProtocolVersion = 70;
inline constexpr std::uint8_t kUnrecognizedName = 112;
inline constexpr std::uint8_t kCertificateRequired = 116;
inline constexpr std::uint8_t kNoApplicationProtocol = 120;
}  // namespace tls_alert

/// "handshake_failure"; "alert 99" where it has no name.
std::string alert_text(std::uint8_t alert);

/// Whether it speaks of the certificate that was sent to who raises it.
bool rejects_certificate(std::uint8_t alert);

}  // namespace pgfed::core
