#pragma once

#include <cstdint>
#include <vector>

namespace pgfed::net {

/// An epoll descriptor and what hangs on it. Level-triggered. The descriptor itself becomes
/// readable when one of those watched is ready, so that sets nest: in each other, and in Postgres'
/// WaitEventSet.
class EpollSet {
 public:
  /// Says whose event it is; given at watch(). A number rather than a pointer, so that an event
  /// that was fetched before its owner went away is recognised as nobody's.
  using Tag = std::uint64_t;

  struct Ready {
    Tag tag = 0;
    bool readable = false;  ///< also when the other end has closed, or the descriptor failed
    bool writable = false;  ///< likewise
  };

  /// Where the system has no descriptor left, the set is dead: descriptor() is -1 and watch()
  /// fails.
  EpollSet() noexcept;
  ~EpollSet();
  EpollSet(const EpollSet&) = delete;
  EpollSet& operator=(const EpollSet&) = delete;

  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }

  /// Watches `fd`, or changes how it is watched. Works whether or not the set holds it already,
  /// since a library that closes and reopens its socket may well get the same number again.
  /// False: it cannot be watched (errno says why).
  bool watch(int fd, Tag tag, bool readable, bool writable) noexcept;

  /// Forgets `fd`; to be called while it is still open. Nothing happens if it was not watched, or
  /// is -1.
  void forget(int fd) noexcept;

  /// Appends what is ready now, at most 64 at a time; never waits. What is left over keeps the
  /// descriptor readable.
  void collect(std::vector<Ready>& ready) const;

 private:
  int descriptor_ = -1;
};

}  // namespace pgfed::net
