#pragma once

#include "pgfed/pg/postgres_api.hpp"

/// The entry points by which Postgres calls in: one macro each, and the only `extern "C"` of the
/// project. Visibility is given here because Postgres' own PGDLLEXPORT is empty before version 16,
/// and the module is compiled with -fvisibility=hidden.
///
/// An entry point is in the Postgres regime: only trivially destructible locals.

#define PGFED_EXPORT __attribute__((visibility("default")))

/// A function that SQL calls: PGFED_FUNCTION(pgfed_exchange) { … PG_RETURN_NULL(); }
#define PGFED_FUNCTION(function)                                  \
  extern "C" {                                                    \
  PGFED_EXPORT Datum function(FunctionCallInfo fcinfo);           \
  PGFED_EXPORT const Pg_finfo_record* pg_finfo_##function(void);  \
  PGFED_EXPORT const Pg_finfo_record* pg_finfo_##function(void) { \
    static const Pg_finfo_record record = {1};                    \
    return &record;                                               \
  }                                                               \
  }                                                               \
  extern "C" Datum function([[maybe_unused]] FunctionCallInfo fcinfo)

/// The main function of a background worker, found by its name.
#define PGFED_WORKER_MAIN(function)                      \
  extern "C" PGFED_EXPORT void function(Datum argument); \
  extern "C" void function([[maybe_unused]] Datum argument)

/// What Postgres calls when it loads the module.
#define PGFED_MODULE_INIT()                    \
  extern "C" PGFED_EXPORT void _PG_init(void); \
  extern "C" void _PG_init(void)

/// A hook, callback or check function that Postgres reaches through a pointer:
/// PGFED_CALLBACK(void, on_exit, (int code, Datum argument)) { … }
#define PGFED_CALLBACK(result, function, parameters) \
  extern "C" {                                       \
  static result function parameters;                 \
  }                                                  \
  static result function parameters
