#pragma once

#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "pgfed/core/event.hpp"
#include "pgfed/net/transport.hpp"

/// Peers for the tests of the net layer, good and bad, all on loopback and all their own.
namespace pgfed::net_test {

/// CLOCK_BOOTTIME, as the workers read it.
core::Instant boot_now();

/// A TCP port on which nothing listens at the moment.
std::uint16_t free_port();

/// A listening socket on 127.0.0.1 whose every connection is handed to `serve`, in a thread; the
/// connection is closed when that returns.
class FakeServer {
 public:
  explicit FakeServer(std::function<void(int)> serve);
  ~FakeServer();
  FakeServer(const FakeServer&) = delete;
  FakeServer& operator=(const FakeServer&) = delete;
  [[nodiscard]] std::uint16_t port() const { return port_; }

 private:
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

/// Pieces of the protocol, for fake servers.
std::string be16(std::uint16_t value);
std::string be32(std::uint32_t value);
/// A message: type, length, payload.
std::string message(char type, const std::string& payload);
bool send_all(int socket, const std::string& bytes);
/// Reads whatever comes next; empty at the end.
std::string receive_some(int socket);
/// Reads a startup packet and answers as a server that trusts everybody, up to "ready".
bool log_in(int socket);
/// The beginning of the answer to a query that returns one column, before its rows.
std::string row_description();

/// A transport and the loop around it.
class Drill {
 public:
  explicit Drill(net::Keywords conninfo);

  /// Dials; the number of the attempt.
  core::Attempt dial(const std::string& host, std::uint16_t port, const std::string& options = "");
  core::RequestId ask(core::Attempt attempt, const std::vector<std::uint8_t>& bytes);
  core::RequestId ask(core::Attempt attempt, const std::string& text);
  void hangup(core::Attempt attempt) { transport.hangup({.attempt = attempt}); }

  /// Runs the transport until this attempt has an event of type E, which is taken out. Waits for
  /// ten seconds at most.
  template <typename E>
  std::optional<E> next(core::Attempt attempt) {
    std::optional<E> found;
    run_until([&] { return (found = take<E>(attempt)).has_value(); }, core::seconds(10));
    return found;
  }
  /// Runs the transport for as long as `done` says no; whether it came to say yes.
  bool run_until(const std::function<bool()>& done, core::Duration patience);
  /// The stages that the attempt has told of, in order; "a>b>c".
  std::string stages(core::Attempt attempt) const;

  int descriptors = 0;  ///< reserved now
  net::Transport transport;
  std::vector<core::Event> events;
  std::vector<core::SessionProgress> progress;
  core::Duration longest_run{};  ///< the longest that one call of run() has taken

 private:
  template <typename E>
  std::optional<E> take(core::Attempt attempt) {
    for (auto event = events.begin(); event != events.end(); ++event) {
      const E* wanted = std::get_if<E>(&*event);
      if (wanted == nullptr || wanted->attempt != attempt) continue;
      E copy = *wanted;
      events.erase(event);
      return copy;
    }
    return std::nullopt;
  }

  core::Attempt last_attempt_ = 0;
  core::RequestId last_request_ = 0;
};

/// Runs a program and waits for it, as an account that may run PostgreSQL (which refuses root). Its
/// exit status; its output goes to the file.
int run_as_server_user(const std::vector<std::string>& command, const std::string& output);

/// A real PostgreSQL server with TLS, in a temporary folder, on 127.0.0.1 and a socket there.
class PostgresServer {
 public:
  /// Makes and starts it; ok() tells whether that worked, problem() why not.
  PostgresServer();
  ~PostgresServer();
  PostgresServer(const PostgresServer&) = delete;
  PostgresServer& operator=(const PostgresServer&) = delete;

  /// Whether this machine has the programs.
  static bool available();
  [[nodiscard]] bool ok() const { return problem_.empty(); }
  [[nodiscard]] const std::string& problem() const { return problem_; }
  [[nodiscard]] std::uint16_t port() const { return port_; }
  /// A file in its folder: ca.crt, peer.crt, peer.key, stranger.crt ...
  [[nodiscard]] std::string path(const std::string& file) const { return folder_ + "/" + file; }
  /// For a superuser, through the socket.
  [[nodiscard]] std::string superuser_conninfo(const std::string& database = "postgres") const;
  /// Runs SQL as a superuser; each statement by itself. False: a statement failed.
  bool sql(const std::string& statements, const std::string& database = "postgres");
  /// One value.
  std::string value(const std::string& query);
  /// Appends to postgresql.conf.
  bool configure(const std::string& lines);
  bool start();
  bool stop(const std::string& mode);

 private:
  bool make();
  bool make_certificates();
  bool openssl(const std::vector<std::string>& arguments);

  std::string folder_;
  std::uint16_t port_ = 0;
  std::string problem_;
  bool running_ = false;
};

}  // namespace pgfed::net_test
