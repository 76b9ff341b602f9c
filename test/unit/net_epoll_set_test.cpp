#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "pgfed/net/epoll_set.hpp"

namespace pgfed::net {
namespace {

struct Pipe {
  Pipe() { EXPECT_EQ(pipe(ends.data()), 0); }
  ~Pipe() {
    close(ends[0]);
    close(ends[1]);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void put() const { EXPECT_EQ(write(ends[1], "x", 1), 1); }
  [[nodiscard]] int out() const { return ends[0]; }
  std::array<int, 2> ends{};
};

bool is_readable(int fd) {
  pollfd ready{.fd = fd, .events = POLLIN, .revents = 0};
  return poll(&ready, 1, 0) == 1;
}

TEST(NetEpollSet, TellsWhoseDescriptorIsReady) {
  EpollSet set;
  const Pipe a;
  const Pipe b;
  ASSERT_TRUE(set.watch(a.out(), 1, true, false));
  ASSERT_TRUE(set.watch(b.out(), 2, true, false));
  std::vector<EpollSet::Ready> ready;
  set.collect(ready);
  EXPECT_TRUE(ready.empty());
  b.put();
  set.collect(ready);
  ASSERT_EQ(ready.size(), 1U);
  EXPECT_EQ(ready[0].tag, 2U);
  EXPECT_TRUE(ready[0].readable);
  EXPECT_FALSE(ready[0].writable);
}

TEST(NetEpollSet, NestsAndIsLevelTriggered) {
  EpollSet inner;
  EpollSet outer;
  const Pipe pipe;
  ASSERT_TRUE(inner.watch(pipe.out(), 1, true, false));
  ASSERT_TRUE(outer.watch(inner.descriptor(), 2, true, false));
  EXPECT_FALSE(is_readable(outer.descriptor()));
  pipe.put();
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(is_readable(outer.descriptor()));
    std::vector<EpollSet::Ready> ready;
    outer.collect(ready);
    ASSERT_EQ(ready.size(), 1U);
    EXPECT_EQ(ready[0].tag, 2U);
  }
}

TEST(NetEpollSet, WatchesAgainAfterTheNumberWasUsedAnew) {
  EpollSet set;
  const Pipe first;
  const Pipe second;
  const int number = dup(first.out());
  ASSERT_TRUE(set.watch(number, 1, true, false));
  close(number);  // but the pipe lives on under its other number, so epoll still knows it
  const int again = dup(second.out());
  ASSERT_EQ(again, number);
  ASSERT_TRUE(set.watch(again, 2, true, false));
  second.put();
  std::vector<EpollSet::Ready> ready;
  set.collect(ready);
  ASSERT_EQ(ready.size(), 1U);
  EXPECT_EQ(ready[0].tag, 2U);
  close(again);
}

TEST(NetEpollSet, ChangesTagAndInterest) {
  EpollSet set;
  const Pipe pipe;
  ASSERT_TRUE(set.watch(pipe.ends[1], 1, true, false));
  ASSERT_TRUE(set.watch(pipe.ends[1], 5, false, true));
  std::vector<EpollSet::Ready> ready;
  set.collect(ready);
  ASSERT_EQ(ready.size(), 1U);
  EXPECT_EQ(ready[0].tag, 5U);
  EXPECT_TRUE(ready[0].writable);
}

TEST(NetEpollSet, ForgetsWhatItDoesNotHold) {
  EpollSet set;
  const Pipe pipe;
  set.forget(-1);
  set.forget(pipe.out());
  pipe.put();
  ASSERT_TRUE(set.watch(pipe.out(), 1, true, false));
  set.forget(pipe.out());
  EXPECT_FALSE(is_readable(set.descriptor()));
}

TEST(NetEpollSet, RefusesWhatCannotBeWatched) {
  EpollSet set;
  EXPECT_FALSE(set.watch(-1, 1, true, false));
  EXPECT_EQ(errno, EBADF);
}

TEST(NetEpollSet, AClosedEndIsReadable) {
  EpollSet set;
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe(ends.data()), 0);
  ASSERT_TRUE(set.watch(ends[0], 1, true, false));
  close(ends[1]);
  std::vector<EpollSet::Ready> ready;
  set.collect(ready);
  ASSERT_EQ(ready.size(), 1U);
  EXPECT_TRUE(ready[0].readable);
  close(ends[0]);
}

}  // namespace
}  // namespace pgfed::net
