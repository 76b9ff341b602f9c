/* What has to be C: compound literals and macros that are none of C++'s. */
#include "postgres.h"

#include "fmgr.h"

/* PGDLLEXPORT says nothing before version 16, and the module hides what is not named. */
extern __attribute__((visibility("default"))) const Pg_magic_struct* Pg_magic_func(void);

#if PG_VERSION_NUM >= 180000
PG_MODULE_MAGIC_EXT(.name = "pgfed", .version = "0.1");
#else
PG_MODULE_MAGIC;
#endif
