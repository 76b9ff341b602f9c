#include "pgfed/net/byte_meter.hpp"

#include <linux/tcp.h>  // not netinet/tcp.h, whose struct tcp_info ends before what is wanted here
#include <malloc.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstddef>

namespace pgfed::net {

void ByteMeter::follow(int socket) noexcept {
  socket_ = socket;
  start_ = 0;
}

void ByteMeter::restart() noexcept { start_ = total(); }

std::uint64_t ByteMeter::received() const noexcept {
  const std::uint64_t now = total();
  return now > start_ ? now - start_ : 0;
}

std::uint64_t ByteMeter::total() const noexcept {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (socket_ < 0 || getsockopt(socket_, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return 0;
  return info.tcpi_bytes_received;
}

void limit_receive_buffer(int socket, int bytes) noexcept {
  // Where it fails the default stays, which is larger but finite too.
  (void)setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
}

std::size_t memory_in_use() noexcept {
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
#else
  return 0;
#endif
}

}  // namespace pgfed::net
