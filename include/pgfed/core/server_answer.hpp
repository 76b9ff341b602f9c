#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

/// What servers, of Postgres and of other kinds, answer to an SSLRequest.
namespace pgfed::core {

enum class ServerAnswer : std::uint8_t {
  tls,           ///< 'S'
  tls_and_more,  ///< 'S' and bytes that should have waited for TLS
  no_tls,        ///< 'N'
  error,         ///< 'E': an error message, of which more may follow
  tls_alert,     ///< a TLS server that expected a ClientHello
  other,
};

/// More is not kept of it.
inline constexpr std::size_t kMaxServerAnswer = 2048;

/// `answer` is not empty.
ServerAnswer classify_answer(std::string_view answer);

/// Whether an answer that is an error is all there, or more than is kept.
bool error_is_complete(std::string_view answer);

/// The primary message of an error, in the form of protocol 3 or the older one, that servers use
/// before they know the protocol; raw. Empty if there is none.
std::string error_message_of(std::string_view answer);

/// Whether bytes can be the beginning of a TLS record.
bool begins_as_tls(std::string_view bytes);

}  // namespace pgfed::core
