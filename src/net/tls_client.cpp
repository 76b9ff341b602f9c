#include "pgfed/net/tls_client.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>

#include <algorithm>
#include <array>
#include <new>
#include <utility>

namespace pgfed::net {

namespace {

constexpr std::array<unsigned char, 11> kAlpn = {10,  'p', 'o', 's', 't', 'g',
                                                 'r', 'e', 's', 'q', 'l'};
constexpr std::size_t kFirstBytes = 64;
constexpr int kFatal = 2;
constexpr int kCloseNotify = 0;
constexpr int kUserCanceled = 90;

}  // namespace

TlsClient::TlsClient(std::shared_ptr<const TlsSetup> setup, const std::string& server_name)
    : setup_(std::move(setup)) {
  ERR_clear_error();
  if (setup_->context() == nullptr) throw std::bad_alloc();
  ssl_.reset(SSL_new(setup_->context()));
  in_ = BIO_new(BIO_s_mem());
  out_ = BIO_new(BIO_s_mem());
  if (!ssl_ || in_ == nullptr || out_ == nullptr) {
    BIO_free(in_);
    BIO_free(out_);
    throw std::bad_alloc();
  }
  BIO_set_mem_eof_return(in_, -1);  // empty is not the end
  BIO_set_mem_eof_return(out_, -1);
  SSL_set_bio(ssl_.get(), in_, out_);
  SSL_set_connect_state(ssl_.get());
  SSL_set_app_data(ssl_.get(), this);
  SSL_set_cert_cb(ssl_.get(), &on_certificate_request, this);
  SSL_set_info_callback(ssl_.get(), &on_info);
  SSL_set_alpn_protos(ssl_.get(), kAlpn.data(), kAlpn.size());
  if (!server_name.empty()) SSL_set_tlsext_host_name(ssl_.get(), server_name.c_str());
  ERR_clear_error();
}

TlsClient::~TlsClient() {
  ssl_.reset();
  ERR_clear_error();
}

void TlsClient::feed(std::string_view bytes) {
  received_ += bytes.size();
  first_bytes_ += bytes.substr(0, kFirstBytes - std::min(kFirstBytes, first_bytes_.size()));
  BIO_write(in_, bytes.data(), static_cast<int>(bytes.size()));
}

std::string TlsClient::take_output() {
  char* bytes = nullptr;
  const long length = BIO_get_mem_data(out_, &bytes);
  std::string output;
  if (length > 0) output.assign(bytes, static_cast<std::size_t>(length));
  (void)BIO_reset(out_);
  return output;
}

TlsClient::State TlsClient::state_of(int result) {
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_NONE:
      return State::done;
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      return State::busy;
    case SSL_ERROR_ZERO_RETURN:
      return State::ended;
    default:
      reason_ = take_openssl_error();
      return State::failed;
  }
}

TlsClient::State TlsClient::handshake() {
  ERR_clear_error();
  const State state = state_of(SSL_do_handshake(ssl_.get()));
  ERR_clear_error();
  return state;
}

void TlsClient::say_goodbye() {
  ERR_clear_error();
  if (SSL_is_init_finished(ssl_.get()) == 1) SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

TlsClient::State TlsClient::read_on() {
  std::array<char, 4096> waste{};
  ERR_clear_error();
  State state = State::busy;
  for (;;) {
    const int count = SSL_read(ssl_.get(), waste.data(), static_cast<int>(waste.size()));
    if (count > 0) continue;  // there is only as much as was fed
    state = state_of(count);
    break;
  }
  ERR_clear_error();
  return state;
}

core::TlsFacts TlsClient::facts() const {
  core::TlsFacts facts;
  const SSL* ssl = ssl_.get();
  const STACK_OF(X509)* chain = SSL_get_peer_cert_chain(ssl);
  const bool begun =
      SSL_get_current_cipher(ssl) != nullptr || SSL_get_pending_cipher(ssl) != nullptr;
  if (begun) facts.protocol = SSL_get_version(ssl);
  if (SSL_get_current_cipher(ssl) != nullptr) facts.cipher = SSL_get_cipher_name(ssl);
  const unsigned char* alpn = nullptr;
  unsigned length = 0;
  SSL_get0_alpn_selected(ssl, &alpn, &length);
  facts.alpn.assign(reinterpret_cast<const char*>(alpn), length);
  facts.certificate_requested = certificate_requested_;
  int signature = 0;  // only who sends a certificate signs
  facts.certificate_sent =
      certificate_requested_ && SSL_get_signature_type_nid(ssl, &signature) == 1;
  const int count = chain == nullptr ? 0 : sk_X509_num(chain);
  for (int i = 0; i < std::min(count, static_cast<int>(core::kMaxChain)); ++i) {
    facts.chain.push_back(certificate_of(sk_X509_value(chain, i)));
  }
  facts.verdict = setup_->verify(chain);
  ERR_clear_error();
  return facts;
}

core::probe_event::TlsFailed TlsClient::failure() const {
  core::probe_event::TlsFailed failed;
  using Kind = core::probe_event::TlsFailed::Kind;
  failed.kind = alert_ != 0 ? Kind::alert : Kind::error;
  failed.alert = alert_;
  failed.reason = reason_;
  failed.first_bytes = first_bytes_;
  return failed;
}

int TlsClient::on_certificate_request(SSL* /*ssl*/, void* self) noexcept {
  static_cast<TlsClient*>(self)->certificate_requested_ = true;
  return 1;
}

void TlsClient::on_info(const SSL* ssl, int where, int value) noexcept {
  constexpr unsigned kByte = 0xFF;
  if ((where & SSL_CB_READ_ALERT) != SSL_CB_READ_ALERT) return;
  auto* self = static_cast<TlsClient*>(SSL_get_app_data(ssl));
  const int level = value >> 8;
  const int alert = static_cast<int>(static_cast<unsigned>(value) & kByte);
  // TLS 1.3 takes no notice of the level.
  const bool fatal = level == kFatal || SSL_version(ssl) >= TLS1_3_VERSION;
  if (self == nullptr || !fatal || alert == kCloseNotify || alert == kUserCanceled) return;
  self->alert_ = static_cast<std::uint8_t>(alert);
}

}  // namespace pgfed::net
