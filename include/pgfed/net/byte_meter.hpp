#pragma once

#include <cstddef>
#include <cstdint>

namespace pgfed::net {

/// Counts what a peer has sent on a TCP socket, whatever a library above it has made of it so far:
/// libpq makes room for as much as a message's header claims and reads for as long as there is
/// something to read, so the bytes are counted where it cannot help them, in the kernel.
class ByteMeter {
 public:
  /// Follows this socket from now on; -1 is none. A socket that was followed already is begun
  /// afresh: its number may have been used again.
  void follow(int socket) noexcept;

  /// Starts counting at zero.
  void restart() noexcept;

  /// Bytes received since restart(), those that nobody has read yet included.
  [[nodiscard]] std::uint64_t received() const noexcept;

 private:
  [[nodiscard]] std::uint64_t total() const noexcept;

  int socket_ = -1;
  std::uint64_t start_ = 0;
};

/// Has the kernel hold no more than about this many unread bytes for a socket, so that a peer that
/// sends faster than it is read cannot keep a reader busy for long.
void limit_receive_buffer(int socket, int bytes) noexcept;

/// Memory in use by the C library's allocator, in bytes; 0 where it does not say. It shows at once
/// when libpq has made room for a message of hundreds of megabytes of which nothing has come yet.
std::size_t memory_in_use() noexcept;

}  // namespace pgfed::net
