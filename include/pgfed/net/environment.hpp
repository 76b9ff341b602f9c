#pragma once

namespace pgfed::net {

/// Removes from this process's environment everything by which libpq would let it steer a
/// connection: PGHOST, PGSERVICE, PGPASSWORD, PGSSLMODE, PGOPTIONS and so on, all that this libpq
/// names and the few that it does not list. Kerberos tickets go out of its sight too, since libpq
/// waits while it uses them. To be called once, when a worker starts and before
/// anything else uses libpq; it changes the environment of the calling process only.
void clear_environment() noexcept;

}  // namespace pgfed::net
