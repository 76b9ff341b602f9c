# shellcheck shell=bash
# What demo/run, demo/stop and demo/federation share. Source it after scripts/lib.sh.

# Where the demo lives while it runs: certificates, data directories, logs and sockets.
demo_dir() { echo "$(work_dir)/demo"; }

nodes=(leo ait pit)
declare -A address=([leo]=127.0.0.2 [ait]=127.0.0.3 [pit]=127.0.0.4)
