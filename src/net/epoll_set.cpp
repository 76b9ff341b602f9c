#include "pgfed/net/epoll_set.hpp"

#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace pgfed::net {

EpollSet::EpollSet() noexcept : descriptor_(epoll_create1(EPOLL_CLOEXEC)) {}

EpollSet::~EpollSet() {
  if (descriptor_ >= 0) close(descriptor_);
}

bool EpollSet::watch(int fd, Tag tag, bool readable, bool writable) noexcept {
  epoll_event event{};
  event.events = (readable ? EPOLLIN | EPOLLRDHUP : 0U) | (writable ? EPOLLOUT : 0U);
  event.data.u64 = tag;
  if (epoll_ctl(descriptor_, EPOLL_CTL_MOD, fd, &event) == 0) return true;
  return errno == ENOENT && epoll_ctl(descriptor_, EPOLL_CTL_ADD, fd, &event) == 0;
}

void EpollSet::forget(int fd) noexcept {
  if (fd < 0) return;
  epoll_event unused{};  // kernels before 2.6.9 insist on one
  epoll_ctl(descriptor_, EPOLL_CTL_DEL, fd, &unused);
}

void EpollSet::collect(std::vector<Ready>& ready) const {
  std::array<epoll_event, 64> events{};
  const int count = epoll_wait(descriptor_, events.data(), static_cast<int>(events.size()), 0);
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    const bool broken = (event.events & (EPOLLERR | EPOLLHUP)) != 0;
    ready.push_back({.tag = event.data.u64,
                     .readable = broken || (event.events & (EPOLLIN | EPOLLRDHUP)) != 0,
                     .writable = broken || (event.events & EPOLLOUT) != 0});
  }
}

}  // namespace pgfed::net
