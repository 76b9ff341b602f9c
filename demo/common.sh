# shellcheck shell=bash
# What demo/run, demo/stop and demo/federation share. Source it after scripts/lib.sh.

# A work area of the demo's own, so that demo/stop can remove all of it, builds included.
own_work_area() { export PGFED_WORK="${PGFED_WORK:-/var/tmp/pgfed-$(id -un)}-demo"; }

# Where the demo lives while it runs: certificates, data directories, logs and sockets.
demo_dir() { echo "$PGFED_WORK/demo"; }

# Used by those who source this.
# shellcheck disable=SC2034
nodes=(leo ait pit)
# shellcheck disable=SC2034
declare -A address=([leo]=127.0.0.2 [ait]=127.0.0.3 [pit]=127.0.0.4)
