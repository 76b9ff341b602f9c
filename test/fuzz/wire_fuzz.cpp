// Feeds decode() with whatever libFuzzer thinks of. Built by hand, from the root of the repository:
//
//   clang++-14 -std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -Iinclude
//     test/fuzz/wire_fuzz.cpp src/core/wire.cpp src/core/wire_inventory.cpp src/core/text.cpp
//     -o /tmp/wire_fuzz
//   /tmp/wire_fuzz -max_len=4096 -max_total_time=60
//
// What decode() accepts must be in range, and encode and decode to itself; except that certificates
// at the end of the inventory may be lost where the fields that a peer left out make it too large.

#include <cstdint>
#include <cstdlib>
#include <span>

#include "pgfed/core/wire.hpp"

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto report = pgfed::core::decode(std::span(data, size));
  if (!report.ok()) return 0;
  const auto bytes = pgfed::core::encode(report.value());
  if (bytes.size() > pgfed::core::kMaxReport) std::abort();
  auto again = pgfed::core::decode(bytes);
  if (!again.ok()) std::abort();
  if (report.value().inventory && again.value().inventory) {
    const auto& all = report.value().inventory->certificates;
    auto& kept = again.value().inventory->certificates;
    if (kept.size() < all.size() && bytes.size() > pgfed::core::kMaxEncodedInventory / 2) {
      kept.insert(kept.end(), all.begin() + static_cast<std::ptrdiff_t>(kept.size()), all.end());
    }
  }
  if (again.value() != report.value()) std::abort();
  return 0;
}
