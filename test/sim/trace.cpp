#include "sim/trace.hpp"

#include <cstdio>

namespace pgfed::sim {

std::string show(Duration duration) {
  std::string micros = std::to_string(duration.count() % 1000000);
  micros.insert(0, 6 - micros.size(), '0');
  return std::to_string(duration.count() / 1000000) + "." + micros;
}

void Trace::print(Time at, std::string_view who, const std::string& what) {
  std::printf("%10s  %-8.*s %s\n", show(at).c_str(), static_cast<int>(who.size()), who.data(),
              what.c_str());
}

}  // namespace pgfed::sim
