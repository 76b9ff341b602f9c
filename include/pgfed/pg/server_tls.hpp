#pragma once

#include "pgfed/net/server_tls.hpp"

/// How Postgres is told to do TLS, and what a reload would bring. Postgres regime; needs no database.
namespace pgfed::pg {

/// From the settings as this process has them, from shared memory, and from the time stamps of the
/// configuration files. The texts are valid until the next call or the next ProcessConfigFile().
/// Cheap enough to be called each second: configuration files are parsed (for what they include)
/// only after a reload.
net::ServerTls take_server_tls();

/// Has the postmaster read its configuration and its TLS files again, and every process with it.
void request_reload();

}  // namespace pgfed::pg
