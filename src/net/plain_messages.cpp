#include "pgfed/net/plain_messages.hpp"

namespace pgfed::net {

namespace {

/// The process's locale in everything but messages. Made once and kept: a locale may not be freed
/// while libraries hold on to its texts. Null where there was no memory, which changes nothing.
locale_t plain_locale() noexcept {
  static const locale_t plain = [] {
    const locale_t base = duplocale(LC_GLOBAL_LOCALE);
    const locale_t made = newlocale(LC_MESSAGES_MASK, "C", base);
    return made != nullptr ? made : base;
  }();
  return plain;
}

}  // namespace

PlainMessages::PlainMessages() noexcept : before_(uselocale(plain_locale())) {}

PlainMessages::~PlainMessages() { uselocale(before_); }

}  // namespace pgfed::net
