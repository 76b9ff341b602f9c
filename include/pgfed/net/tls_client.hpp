#pragma once

#include <openssl/ssl.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "pgfed/core/probe_machine.hpp"
#include "pgfed/net/tls_trust.hpp"

namespace pgfed::net {

/// One TLS session of a client, without a socket: bytes go in and come out, so that whoever owns the
/// socket decides how many of them are looked at. Shows libpq's ALPN.
class TlsClient {
 public:
  enum class State : std::uint8_t {
    busy,    ///< wants more bytes of the server
    done,    ///< the handshake is made
    ended,   ///< the server has said goodbye
    failed,  ///< see failure()
  };

  /// `server_name`: for SNI; empty: none is sent.
  TlsClient(std::shared_ptr<const TlsSetup> setup, const std::string& server_name);
  ~TlsClient();
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;

  /// Bytes that the server has sent.
  void feed(std::string_view bytes);
  /// How many those were in all.
  [[nodiscard]] std::uint64_t received() const { return received_; }
  /// Takes what is to be sent to the server.
  std::string take_output();

  /// Goes on with the handshake.
  State handshake();
  /// Says goodbye; what the server sends is still read.
  void say_goodbye();
  /// Reads on after the handshake, and throws away what there is.
  State read_on();

  [[nodiscard]] core::TlsFacts facts() const;
  /// What went wrong, but for the connection itself. `facts` is not filled.
  [[nodiscard]] core::probe_event::TlsFailed failure() const;
  /// The fatal alert that the server has sent; 0: none.
  [[nodiscard]] std::uint8_t alert() const { return alert_; }
  [[nodiscard]] const std::string& first_bytes() const { return first_bytes_; }

 private:
  struct SslFree {
    void operator()(SSL* ssl) const noexcept { SSL_free(ssl); }
  };
  State state_of(int result);
  // What OpenSSL calls; nothing may be thrown through it.
  static int on_certificate_request(SSL* ssl, void* self) noexcept;
  static void on_info(const SSL* ssl, int where, int value) noexcept;

  std::shared_ptr<const TlsSetup> setup_;
  std::unique_ptr<SSL, SslFree> ssl_;
  BIO* in_ = nullptr;   ///< owned by ssl_
  BIO* out_ = nullptr;  ///< owned by ssl_
  std::uint64_t received_ = 0;
  std::string first_bytes_;
  std::string reason_;
  std::uint8_t alert_ = 0;
  bool certificate_requested_ = false;
};

}  // namespace pgfed::net
