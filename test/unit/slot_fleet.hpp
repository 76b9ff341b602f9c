#pragma once

#include <array>
#include <string>
#include <vector>

#include "pgfed/core/random.hpp"
#include "pgfed/core/slot_memory.hpp"
#include "pgfed/core/slot_policy.hpp"

/// Several servers with WAL, timelines and slots, as simple as can be, that the policy runs on; and
/// the truth about who needs what, which no server knows.
namespace pgfed::core::slot_test {

constexpr std::size_t kMostServers = 6;
constexpr int kRewind = -1;
constexpr int kNobody = -2;

/// One piece of a server's history. Numbers may be the same on two servers, `id` never is.
struct Branch {
  std::uint32_t timeline = 1;
  int id = 0;
  std::uint64_t start = 0;
};

struct FleetSlot {
  Slot slot;
  int owner = kNobody;      ///< index of the server, kRewind, or kNobody
  bool ours = true;         ///< made by pgfed
  std::uint64_t saved = 0;  ///< as the last checkpoint wrote it
  bool covers = false;      ///< its owner has all WAL before it: must stay so
  Instant busy_at{};        ///< when it was made or last in use, or its server started
};

struct Server {
  int index = 0;
  Name name;
  SlotName slot;        ///< what its slot is called
  bool member = false;  ///< in pgfed.nodes
  bool running = false;
  bool cut = false;  ///< exchanges nothing; streams all the same
  bool primary = false;
  std::uint8_t life = 1;
  std::vector<Branch> branches{Branch{}};
  std::uint64_t flush = 100, replay = 100, oldest = 1;
  Checkpoint control{Lsn{90}, Lsn{90}, 1};
  std::vector<Checkpoint> in_wal{Checkpoint{Lsn{90}, Lsn{90}, 1}};
  std::vector<FleetSlot> slots;
  int upstream = -1;
  bool streaming = false;
  bool uses_slot = true;
  std::array<bool, kMostServers> rewind_covers{};  ///< for the other one
  int copies = 1;                                  ///< counts when it was rewound or copied
  std::array<int, kMostServers> heard{};           ///< which copy of the other one was heard last
  std::array<SlotPeer, kMostServers> peers;        ///< unnamed: not known
  SlotMemory memory;
  std::vector<DurableSlot> durable;

  /// The managed slot of this owner; null where there is none.
  [[nodiscard]] FleetSlot* find(int owner) {
    for (FleetSlot& entry : slots) {
      if (entry.ours && entry.owner == owner) return &entry;
    }
    return nullptr;
  }
  /// The one that it replays, a primary: writes.
  [[nodiscard]] std::size_t replayed_branch() const {
    std::size_t index = branches.size() - 1;
    while (!primary && index > 0 && branches[index].start >= replay) --index;
    return index;
  }
};

enum class Limits { none, retained, space };

class Fleet {
 public:
  Fleet(std::uint64_t seed, Limits limits);

  /// One random thing happens, and some time passes.
  void step();
  /// Everything comes up and catches up; what cannot is copied anew.
  void settle();
  /// The slots of every node against the policy.
  void check_end();

  std::string trouble;  ///< the first thing that went wrong; empty: nothing

 private:
  std::uint64_t pick(std::uint64_t below) { return random_.next() % below; }
  bool chance(int percent) { return pick(100) < static_cast<std::uint64_t>(percent); }
  Server* any(bool (*which)(const Server&));
  Server& at(int index) { return servers_[static_cast<std::size_t>(index)]; }
  /// Those that have been made.
  struct Range {
    Server* const* first;
    Server* const* last;
    [[nodiscard]] Server* const* begin() const { return first; }
    [[nodiscard]] Server* const* end() const { return last; }
  };
  [[nodiscard]] Range all() const { return {list_.data(), list_.data() + count_}; }
  [[nodiscard]] int members() const;
  void fail(const std::string& what);

  Server& create();
  void add();
  void remove();
  void checkpoint(Server& server);
  void stop(Server& server, bool crash);
  void start(Server& server);
  void promote(Server& server);
  bool rewind(Server& target, const Server& source);
  void copy(Server& target, Server& source, bool snapshot);
  void become(Server& target, const Server& source);
  void meddle(Server& server);

  void turn(Duration duration);
  void stream(Server& server);
  void exchange(Server& server);
  void manage(Server& server, bool cycle);
  void execute(Server& server, const SlotAction& action);
  void check();

  static std::uint64_t common(const Server& a, const Server& b);
  static std::uint64_t common_redo(const Server& a, const Server& b);
  static bool diverged(const Server& server, const Server& from);
  [[nodiscard]] SlotSituation look(const Server& server) const;
  [[nodiscard]] std::string why(const Server& server, const SlotName& slot) const;
  void forget_cover(const Server& server);

  Random random_;
  SlotSettings settings_;
  Instant now_ = Instant(std::chrono::hours(1));
  int next_branch_ = 1;
  std::array<Server, kMostServers> servers_;
  std::array<Server*, kMostServers> list_{};
  std::size_t count_ = 0;
};

}  // namespace pgfed::core::slot_test
