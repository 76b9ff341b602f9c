#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "pgfed/core/time.hpp"
#include "pgfed/net/epoll_set.hpp"
#include "pgfed/net/hooks.hpp"

struct ares_channeldata;
struct ares_addrinfo;

namespace pgfed::net {

/// Turns host names into numeric addresses without ever waiting: c-ares, which reads /etc/hosts and
/// asks the name servers of /etc/resolv.conf. Numeric addresses are answered at once. When
/// resolv.conf changes, or lookups keep failing, it is read again.
class Resolver {
 public:
  using LookupId = std::uint64_t;

  struct Answer {
    LookupId id = 0;
    std::vector<std::string> addresses;  ///< numeric, best first, at most 8; empty: failed
    std::string error;
  };

  using Hooks = net::Hooks;

  /// For tests: name servers ("127.0.0.1:5353,...") in place of those of resolv.conf, and another
  /// resolv.conf to be looked at for changes.
  struct Options {
    std::string servers;
    std::string resolv_conf = "/etc/resolv.conf";
  };

  explicit Resolver(Hooks hooks) : Resolver(std::move(hooks), Options{}) {}
  Resolver(Hooks hooks, Options options);
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  /// The numeric form of a numeric address; empty if it is none.
  static std::string numeric(const std::string& host);
  /// The same of a list with commas, as libpq's hostaddr may be one; empty if any of it is none.
  static std::vector<std::string> numeric_list(const std::string& list);

  /// Begins a lookup; `id` is the caller's own, not in use by another lookup. The answer comes out
  /// of run().
  void start(LookupId id, const std::string& host);
  /// Forgets a lookup; nothing comes of it any more.
  void cancel(LookupId id);

  /// Becomes readable when run() has something to do.
  [[nodiscard]] int descriptor() const { return sockets_.descriptor(); }
  /// When run() is wanted even so.
  [[nodiscard]] core::Instant next_deadline() const;
  /// Appends the answers that are there.
  void run(std::vector<Answer>& answers);

 private:
  void ask(const std::string& host);
  bool open_channel();
  void close_channel();
  void reopen_if_stale();
  void settle(const std::string& host, const std::vector<std::string>& addresses,
              const std::string& error);
  void on_socket(int socket, bool readable, bool writable);
  void on_answer(const std::string& host, int status, const ares_addrinfo* result);

  // What c-ares calls; nothing may be thrown through it.
  static void answered(void* question, int status, int timeouts, ares_addrinfo* result) noexcept;
  static void socket_changed(void* resolver, int socket, int readable, int writable) noexcept;

  Hooks hooks_;
  Options options_;
  EpollSet sockets_;
  std::set<int> open_sockets_;
  ares_channeldata* channel_ = nullptr;
  struct stat conf_ {};    ///< of resolv.conf when the channel was made
  unsigned failures_ = 0;  ///< of name servers, in a row, since the channel was made
  bool closing_ = false;   ///< c-ares is being told to drop its questions; they will be put again
  /// Who waits for a name. One question to c-ares serves all who ask for the same, so that a name
  /// server that does not answer is not asked anew by every attempt.
  std::map<std::string, std::vector<LookupId>> waiting_;
  std::vector<Answer> answers_;
};

}  // namespace pgfed::net
