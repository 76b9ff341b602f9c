# Builds and installs the module with PGXS, for packagers and users:
#
#   make [PG_CONFIG=/path/to/pg_config]
#   make install [DESTDIR=…]
#   make installcheck
#
# installcheck runs the tests of test/regress against a running server (PGHOST, PGPORT … say which)
# as a superuser. That server must have been started with what test/regress/pgfed.conf sets: before
# all, shared_preload_libraries = 'pgfed' and pgfed.database = 'pgfed_regress', the database that the
# tests create anew. Do not use a server that is in production.
#
# Needs g++ 12 or later, and the headers of the server, libpq, OpenSSL 3 and c-ares. WERROR= lets
# warnings of other compilers pass. GNUmakefile, which make reads first where both are, adds the
# targets of development and hands all others to this file.

MODULE_big = pgfed
EXTENSION = pgfed

# Where this file is, relative to where make runs: empty, but for a build in a directory of its own.
here := $(patsubst ./,,$(dir $(lastword $(MAKEFILE_LIST))))
sources = $(patsubst $(here)%,%,$(sort $(wildcard $(addprefix $(here),$(1)))))

DATA = $(call sources,sql/pgfed--*.sql)
REGRESS = $(patsubst test/regress/sql/%.sql,%,$(call sources,test/regress/sql/*.sql))
REGRESS_OPTS = --inputdir=$(here)test/regress \
  $(if $(filter 15,$(MAJORVERSION)),,--expecteddir=$(here)test/regress)

core_objects = $(patsubst %.cpp,%.o,$(call sources,src/core/*.cpp))
net_objects = $(patsubst %.cpp,%.o,$(call sources,src/net/*.cpp))
pg_objects = $(patsubst %.cpp,%.o,$(call sources,src/pg/*.cpp))
c_objects = $(patsubst %.c,%.o,$(call sources,src/pg/*.c))
OBJS = $(core_objects) $(net_objects) $(pg_objects) $(c_objects)

WERROR ?= -Werror
warnings = -Wall -Wextra $(WERROR)
# Headers of server versions before 16 have `register`, which C++17 dropped.
PG_CXXFLAGS = -std=c++20 -fvisibility=hidden -fvisibility-inlines-hidden -fno-semantic-interposition \
  $(warnings) -Wno-register
PG_CFLAGS = -fvisibility=hidden $(warnings)

PKG_CONFIG ?= pkg-config
foreign = libssl libcrypto libcares
exports = $(here)src/pg/pgfed.map
SHLIB_LINK = $(libpq) $(or $(shell $(PKG_CONFIG) --libs $(foreign) 2>/dev/null),-lssl -lcrypto -lcares) \
  -lstdc++ -Wl,--version-script=$(exports)

EXTRA_CLEAN = .build-stamp .precompiled $(OBJS:.o=.d)

# PGXS would compile bitcode as well, without the flags that C++ needs here.
override with_llvm = no

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

CONTRIB_TESTDB = pgfed_regress

# Each layer sees only the headers that it may include. Those that are not ours are system headers:
# their warnings are not ours either. (An explicit -isystem /usr/include would hide the C library from
# the C++ library.)
system = $(addprefix -isystem ,$(filter-out /usr/include /usr/include/,$(1)))
core_headers = -I$(here)include
net_headers = $(core_headers) $(call system,$(includedir)) $(shell $(PKG_CONFIG) --cflags $(foreign) 2>/dev/null)
pg_headers = $(net_headers) $(call system,$(includedir_server))
macros = $(filter-out $(if $(UNOPTIMIZED),-D_FORTIFY_SOURCE%),$(filter -D% -U%,$(CPPFLAGS)))
compile = $(macros) $(call first_read,$(@D)) -MMD -MP -c -o $@ $<

# For somebody who waits for it: half the time again.
ifneq ($(UNOPTIMIZED),)
override CXXFLAGS += -O0 -g0
endif

# With PRECOMPILE=1, what most files of a layer read is compiled once: that halves the time of a build
# from nothing with g++. Nothing else changes by it, and packagers need not bother.
ifneq ($(PRECOMPILE),)
core_reads = <algorithm> <array> <chrono> <cstdint> <map> <optional> <span> <string> <string_view> \
  <utility> <variant> <vector>
net_reads = $(core_reads) <cstring> <functional> <memory> <libpq-fe.h> <openssl/ssl.h> <openssl/x509.h>
pg_reads = "pgfed/pg/postgres_api.hpp"
first_read = $(if $(filter %.c,$<),,-include .precompiled/$(notdir $(1)).hpp)

define precompiled
.precompiled/$(1).hpp: .build-stamp
	@$$(MKDIR_P) $$(@D)
	@printf '#include %s\n' $$(patsubst %,'%',$$($(1)_reads)) >$$@
.precompiled/$(1).hpp.gch: .precompiled/$(1).hpp
	$$(CXX) $$(CXXFLAGS) $$($(1)_headers) $$(macros) -MMD -MP -MF .precompiled/$(1).d -MT $$@ -x c++-header -o $$@ $$<
$$($(1)_objects): .precompiled/$(1).hpp.gch
endef
$(foreach layer,core net pg,$(eval $(call precompiled,$(layer))))
-include $(wildcard .precompiled/*.d)
endif

$(core_objects): src/core/%.o: $(here)src/core/%.cpp .build-stamp
	@$(MKDIR_P) $(@D)
	$(CXX) $(CXXFLAGS) $(core_headers) $(compile)

$(net_objects): src/net/%.o: $(here)src/net/%.cpp .build-stamp
	@$(MKDIR_P) $(@D)
	$(CXX) $(CXXFLAGS) $(net_headers) $(compile)

$(pg_objects): src/pg/%.o: $(here)src/pg/%.cpp .build-stamp
	@$(MKDIR_P) $(@D)
	$(CXX) $(CXXFLAGS) $(pg_headers) $(compile)

$(c_objects): src/pg/%.o: $(here)src/pg/%.c .build-stamp
	@$(MKDIR_P) $(@D)
	$(CC) $(CFLAGS) $(pg_headers) $(compile)

$(shlib): $(exports) .build-stamp

# Objects made for another server or with other flags must not be linked with those made now; and a
# source file that is gone must be gone from the module as well.
build_facts = $(VERSION) $(includedir_server) $(CXX) $(CXXFLAGS) $(CC) $(CFLAGS) $(CPPFLAGS) $(pg_headers) $(OBJS) $(PRECOMPILE)
.PHONY: force
.build-stamp: force
	@echo '$(subst ','\'',$(build_facts))' | cmp -s - $@ || echo '$(subst ','\'',$(build_facts))' >$@

-include $(wildcard $(OBJS:.o=.d))
