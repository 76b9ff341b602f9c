#include "pgfed/net/tls_probe.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "pgfed/net/byte_meter.hpp"

namespace pgfed::net {

namespace event = core::probe_event;
using Kind = core::ProbeAction::Kind;

namespace {

constexpr std::size_t kPiece = 16UL * 1024;
constexpr int kReceiveBuffer = 64 * 1024;
/// Length 8, code 80877103.
constexpr std::string_view kSslRequest("\x00\x00\x00\x08\x04\xd2\x16\x2f", 8);

event::ConnectFailed connect_failed(int error) {
  using Why = event::ConnectFailed::Kind;
  event::ConnectFailed failed;
  failed.text = std::strerror(error);
  switch (error) {
    case ECONNREFUSED:
    case ECONNRESET:
    case EPERM:  // a firewall on this side
    case EACCES:
      failed.kind = Why::refused;
      break;
    case ETIMEDOUT:
      failed.kind = Why::timed_out;
      break;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
      failed.kind = Why::unreachable;
      break;
    default:
      failed.kind = Why::other;
      break;
  }
  return failed;
}

}  // namespace

TlsProbe::TlsProbe(core::ProbeId id, core::ProbeTarget target,
                   std::shared_ptr<const TlsSetup> setup, const Surroundings& surroundings)
    : id_(id),
      target_(target),
      machine_(std::move(target)),
      setup_(std::move(setup)),
      around_(surroundings) {}

TlsProbe::~TlsProbe() { close_connection(); }

void TlsProbe::start() { perform(machine_.start(around_.now())); }

void TlsProbe::resolved(std::vector<std::string> addresses) {
  tell(event::Resolved{std::move(addresses)});
}

void TlsProbe::not_resolved(const std::string& why) { tell(event::ResolveFailed{why}); }

void TlsProbe::on_deadline() { tell(event::Tick{}); }

void TlsProbe::tell(Event event) {
  pending_.push_back(std::move(event));
  if (telling_) return;
  telling_ = true;
  while (!pending_.empty()) {
    const Event next = std::move(pending_.front());
    pending_.pop_front();
    perform(machine_.step(next, around_.now()));
  }
  telling_ = false;
}

void TlsProbe::perform(const core::ProbeAction& action) {
  switch (action.kind) {
    case Kind::wait:
    case Kind::resolve:
      return;
    case Kind::connect:
      open(action.address);
      return;
    case Kind::send_request:
      output_ += kSslRequest;
      flush();
      return;
    case Kind::start_tls:
      tls_ = std::make_unique<TlsClient>(setup_, action.server_name);
      go_on();
      return;
    case Kind::linger:
      lingering_ = true;
      tls_->say_goodbye();
      go_on();
      return;
    case Kind::finish:
      close_connection();
      return;
  }
}

// ---- the socket ------------------------------------------------------------------------------

void TlsProbe::open(const std::string& address) {
  close_connection();
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;  // so it asks nobody
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int status =
      getaddrinfo(address.c_str(), std::to_string(target_.port).c_str(), &hints, &found);
  if (status != 0) {
    tell(event::ConnectFailed{event::ConnectFailed::Kind::other, gai_strerror(status)});
    return;
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);

  if (around_.reserve_descriptor) around_.reserve_descriptor();
  socket_ = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (socket_ < 0) {
    const int error = errno;
    if (around_.release_descriptor) around_.release_descriptor();
    tell(connect_failed(error));
    return;
  }
  limit_receive_buffer(socket_, kReceiveBuffer);
  const int on = 1;
  (void)setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(socket_, found->ai_addr, found->ai_addrlen) != 0 && errno != EINPROGRESS) {
    tell(connect_failed(errno));
    return;
  }
  connecting_ = true;
  watch();
}

/// Postgres complains in its log of a client that leaves without a word.
void TlsProbe::say_goodbye() noexcept {
  try {
    tls_->say_goodbye();
    output_ += tls_->take_output();
    (void)send(socket_, output_.data(), output_.size(), MSG_NOSIGNAL);
  } catch (...) {  // NOLINT(bugprone-empty-catch): no memory for politeness
  }
}

void TlsProbe::close_connection() noexcept {
  if (tls_ && socket_ >= 0 && !lingering_) say_goodbye();
  tls_.reset();
  output_.clear();
  connecting_ = false;
  lingering_ = false;
  if (socket_ < 0) return;
  around_.sockets.forget(socket_);
  close(socket_);
  socket_ = -1;
  if (around_.release_descriptor) around_.release_descriptor();
}

void TlsProbe::watch() {
  const bool writes = connecting_ || !output_.empty();
  if (around_.sockets.watch(socket_, id_, !connecting_, writes)) return;
  tell(connect_failed(errno));
}

void TlsProbe::flush() {
  while (!output_.empty()) {
    const ssize_t count = send(socket_, output_.data(), output_.size(), MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      // One that is gone may have said why: reading tells.
      if (errno != EAGAIN && errno != EWOULDBLOCK) output_.clear();
      break;
    }
    output_.erase(0, static_cast<std::size_t>(count));
  }
  watch();
}

void TlsProbe::on_ready(bool readable, bool writable) {
  if (socket_ < 0) return;
  if (connecting_) {
    if (readable || writable) on_connected();
    return;
  }
  if (writable && !output_.empty()) flush();
  if (readable) receive();
}

void TlsProbe::on_connected() {
  int error = 0;
  socklen_t length = sizeof error;
  if (getsockopt(socket_, SOL_SOCKET, SO_ERROR, &error, &length) != 0) error = errno;
  if (error != 0) {
    tell(connect_failed(error));
    return;
  }
  connecting_ = false;
  tell(event::Connected{});
}

void TlsProbe::receive() {
  std::array<char, kPiece> piece;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled below
  const ssize_t count = recv(socket_, piece.data(), piece.size(), 0);
  if (count > 0) {
    on_bytes({piece.data(), static_cast<std::size_t>(count)});
  } else if (count == 0) {
    on_end(false);
  } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
    on_end(true);
  }
}

// ---- what comes ------------------------------------------------------------------------------

void TlsProbe::on_bytes(std::string_view bytes) {
  if (!tls_) {
    tell(event::Received{std::string(bytes)});
    return;
  }
  const TlsClient* session = tls_.get();
  tls_->feed(bytes);
  tell(event::TlsBytes{tls_->received()});
  // It may have been too much, and the session is gone.
  if (tls_.get() == session && socket_ >= 0) go_on();
}

void TlsProbe::on_end(bool reset) {
  if (!tls_) {
    tell(event::Closed{reset});
  } else if (lingering_) {
    tell(event::LateEnd{});
  } else {
    event::TlsFailed failed;
    failed.kind = reset ? event::TlsFailed::Kind::reset : event::TlsFailed::Kind::closed;
    failed.first_bytes = tls_->first_bytes();
    failed.facts = tls_->facts();
    tell(std::move(failed));
  }
}

/// Has TLS look at what has come, or begin.
void TlsProbe::go_on() {
  const TlsClient::State state = lingering_ ? tls_->read_on() : tls_->handshake();
  output_ += tls_->take_output();
  flush();
  if (state == TlsClient::State::busy) return;
  if (lingering_) {
    if (tls_->alert() != 0) {
      tell(event::LateAlert{tls_->alert()});
    } else {
      tell(event::LateEnd{});
    }
  } else if (state == TlsClient::State::done) {
    tell(event::TlsDone{tls_->facts()});
  } else {
    event::TlsFailed failed = tls_->failure();
    if (state == TlsClient::State::ended) failed.kind = event::TlsFailed::Kind::closed;
    failed.facts = tls_->facts();
    tell(std::move(failed));
  }
}

}  // namespace pgfed::net
