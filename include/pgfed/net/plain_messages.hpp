#pragma once

#include <locale.h>

namespace pgfed::net {

/// While it lives, libpq, OpenSSL and the C library speak English to this thread, whatever
/// lc_messages says: their messages are read here, and shown to people on other servers.
class PlainMessages {
 public:
  PlainMessages() noexcept;
  ~PlainMessages();
  PlainMessages(const PlainMessages&) = delete;
  PlainMessages& operator=(const PlainMessages&) = delete;

 private:
  locale_t before_;
};

}  // namespace pgfed::net
