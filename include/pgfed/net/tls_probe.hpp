#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "pgfed/core/probe.hpp"
#include "pgfed/core/probe_machine.hpp"
#include "pgfed/net/epoll_set.hpp"
#include "pgfed/net/tls_client.hpp"
#include "pgfed/net/tls_trust.hpp"

namespace pgfed::net {

/// One probe under way: a socket, TLS on it, and the machine that says what to do with them.
class TlsProbe {
 public:
  /// What it has in common with the others.
  struct Surroundings {
    EpollSet& sockets;
    std::function<core::Instant()> now;
    std::function<void()> reserve_descriptor;
    std::function<void()> release_descriptor;
  };

  TlsProbe(core::ProbeId id, core::ProbeTarget target, std::shared_ptr<const TlsSetup> setup,
           const Surroundings& surroundings);
  ~TlsProbe();
  TlsProbe(const TlsProbe&) = delete;
  TlsProbe& operator=(const TlsProbe&) = delete;

  /// Begins; it then wants resolved() or not_resolved() to be called.
  void start();
  void resolved(std::vector<std::string> addresses);
  void not_resolved(const std::string& why);
  /// Reads 16 kB at most, and does what they ask for: a step of a handshake.
  void on_ready(bool readable, bool writable);
  void on_deadline();

  [[nodiscard]] core::Instant deadline() const { return machine_.deadline(); }
  [[nodiscard]] bool finished() const { return machine_.finished(); }
  [[nodiscard]] const core::ProbeResult& result() const { return machine_.result(); }

 private:
  using Event = core::probe_event::Event;

  /// Tells the machine, and does what it says until it wants to wait.
  void tell(Event event);  ///< of one that is told from within, afterwards
  void perform(const core::ProbeAction& action);
  void open(const std::string& address);
  void say_goodbye() noexcept;
  void close_connection() noexcept;
  void on_connected();
  void receive();
  void on_bytes(std::string_view bytes);
  void on_end(bool reset);
  void go_on();
  void flush();
  void send_request();
  void start_tls(const std::string& server_name);
  void watch();

  core::ProbeId id_;
  core::ProbeTarget target_;
  core::ProbeMachine machine_;
  std::shared_ptr<const TlsSetup> setup_;
  const Surroundings& around_;
  int socket_ = -1;
  bool connecting_ = false;
  bool lingering_ = false;
  std::unique_ptr<TlsClient> tls_;
  std::string output_;
  std::deque<Event> pending_;
  bool telling_ = false;
};

}  // namespace pgfed::net
