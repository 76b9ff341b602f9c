#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pgfed/core/federation.hpp"

#include "sim/network.hpp"

namespace pgfed::sim {

class World;

/// A session as the side that dialled it sees it.
struct Connection {
  core::Name node;         ///< whom it was dialled for
  std::size_t target = 0;  ///< which server the address led to
  std::uint64_t target_life = 0;
  bool reaches = false;  ///< the address led to a server at all
  bool open = false;
  core::RequestId asked = 0;  ///< the request that is outstanding
  Time since{};               ///< when it was dialled, or asked last
};

/// What a server is like besides being a node of the federation.
struct ServerTraits {
  core::Name name;
  core::HostText host;
  bool copy = false;            ///< carries another one's name
  bool no_hairpin = false;      ///< cannot reach its own endpoint
  bool refuses_itself = false;  ///< … and learns so at once
  bool shared_certificate = false;
  Duration boot_offset{};    ///< its boot clock, against the simulation's
  Duration tick_lateness{};  ///< at most that late
};

/// What makes a server turn callers away.
enum class Trouble { none, crowded, starting, rejected, not_loaded, flapping, garbled };

/// One simulated Postgres server: a Federation, its sessions, and WAL that grows. It may crash,
/// freeze, be promoted; a life lasts from start to crash.
class Server {
 public:
  Server(World& world, std::size_t index, const ServerTraits& traits);

  // What befalls it.
  void start();
  void crash(bool host_too);
  void freeze();
  void thaw();
  void set_trouble(Trouble trouble) { trouble_ = trouble; }
  void set_role(core::Role role, std::uint32_t timeline);
  void follow(std::size_t upstream) { upstream_ = upstream; }
  void move(const core::HostText& host) { traits_.host = host; }
  void take_facts();
  void take_settings(const core::Settings& settings);
  void take_table(std::uint64_t version, const std::vector<core::NodeSpec>& nodes);

  // What arrives.
  void on_connect(std::size_t from, std::uint64_t from_life, core::Attempt attempt);
  void on_accepted(std::uint64_t life, core::Attempt attempt, std::uint64_t target_life);
  void on_failed(std::uint64_t life, core::Attempt attempt, const core::Failure& failure);
  void on_request(std::size_t from, std::uint64_t from_life, core::Attempt attempt,
                  core::RequestId request, std::uint64_t expected_life,
                  const std::vector<std::uint8_t>& bytes);
  void on_reply(std::uint64_t life, core::Attempt attempt, core::RequestId request,
                const std::vector<std::uint8_t>& bytes);

  [[nodiscard]] const ServerTraits& traits() const { return traits_; }
  [[nodiscard]] std::size_t index() const { return index_; }
  [[nodiscard]] bool alive() const { return federation_.has_value(); }
  [[nodiscard]] bool frozen() const { return frozen_; }
  [[nodiscard]] bool running() const { return alive() && !frozen_; }
  [[nodiscard]] bool host_down() const { return host_down_; }
  [[nodiscard]] const core::Federation& federation() const { return *federation_; }
  [[nodiscard]] const core::Facts& facts() const { return facts_; }
  [[nodiscard]] core::Role role() const { return role_; }
  [[nodiscard]] std::uint32_t timeline() const { return timeline_; }
  [[nodiscard]] std::size_t upstream() const { return upstream_; }
  [[nodiscard]] const core::Settings& settings() const { return settings_; }
  [[nodiscard]] const std::vector<core::NodeSpec>& table() const { return table_; }
  [[nodiscard]] std::uint64_t table_version() const { return table_version_; }
  [[nodiscard]] const std::map<core::Attempt, Connection>& connections() const {
    return connections_;
  }
  [[nodiscard]] std::uint64_t life() const { return life_; }
  [[nodiscard]] core::Instant local_now() const;
  /// The instant of its boot clock at a time of the simulation's.
  [[nodiscard]] core::Instant local(Time at) const;
  /// The LSN that it had by then, as it said itself.
  [[nodiscard]] core::Lsn lsn_at(Time at) const;
  /// WAL written until now, were it a primary.
  [[nodiscard]] core::Lsn flushed() const;

  Disturbance disturbance;  ///< of the server itself, as of faults
  Time facts_changed{};     ///< of those facts that everybody sees

 private:
  void step(const core::Event& event);
  void act(const core::Action& action);
  void dial(const core::Dial& dial);
  void ask(const core::Ask& ask);
  void hangup(const core::Hangup& hangup);
  void schedule_tick();
  void tick();
  void receive(std::function<void()> message);
  void fail(std::size_t to, std::uint64_t to_life, core::Attempt attempt, core::FailureKind kind,
            const char* message);
  [[nodiscard]] core::Facts make_facts() const;
  void count_tick();
  /// Takes a reply that answers nothing which is outstanding: nobody may be seen by it.
  void step_stale(const core::ReplyReceived& reply);

  World& world_;
  std::size_t index_;
  ServerTraits traits_;

  std::uint64_t life_ = 0;
  std::optional<core::Federation> federation_;
  core::Incarnation incarnation_;
  bool frozen_ = false;
  bool host_down_ = true;
  Trouble trouble_ = Trouble::none;
  std::deque<std::function<void()>> inbox_;  ///< what came while frozen
  std::map<core::Attempt, Connection> connections_;
  Time tick_at_ = Time::max();
  std::uint64_t ticks_here_ = 0;  ///< at this instant
  Time last_tick_ = Time(-1);
  std::uint64_t ticks_lately_ = 0;  ///< in this interval
  Time lately_ = Time(0);

  core::Role role_ = core::Role::standby;
  std::uint32_t timeline_ = 1;
  std::size_t upstream_ = 0;
  core::Lsn wal_base_{0x1000000};  ///< at wal_since_, as a primary
  Time wal_since_{};
  core::Lsn replayed_{0x1000000};
  core::Facts facts_;
  core::Settings settings_;
  std::vector<core::NodeSpec> table_;
  std::uint64_t table_version_ = 0;
  std::vector<std::pair<Time, core::Lsn>> history_;
};

}  // namespace pgfed::sim
