#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace pgfed::core {

/// What copy_printable() makes of a text, at most `limit` bytes of it.
std::string printable(std::string_view text, std::size_t limit = 256);

}  // namespace pgfed::core
