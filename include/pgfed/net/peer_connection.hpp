#pragma once

#include <libpq-fe.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "pgfed/core/event.hpp"
#include "pgfed/net/byte_meter.hpp"
#include "pgfed/net/conninfo.hpp"
#include "pgfed/net/epoll_set.hpp"

namespace pgfed::net {

/// One attempt to reach one node, and the session that comes of it:
///
///     resolving ──connect()──► connecting ──► preparing ──► idle ◄──reply── asking
///                                                             └───ask()───────►┘
///
/// and from each of them to `failed`, which is the end. Owns a PGconn; never waits. What happens is
/// kept until report() fetches it.
class PeerConnection {
 public:
  enum class Phase : std::uint8_t { resolving, connecting, preparing, idle, asking, failed };

  /// Counts descriptors; may be empty. Outlives the connection, as `sockets` does.
  struct Descriptors {
    std::function<void()> reserve;
    std::function<void()> release;
  };

  PeerConnection(core::Attempt attempt, EpollSet& sockets, const Descriptors& descriptors);
  ~PeerConnection();
  PeerConnection(const PeerConnection&) = delete;
  PeerConnection& operator=(const PeerConnection&) = delete;

  /// Calls libpq with these keywords, of which hostaddr must be one: libpq resolves names while it
  /// blocks.
  void connect(const Keywords& keywords);
  /// Sends one request; its reply is the next to be reported.
  void ask(core::RequestId request, std::span<const std::uint8_t> bytes);
  /// Does what the readiness of the socket allows.
  void on_ready(bool readable, bool writable);
  /// Ends the attempt for a reason that lies outside.
  void fail(const core::Failure& failure) noexcept;

  /// Appends what has happened since the last call.
  void report(std::vector<core::Event>& events);
  /// Whether report() would tell more than progress.
  [[nodiscard]] bool has_news() const noexcept {
    return opened_.has_value() || reply_.has_value() || (phase_ == Phase::failed && !told_failure_);
  }

  [[nodiscard]] Phase phase() const noexcept { return phase_; }
  /// The numeric address of the session; empty before there is one.
  [[nodiscard]] std::string address() const;

 private:
  struct Finish {
    void operator()(PGconn* connection) const noexcept { PQfinish(connection); }
  };

  void poll_connecting();
  void on_connecting_socket();
  void on_connected();
  void open();
  void read();
  void take_results();
  void take_result(const PGresult& result);
  void finish_request();
  void flush();
  void watch(bool writable);
  void lose();
  void close() noexcept;
  [[nodiscard]] bool within_budget();
  [[nodiscard]] bool within_room(std::size_t before);
  [[nodiscard]] std::uint64_t budget() const;
  void fail_too_large();
  static void on_notice(void* connection, const PGresult* notice) noexcept;

  core::Attempt attempt_;
  EpollSet& sockets_;
  const Descriptors& descriptors_;
  std::unique_ptr<PGconn, Finish> connection_;
  Phase phase_ = Phase::resolving;
  bool wants_write_ = false;
  ByteMeter meter_;
  core::RequestId request_ = 0;
  std::optional<core::Report> answer_;  ///< of the present request, until the server is ready again
  std::optional<core::Failure>
      parting_;  ///< the FATAL error with which the server ended an idle session

  // What report() has to tell.
  core::Stage stage_ = core::Stage::resolve;
  core::Stage told_stage_ = core::Stage::none;
  std::optional<core::SessionInfo> opened_;
  std::optional<core::ReplyReceived> reply_;
  core::Failure failure_;
  bool told_failure_ = false;
};

}  // namespace pgfed::net
