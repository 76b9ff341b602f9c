#include "pgfed/net/environment.hpp"

#include <libpq-fe.h>

#include <array>
#include <cstdlib>
#include <memory>

namespace pgfed::net {

void clear_environment() noexcept {
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> options(
      PQconninfoParse("", nullptr), &PQconninfoFree);
  if (options) {
    for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
      if (option->envvar != nullptr) unsetenv(option->envvar);
    }
  }
  // What libpq reads besides: where service files are, an obsolete spelling, and what it sends as
  // settings of the session. Those that most matter are named again, in case there was no memory.
  constexpr std::array kMore = {
      "PGSERVICE",    "PGSERVICEFILE", "PGSYSCONFDIR", "PGREQUIRESSL",     "PGREALM",
      "PGDATESTYLE",  "PGTZ",          "PGGEQO",       "PGCLIENTENCODING", "PGHOST",
      "PGHOSTADDR",   "PGPORT",        "PGDATABASE",   "PGUSER",           "PGPASSWORD",
      "PGPASSFILE",   "PGOPTIONS",     "PGAPPNAME",    "PGSSLMODE",        "PGTARGETSESSIONATTRS",
      "PGOAUTHDEBUG",
  };
  for (const char* name : kMore) unsetenv(name);
  // No ticket, no talk with a KDC: libpq would wait for that.
  setenv("KRB5CCNAME", "MEMORY:pgfed", 1);
  setenv("KRB5_CLIENT_KTNAME", "/dev/null", 1);
}

}  // namespace pgfed::net
