#pragma once

#include <cstdint>
#include <string>

namespace pgfed::net {

/// What tells one state of a file from another without reading it. A path may lead through symbolic
/// links: all of them count, since a Kubernetes secret is renewed by putting another link in place
/// of `..data`, a directory above the file.
struct FileStamp {
  std::uint64_t value = 0;  ///< differs where anything does
  std::int64_t newest = 0;  ///< last change of the file or of a link, microseconds since 1970
  bool operator==(const FileStamp&) const = default;
};

FileStamp stamp_of(const std::string& path);

/// Of a directory and of the files in it, at most a thousand.
FileStamp stamp_of_directory(const std::string& path);

}  // namespace pgfed::net
