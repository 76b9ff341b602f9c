#include "pgfed/net/file_stamp.hpp"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <memory>
#include <string_view>
#include <vector>

namespace pgfed::net {

namespace {

constexpr int kMaxLinks = 40;  ///< as the kernel
constexpr std::size_t kMaxFiles = 1000;
constexpr std::int64_t kMicroseconds = 1000000;
constexpr std::int64_t kNanosecondsPerMicrosecond = 1000;

void mix(FileStamp& stamp, std::uint64_t number) {
  constexpr std::uint64_t kPrime = 0x100000001b3ULL;
  for (int i = 0; i < 8; ++i, number >>= 8U) {
    stamp.value = (stamp.value ^ (number & 0xFFU)) * kPrime;
  }
}

void mix(FileStamp& stamp, std::string_view text) {
  mix(stamp, text.size());
  for (const char c : text) mix(stamp, static_cast<unsigned char>(c));
}

std::int64_t in_microseconds(const timespec& when) {
  return when.tv_sec * kMicroseconds + when.tv_nsec / kNanosecondsPerMicrosecond;
}

/// The inode, whichever it is: owner and mode too, since they decide who may read it.
void mix(FileStamp& stamp, const struct stat& about) {
  mix(stamp, static_cast<std::uint64_t>(about.st_dev));
  mix(stamp, static_cast<std::uint64_t>(about.st_ino));
  mix(stamp, static_cast<std::uint64_t>(about.st_size));
  mix(stamp, static_cast<std::uint64_t>(about.st_mode));
  mix(stamp, static_cast<std::uint64_t>(about.st_uid));
  for (const timespec& when : {about.st_mtim, about.st_ctim}) {
    mix(stamp, static_cast<std::uint64_t>(when.tv_sec));
    mix(stamp, static_cast<std::uint64_t>(when.tv_nsec));
    stamp.newest = std::max(stamp.newest, in_microseconds(when));
  }
}

std::string link_target(const std::string& path) {
  std::array<char, PATH_MAX> target{};
  const ssize_t length = readlink(path.c_str(), target.data(), target.size());
  return length > 0 ? std::string(target.data(), static_cast<std::size_t>(length)) : std::string();
}

/// Walks along the path, component by component, and notes every link on the way and what lies at
/// its end. A directory on the way is not noted: whatever is made in it would change it.
class Walk {
 public:
  explicit Walk(const std::string& path) : rest_(path) {
    if (path.starts_with('/')) at_ = "/";
  }

  FileStamp run() {
    mix(stamp_, std::string_view(rest_));
    while (step()) {
    }
    return stamp_;
  }

 private:
  /// False at the end.
  bool step() {
    const std::size_t begin = rest_.find_first_not_of('/');
    if (begin == std::string::npos) return false;
    const std::size_t end = std::min(rest_.find('/', begin), rest_.size());
    const std::string component = rest_.substr(begin, end - begin);
    rest_.erase(0, end);
    const std::string here = at_.empty() || at_ == "/" ? at_ + component : at_ + "/" + component;

    struct stat about {};
    if (lstat(here.c_str(), &about) != 0) {
      mix(stamp_, static_cast<std::uint64_t>(errno));
      return false;
    }
    if (S_ISLNK(about.st_mode)) {
      mix(stamp_, about);
      const std::string target = link_target(here);
      if (++links_ > kMaxLinks || target.empty()) return false;
      if (target.starts_with('/')) at_ = "/";
      rest_ = target + rest_;
      return true;
    }
    at_ = here;
    if (rest_.find_first_not_of('/') != std::string::npos) return true;
    mix(stamp_, about);
    return false;
  }

  FileStamp stamp_{0xcbf29ce484222325ULL, 0};
  std::string at_;
  std::string rest_;
  int links_ = 0;
};

}  // namespace

FileStamp stamp_of(const std::string& path) { return Walk(path).run(); }

FileStamp stamp_of_directory(const std::string& path) {
  FileStamp stamp = stamp_of(path);
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(path.c_str()), &closedir);
  if (!folder) return stamp;
  std::vector<std::string> names;
  // The stream is this function's own.
  // NOLINTNEXTLINE(concurrency-mt-unsafe)
  while (const dirent* entry = readdir(folder.get())) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
    if (names.size() == kMaxFiles) break;
  }
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    const FileStamp one = stamp_of(std::string(path).append("/").append(name));
    mix(stamp, one.value);
    stamp.newest = std::max(stamp.newest, one.newest);
  }
  return stamp;
}

}  // namespace pgfed::net
