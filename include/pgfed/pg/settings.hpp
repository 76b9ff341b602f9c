#pragma once

#include "pgfed/core/settings.hpp"
#include "pgfed/pg/postgres_api.hpp"

namespace pgfed::pg::setting {

// The settings' variables, as GUC keeps them; see define_settings() for what each means.
extern char* node_name;
extern char* federation_name;
extern char* database;
extern int max_nodes;
extern int mode;  // core::Mode
extern char* conninfo;
extern int peer_interval;         // ms
extern int peer_timeout;          // ms
extern int lag_warning;           // ms
extern int lag_critical;          // ms
extern int tls_interval;          // ms
extern int certificate_warning;   // s
extern int certificate_critical;  // s
extern bool tls_reload;

/// Defines them all; with check hooks that say what is wrong without repeating a possible secret.
void define_settings();

/// As the core takes them.
core::Settings core_settings();

}  // namespace pgfed::pg::setting
