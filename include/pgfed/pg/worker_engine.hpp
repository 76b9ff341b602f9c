#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "pgfed/core/event.hpp"
#include "pgfed/core/picture.hpp"
#include "pgfed/core/report.hpp"
#include "pgfed/core/settings.hpp"
#include "pgfed/core/text.hpp"
#include "pgfed/core/time.hpp"
#include "pgfed/net/server_tls.hpp"

/// The federation worker's C++ half: the core and the transport, and what goes between them. C++
/// regime: knows nothing of Postgres, every function is noexcept. The other half (worker.cpp, in the
/// Postgres regime) hands in what it read and copies out what is to be seen.
///
/// A function that returns false met an exception (in practice: no memory), told by problem(). What
/// the engine holds is then of no use any more: the worker ends and is started again.
namespace pgfed::pg {

class WorkerEngine {
 public:
  /// `clock` reads the boot clock. Null where memory is lacking.
  static WorkerEngine* create(const core::Self& self, std::size_t max_nodes,
                              core::Instant (*clock)()) noexcept;
  /// Closes every session, without waiting for anybody.
  ~WorkerEngine();
  WorkerEngine(const WorkerEngine&) = delete;
  WorkerEngine& operator=(const WorkerEngine&) = delete;

  // What happened; looked at by the next run().
  /// `conninfo` has passed pgfed.conninfo's check. Where it is another one than before, the sessions
  /// are dialled again with it.
  bool take_settings(const core::Settings& settings, const char* conninfo,
                     const char* database) noexcept;
  bool take_nodes(core::CatalogState state, std::span<const core::NodeSpec> nodes,
                  std::uint64_t table_system_identifier,
                  const core::VersionText& extension_version) noexcept;
  bool take_facts(const core::Facts& facts) noexcept;
  /// How this server does TLS; its files are read when they are another ones than before.
  bool take_server_tls(const net::ServerTls& server) noexcept;
  /// What is wrong with how this server is set up.
  bool take_setup(std::span<const core::Problem> problems) noexcept;
  /// An encoded report; one that cannot be decoded is dropped (its sender was told).
  bool take_letter(const core::Name& certificate_node,
                   std::span<const std::uint8_t> bytes) noexcept;

  /// Does everything that can be done without waiting.
  bool run() noexcept;

  /// For the wait.
  [[nodiscard]] int descriptor() const noexcept;
  [[nodiscard]] core::Instant next_deadline() const noexcept;
  /// How many descriptors are open now.
  [[nodiscard]] int descriptors() const noexcept;

  // What is to be told and shown. Spans stay valid until the next call of the same function.
  /// Since the last call.
  std::span<const core::Record> take_records() noexcept;
  [[nodiscard]] core::Identity identity() const noexcept;
  [[nodiscard]] std::uint64_t revision() const noexcept;
  [[nodiscard]] std::uint64_t links_revision() const noexcept;
  [[nodiscard]] std::uint64_t trust_revision() const noexcept;
  /// Whether the server is to read its configuration again; once for each time.
  [[nodiscard]] bool take_reload() noexcept;
  /// Makes rows for the functions that follow.
  bool make_picture(core::Instant now) noexcept;
  bool make_links(core::Instant now) noexcept;
  /// Frees them, once published: with a hundred nodes they are megabytes.
  void drop_links() noexcept;
  bool make_own_report(core::Instant now) noexcept;
  bool make_trust(core::Instant now) noexcept;
  void drop_trust() noexcept;
  [[nodiscard]] const core::Picture& picture() const noexcept;
  [[nodiscard]] std::span<const core::LinkRow> links() const noexcept;
  [[nodiscard]] const core::Report& own_report() const noexcept;
  [[nodiscard]] const core::TrustPicture& trust() const noexcept;
  [[nodiscard]] const core::Inventory& own_inventory() const noexcept;

  [[nodiscard]] const char* problem() const noexcept;

 private:
  struct Impl;
  explicit WorkerEngine(std::unique_ptr<Impl> impl);
  template <typename Body>
  bool guarded(Body&& body) noexcept;

  std::unique_ptr<Impl> impl_;
};

}  // namespace pgfed::pg
