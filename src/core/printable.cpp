#include "pgfed/core/printable.hpp"

#include "pgfed/core/text.hpp"

namespace pgfed::core {

std::string printable(std::string_view text, std::size_t limit) {
  std::string result(limit, '\0');
  result.resize(copy_printable(text, result.data(), limit));
  return result;
}

}  // namespace pgfed::core
