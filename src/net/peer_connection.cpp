#include "pgfed/net/peer_connection.hpp"

#include <array>
#include <utility>

#include "pgfed/core/wire.hpp"
#include "pgfed/net/failure.hpp"
#include "pgfed/net/tls_session.hpp"

namespace pgfed::net {

using core::FailureKind;
using core::Stage;

namespace {

constexpr std::uint64_t kKilobyte = 1024;
/// A login with its parameters, and a chain of certificates as long as OpenSSL takes one (100 kB).
constexpr std::uint64_t kConnectBudget = 192 * kKilobyte;
/// Notices and changed parameters between two requests.
constexpr std::uint64_t kIdleBudget = 64 * kKilobyte;
/// A report, and the same again for the protocol and TLS around it.
constexpr std::uint64_t kReplyBudget = core::kMaxReport + 64 * kKilobyte;
/// By how much memory may grow while libpq takes bytes apart: its buffer has doubled until a report
/// fits, and there is a copy in the result.
constexpr std::size_t kRoom = 1024 * kKilobyte;
/// What the kernel may hold of a peer's bytes before they are counted and read.
constexpr int kReceiveBuffer = 128 * 1024;

constexpr const char* kExchange = "SELECT pgfed.exchange($1)";
constexpr Oid kBytea = 17;
constexpr int kBinary = 1;
/// The first server that can end a session by this, and refuses no setting of it.
constexpr int kHasTransactionTimeout = 170000;
constexpr const char* kNoTransactionTimeout = "SET transaction_timeout = 0";

using Result = std::unique_ptr<PGresult, decltype(&PQclear)>;

/// What a connection that is being made is doing.
Stage stage_of(PGconn* connection) {
  switch (PQstatus(connection)) {
    case CONNECTION_SSL_STARTUP:
      return Stage::tls;
    case CONNECTION_MADE:
      // The socket is connected, or else TLS is made and the login has not been sent yet.
      return PQsslInUse(connection) != 0 ? Stage::authenticate : Stage::connect;
    case CONNECTION_AWAITING_RESPONSE:
    case CONNECTION_AUTH_OK:
    case CONNECTION_OK:
      return Stage::authenticate;
    default:
      return Stage::connect;
  }
}

core::Failure nonsense() {
  return make_failure(Stage::query, FailureKind::protocol, "unexpected answer to pgfed.exchange()");
}

}  // namespace

PeerConnection::PeerConnection(core::Attempt attempt, EpollSet& sockets,
                               const Descriptors& descriptors)
    : attempt_(attempt), sockets_(sockets), descriptors_(descriptors) {}

PeerConnection::~PeerConnection() { close(); }

void PeerConnection::connect(const Keywords& keywords) {
  std::vector<const char*> names;
  std::vector<const char*> values;
  for (const auto& [keyword, value] : keywords) {
    names.push_back(keyword.c_str());
    values.push_back(value.c_str());
  }
  names.push_back(nullptr);
  values.push_back(nullptr);

  stage_ = Stage::connect;
  if (descriptors_.reserve) descriptors_.reserve();
  connection_.reset(PQconnectStartParams(names.data(), values.data(), 0));
  if (!connection_) {
    if (descriptors_.release) descriptors_.release();
    fail(make_failure(Stage::connect, FailureKind::network, "out of memory"));
    return;
  }
  if (PQstatus(connection_.get()) == CONNECTION_BAD) {
    fail(connect_failure(Stage::connect, PQerrorMessage(connection_.get())));
    return;
  }
  // From here on no call of libpq waits for the socket, PQfinish included. It can be said so early
  // because nothing is waiting to be sent yet.
  PQsetnonblocking(connection_.get(), 1);
  // For the SQLSTATE of a refused login, which libpq passes on only within the text.
  PQsetErrorVerbosity(connection_.get(), PQERRORS_VERBOSE);
  PQsetNoticeReceiver(
      connection_.get(), [](void* self, const PGresult* notice) { on_notice(self, notice); }, this);
  phase_ = Phase::connecting;
  on_connecting_socket();
  if (!sockets_.watch(PQsocket(connection_.get()), attempt_, false, true)) {
    fail(make_failure(Stage::connect, FailureKind::network, "socket cannot be watched"));
  }
}

/// libpq closes and opens sockets as it goes from address to address; the new one may have the
/// number of the old.
void PeerConnection::on_connecting_socket() {
  const int socket = PQsocket(connection_.get());
  meter_.follow(socket);
  limit_receive_buffer(socket, kReceiveBuffer);
}

void PeerConnection::poll_connecting() {
  PGconn* connection = connection_.get();
  for (;;) {
    if (!within_budget()) return;
    const bool logging_in = stage_ == Stage::authenticate;
    const std::size_t memory = memory_in_use();
    const PostgresPollingStatusType wanted = PQconnectPoll(connection);
    if (wanted == PGRES_POLLING_FAILED) {
      fail(connect_failure(stage_, PQerrorMessage(connection)));
      return;
    }
    if (wanted == PGRES_POLLING_OK) {
      on_connected();
      return;
    }
    stage_ = stage_of(connection);
    if (stage_ == Stage::tls) free_idle_buffers(connection);
    // (Before that, it is TLS that takes memory, for as many authorities as there are in a file.)
    if (logging_in && !within_room(memory)) return;
    if (stage_ == Stage::connect) on_connecting_socket();
    const bool reads = wanted == PGRES_POLLING_READING;
    if (!sockets_.watch(PQsocket(connection), attempt_, reads, !reads)) {
      fail(make_failure(stage_, FailureKind::network, "socket cannot be watched"));
      return;
    }
    if (!reads || !tls_pending(connection)) return;
  }
}

void PeerConnection::on_connected() {
  PGconn* connection = connection_.get();
  stage_ = Stage::query;
  // An older server knows no transaction_timeout, and would have refused it among the options.
  if (PQserverVersion(connection) < kHasTransactionTimeout) {
    open();
  } else if (PQsendQuery(connection, kNoTransactionTimeout) != 1) {
    lose();
    return;
  } else {
    phase_ = Phase::preparing;
  }
  watch(false);
  if (phase_ == Phase::preparing) flush();
  if (phase_ != Phase::failed && tls_pending(connection)) read();
}

void PeerConnection::open() {
  PGconn* connection = connection_.get();
  core::SessionInfo info;
  info.server_version = static_cast<std::uint32_t>(PQserverVersion(connection));
  info.tls_protocol = tls_protocol(connection);
  info.client_dn = presented_subject(connection);
  opened_ = info;
  phase_ = Phase::idle;
  meter_.restart();
}

void PeerConnection::ask(core::RequestId request, std::span<const std::uint8_t> bytes) {
  if (phase_ == Phase::failed) return;
  if (phase_ != Phase::idle) {
    fail(make_failure(Stage::query, FailureKind::protocol, "session is not ready for a request"));
    return;
  }
  const std::array<Oid, 1> types = {kBytea};
  const std::array<const char*, 1> values = {reinterpret_cast<const char*>(bytes.data())};
  const std::array<int, 1> lengths = {static_cast<int>(bytes.size())};
  const std::array<int, 1> formats = {kBinary};
  meter_.restart();
  request_ = request;
  answer_.reset();
  phase_ = Phase::asking;
  if (PQsendQueryParams(connection_.get(), kExchange, 1, types.data(), values.data(),
                        lengths.data(), formats.data(), kBinary) != 1) {
    lose();
    return;
  }
  flush();
}

void PeerConnection::on_ready(bool readable, bool writable) {
  switch (phase_) {
    case Phase::resolving:
    case Phase::failed:
      return;
    case Phase::connecting:
      poll_connecting();
      return;
    case Phase::preparing:
    case Phase::idle:
    case Phase::asking:
      if (readable) read();
      if (writable && phase_ != Phase::failed) flush();
      return;
  }
}

void PeerConnection::read() {
  PGconn* connection = connection_.get();
  do {
    if (!within_budget()) return;
    const std::size_t memory = memory_in_use();
    if (PQconsumeInput(connection) != 1) {
      lose();
      return;
    }
    // Again, since more may have come while it was read.
    if (!within_budget()) return;
    take_results();
    if (phase_ == Phase::failed || !within_room(memory)) return;
  } while (tls_pending(connection));
}

void PeerConnection::take_results() {
  PGconn* connection = connection_.get();
  while ((phase_ == Phase::asking || phase_ == Phase::preparing) && PQisBusy(connection) == 0) {
    const Result result(PQgetResult(connection), &PQclear);
    if (!result) {
      finish_request();
    } else {
      take_result(*result);
    }
  }
  if (phase_ == Phase::failed) return;
  while (PGnotify* notification = PQnotifies(connection)) PQfreemem(notification);
  if (parting_) {
    fail(*parting_);
  } else if (PQstatus(connection) == CONNECTION_BAD) {
    lose();
  }
}

void PeerConnection::take_result(const PGresult& result) {
  const ExecStatusType status = PQresultStatus(&result);
  if (status == PGRES_FATAL_ERROR) {
    fail(query_failure(&result));
    return;
  }
  if (phase_ == Phase::preparing) {
    if (status != PGRES_COMMAND_OK) fail(nonsense());
    return;
  }
  if (status != PGRES_TUPLES_OK || answer_ || PQntuples(&result) != 1 || PQnfields(&result) != 1 ||
      PQfformat(&result, 0) != kBinary || PQgetisnull(&result, 0, 0) != 0) {
    fail(nonsense());
    return;
  }
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(PQgetvalue(&result, 0, 0));
  core::Result<core::Report> report =
      core::decode({bytes, static_cast<std::size_t>(PQgetlength(&result, 0, 0))});
  if (!report) {
    fail(make_failure(Stage::query, FailureKind::protocol, report.error().message));
    return;
  }
  answer_ = std::move(report.value());
}

void PeerConnection::finish_request() {
  if (phase_ == Phase::preparing) {
    open();
    return;
  }
  if (!answer_) {
    fail(nonsense());
    return;
  }
  reply_ =
      core::ReplyReceived{.attempt = attempt_, .request = request_, .report = std::move(*answer_)};
  answer_.reset();
  phase_ = Phase::idle;
  meter_.restart();
}

void PeerConnection::flush() {
  const int left = PQflush(connection_.get());
  if (left < 0) {
    lose();
  } else if ((left > 0) != wants_write_) {
    watch(left > 0);
  }
}

void PeerConnection::watch(bool writable) {
  wants_write_ = writable;
  if (!sockets_.watch(PQsocket(connection_.get()), attempt_, true, writable)) {
    fail(make_failure(Stage::query, FailureKind::network, "socket cannot be watched"));
  }
}

void PeerConnection::lose() {
  fail(parting_ ? *parting_ : lost_failure(PQerrorMessage(connection_.get())));
}

bool PeerConnection::within_budget() {
  if (meter_.received() <= budget()) return true;
  fail_too_large();
  return false;
}

bool PeerConnection::within_room(std::size_t before) {
  // libpq makes room for the whole of a message when it has seen its header, and then reads for as
  // long as the room lasts and the peer sends: on a quick network, all of it in a single call. So
  // the header must be caught.
  if (memory_in_use() <= before + kRoom) return true;
  fail_too_large();
  return false;
}

std::uint64_t PeerConnection::budget() const {
  switch (phase_) {
    case Phase::connecting:
    case Phase::preparing:
      return kConnectBudget;
    case Phase::asking:
      return kReplyBudget;
    default:
      return kIdleBudget;
  }
}

void PeerConnection::fail_too_large() {
  const char* what = "server sent unasked more than ";
  if (phase_ == Phase::asking) what = "reply is larger than ";
  if (phase_ == Phase::connecting || phase_ == Phase::preparing) what = "login is larger than ";
  fail(make_failure(phase_ == Phase::connecting ? stage_ : Stage::query, FailureKind::protocol,
                    what + std::to_string(budget() / kKilobyte) + " kB"));
}

void PeerConnection::fail(const core::Failure& failure) noexcept {
  if (phase_ == Phase::failed) return;
  failure_ = failure;
  phase_ = Phase::failed;
  close();
}

void PeerConnection::close() noexcept {
  if (!connection_) return;
  sockets_.forget(PQsocket(connection_.get()));
  meter_.follow(-1);
  connection_.reset();
  if (descriptors_.release) descriptors_.release();
}

void PeerConnection::report(std::vector<core::Event>& events) {
  if (stage_ != told_stage_) {
    events.emplace_back(core::SessionProgress{.attempt = attempt_, .stage = stage_});
    told_stage_ = stage_;
  }
  if (opened_) {
    events.emplace_back(core::SessionOpened{.attempt = attempt_, .info = *opened_});
    opened_.reset();
  }
  if (reply_) {
    events.emplace_back(std::move(*reply_));
    reply_.reset();
  }
  if (phase_ == Phase::failed && !told_failure_) {
    events.emplace_back(core::SessionFailed{.attempt = attempt_, .failure = failure_});
    told_failure_ = true;
  }
}

std::string PeerConnection::address() const {
  if (!connection_) return {};
  const char* address = PQhostaddr(connection_.get());
  return address == nullptr ? std::string() : std::string(address);
}

void PeerConnection::on_notice(void* connection, const PGresult* notice) noexcept {
  // A server that ends an idle session says why in an error that no query has asked for.
  const char* severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
  const std::string_view word = severity == nullptr ? "" : severity;
  if (word != "FATAL" && word != "PANIC") return;
  const char* sqlstate = PQresultErrorField(notice, PG_DIAG_SQLSTATE);
  const char* message = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);
  static_cast<PeerConnection*>(connection)->parting_ =
      ended_failure(sqlstate == nullptr ? "" : sqlstate, message == nullptr ? "" : message);
}

}  // namespace pgfed::net
