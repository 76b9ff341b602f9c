#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pgfed/core/settings.hpp"

#include "sim/network.hpp"
#include "sim/server.hpp"
#include "sim/trace.hpp"

namespace pgfed::sim {

inline constexpr const char* kFederation = "sim";
inline constexpr std::uint64_t kSystemIdentifier = 7300000000000000001;
inline constexpr std::size_t kMaxNodes = 16;

/// What a run is to be, drawn from its seed.
struct Scenario {
  std::size_t nodes = 3;
  Duration interval{};
  Duration timeout{};
  Time quiet_at{};  ///< no fault after it
  Time end{};
};

/// What a run did, for the summary.
struct Tally {
  std::uint64_t steps = 0;
  std::uint64_t rows = 0;             ///< of pictures, compared with the truth
  std::uint64_t links = 0;            ///< likewise
  std::uint64_t duplicates_seen = 0;  ///< events of two servers under one name
};

/// One run: the servers, the network between them, the table of nodes and the truth about it all.
class World {
 public:
  World(std::uint64_t seed, bool verbose);

  /// Plays the run; throws Violation.
  void run();

  [[nodiscard]] Time now() const { return queue_.now(); }
  [[nodiscard]] Duration interval() const { return scenario_.interval; }
  [[nodiscard]] const Scenario& scenario() const { return scenario_; }
  EventQueue& queue() { return queue_; }
  Dice& dice() { return dice_; }
  Trace& trace() { return trace_; }
  Network& network() { return network_; }
  Tally& tally() { return tally_; }

  [[nodiscard]] std::size_t size() const { return servers_.size(); }
  Server& server(std::size_t index) { return *servers_[index]; }
  [[nodiscard]] const Server& server(std::size_t index) const { return *servers_[index]; }
  [[nodiscard]] std::optional<std::size_t> server_at(const core::HostText& host) const;
  [[nodiscard]] std::optional<std::size_t> server_named(const core::Name& name) const;

  // What faults use.
  /// A server that carries the name of another one and lives elsewhere. Makes no session by itself.
  std::size_t add_copy(std::size_t of, bool blind);
  void leave_dead(std::size_t index);
  /// Makes `index` the primary; the others follow at once or when they are told.
  void promote(std::size_t index);
  [[nodiscard]] std::size_t primary() const { return primary_; }
  void put_in_table(std::size_t index, bool present);
  void move(std::size_t index);
  /// Tells every server of the present table, each at a time of its own.
  void publish_table(Duration within);
  /// Ends every fault but those that stay on purpose.
  void heal();

  // What servers report.
  void reset_callers(std::size_t index, std::uint64_t ended_life);
  [[nodiscard]] bool streams(std::size_t standby, std::size_t upstream) const;
  void after_step(const Server& server);
  void on_record(const Server& server, const core::Record& record);

  // What checks use.
  [[nodiscard]] const std::vector<core::NodeSpec>& table() const { return table_; }
  [[nodiscard]] std::uint64_t table_version() const { return table_version_; }
  [[nodiscard]] bool in_table(const core::Name& name) const;
  [[nodiscard]] bool dead(std::size_t index) const { return dead_[index]; }
  [[nodiscard]] bool any_dead() const;
  [[nodiscard]] bool any_copy() const { return servers_.size() > scenario_.nodes; }
  [[nodiscard]] std::size_t primaries() const;

  bool keep_two_primaries = false;

 private:
  void make_scenario();
  void make_servers();
  void connect_paths(std::size_t index);
  void refresh_facts(std::size_t index);
  void sample();

  Dice dice_;
  Trace trace_;
  EventQueue queue_;
  Network network_;
  Scenario scenario_;
  Tally tally_;
  std::vector<std::unique_ptr<Server>> servers_;
  std::vector<bool> dead_;
  std::vector<core::NodeSpec> table_;
  std::uint64_t table_version_ = 0;
  std::size_t primary_ = 0;
};

}  // namespace pgfed::sim
