# shellcheck shell=bash
# Functions shared by the scripts in this folder. Source it, after `set -euo pipefail`.
#
# Environment that users may set:
#   PG_CONFIG    the pg_config of the PostgreSQL to build for and test with (default: pg_config)
#   PGFED_WORK   where builds, staged installations and test runs go (default: /var/tmp/pgfed-USER)
#   PGFED_CACHE  where what is slow to make is kept: debootstrap folders, servers built from source
#                (default: /var/cache/pgfed when that can be written, else ~/.cache/pgfed)

# A failure inside $(...) is a failure too.
shopt -s inherit_errexit

PGFED_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
PGFED_PROGRAM=${0##*/}

# Whatever is made here must be readable by the account that runs servers.
umask 022
# Called from make, these would tell the make that a script runs what its caller was told.
unset MAKEFLAGS MFLAGS MAKELEVEL

say() { printf '%s: %s\n' "$PGFED_PROGRAM" "$*" >&2; }

die() {
  say "$*"
  exit 1
}

# Prints the lines that start a script, from the second to the first that is no comment: its manual.
usage() { sed -n '2,${/^#/!q;s/^# \{0,1\}//p}' "$0"; }

is_root() { [ "$(id -u)" -eq 0 ]; }

# as_root CMD...: runs CMD as root, by sudo where needed. Proxy settings pass through.
as_root() {
  if is_root; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo --preserve-env=http_proxy,https_proxy,ftp_proxy,no_proxy,DEBIAN_FRONTEND,PGFED_CACHE -- "$@"
  else
    die "this needs root: run it as root, or install sudo"
  fi
}

# The account that servers and tests run as: PostgreSQL refuses to run as root.
server_user() {
  if ! is_root; then
    id -un
  elif id postgres >/dev/null 2>&1; then
    echo postgres
  else
    echo nobody
  fi
}

# private_dir DIR: makes DIR, which lies in a place that others may write to as well (/var/tmp), and
# refuses one that somebody else has put there.
private_dir() {
  local dir=$1
  mkdir -p "$(dirname "$dir")"
  mkdir -m 0755 "$dir" 2>/dev/null || true
  if [ -L "$dir" ] || [ ! -d "$dir" ] || [ "$(stat -c %u "$dir")" -ne "$(id -u)" ]; then
    die "$dir is not a directory of user $(id -un): set PGFED_WORK to another place"
  fi
  # Readable by the server's account, writable by nobody else.
  [ "$(stat -c %a "$dir")" = 755 ] || chmod 0755 "$dir"
}

# Prints the work area, which exists afterwards.
work_dir() {
  local dir=${PGFED_WORK:-/var/tmp/pgfed-$(id -un)}
  private_dir "$dir"
  (cd "$dir" && pwd -P)
}

# Prints the cache directory, which exists afterwards.
cache_dir() {
  local dir=${PGFED_CACHE:-}
  if [ -z "$dir" ]; then
    if is_root || [ -w /var/cache/pgfed ]; then
      dir=/var/cache/pgfed
    else
      dir=${XDG_CACHE_HOME:-$HOME/.cache}/pgfed
    fi
  fi
  mkdir -p "$dir"
  (cd "$dir" && pwd -P)
}

# Prints the absolute path of the server's own pg_config. What PATH offers may be a wrapper of
# libpq-dev that knows only some of the answers, and a relative path is of no use elsewhere.
pg_config_path() {
  local given=${PG_CONFIG:-pg_config} bindir
  command -v "$given" >/dev/null || die "no $given found: set PG_CONFIG, or run 'make deps'"
  bindir=$("$given" --bindir)
  if [ -x "$bindir/pg_config" ]; then
    echo "$bindir/pg_config"
  else
    command -v "$given"
  fi
}

# pg_major PG_CONFIG: prints 15, 17 …
pg_major() {
  local version
  version=$("$1" --version)
  version=${version#PostgreSQL }
  echo "${version%%[!0-9]*}"
}

# tree_key PG_CONFIG: a folder name for what is built from this work tree with that PostgreSQL.
tree_key() {
  local sum
  sum=$(printf '%s\n' "$PGFED_ROOT" "$1" | sha256sum)
  printf '%s-%.8s\n' "$(pg_major "$1")" "$sum"
}

# locked FILE CMD...: runs CMD while no other `locked FILE` runs. CMD may be a function.
locked() {
  local file=$1
  shift
  (
    exec 9>"$file"
    if ! flock -n 9; then
      say "waiting for another run that holds $file"
      flock 9
    fi
    # Servers that CMD might leave must not inherit the lock.
    "$@" 9>&-
  )
}

# record pass|fail|skip SUITE NAME: notes the result of one test in the file PGFED_RESULTS, if any.
record() {
  [ -z "${PGFED_RESULTS:-}" ] || printf '%s\t%s\t%s\n' "$@" >>"$PGFED_RESULTS"
}

# result_count pass|fail|skip [SUITE]: how many such results PGFED_RESULTS has.
result_count() {
  awk -F '\t' -v result="$1" -v suite="${2:-}" \
    '$1 == result && (suite == "" || $2 == suite) { n++ } END { print n + 0 }' "$PGFED_RESULTS"
}

# result_table: says on standard output what PGFED_RESULTS holds: a line for each suite, each failure,
# and last, alone on its line, the sum.
result_table() {
  local suite
  while IFS= read -r suite; do
    printf '  %-44s %4d passed %4d failed %4d skipped\n' "$suite" "$(result_count pass "$suite")" \
      "$(result_count fail "$suite")" "$(result_count skip "$suite")"
  done < <(cut -f 2 "$PGFED_RESULTS" | awk '!seen[$0]++')
  awk -F '\t' '$1 == "fail" { printf "  FAILED: %s: %s\n", $2, $3 }' "$PGFED_RESULTS"
  printf '\n%d passed, %d failed' "$(result_count pass)" "$(result_count fail)"
  [ "$(result_count skip)" -eq 0 ] || printf ', %d skipped' "$(result_count skip)"
  printf '\n'
}

# Prints the files of a source tree, which are all but what builds make, sorted and NUL-terminated:
# path, then (after tabs) what changes when the file does.
tree_files() {
  (cd "$1" && find . \
    \( -name .git -o -name .precompiled -o -name 'build*' -o -name results -o -name tmp_check \) -type d -prune -o \
    \( -type f -o -type l \) \
    ! -name '*.o' ! -name '*.d' ! -name '*.so' ! -name '*.a' ! -name '*.bc' \
    ! -name .build-stamp ! -name .synced \
    -printf '%P\t%s\t%T@\t%l\t' \( -perm -100 -printf 'x\0' -o -printf '\0' \) |
    LC_ALL=C sort -z)
}

# sync_tree FROM TO: makes TO a copy of the source tree FROM. What TO has built stays, unchanged files
# are not touched (a test may be reading them), and source files that FROM no longer has are removed.
#
# What is copied becomes as old as the copying, for make's sake: a file that was edited while its
# object was being built from the version before would else be older than that object. So TO/.synced,
# and not TO's own files, says what the files of FROM were like.
sync_tree() {
  local from=$1 to=$2 scratch
  scratch=$(mktemp -d)
  mkdir -p "$to"
  touch "$to/.synced"
  tree_files "$from" >"$scratch/files"
  cut -z -f 1 "$scratch/files" >"$scratch/names"
  tree_files "$to" | cut -z -f 1 >"$scratch/present"

  LC_ALL=C comm -z -13 "$scratch/names" "$scratch/present" | (cd "$to" && xargs -0 -r rm -f --)
  {
    LC_ALL=C comm -z -23 "$scratch/files" "$to/.synced" | cut -z -f 1
    LC_ALL=C comm -z -23 "$scratch/names" "$scratch/present"
  } | LC_ALL=C sort -zu >"$scratch/fresh"
  if [ -s "$scratch/fresh" ]; then
    tar -C "$from" --null --verbatim-files-from -T "$scratch/fresh" -cf - |
      tar -C "$to" --no-same-owner --touch --unlink-first -xf -
    # Another account may have to read it, whatever the umask was that the tree was made under.
    chmod -R go+rX,go-w "$to"
  fi
  mv "$scratch/files" "$to/.synced"
  rm -rf "$scratch"
}

# Prints the package archives that this machine's own apt uses for its Debian release, as
# «URI SUITE COMPONENT KEYRING», one a line, the release's main archive first.
apt_archives() {
  local codename
  # shellcheck source=/dev/null
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  # The placeholders are apt's.
  # shellcheck disable=SC2016
  apt-get indextargets --no-release-info --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(SIGNED_BY)' \
    'Created-By: Packages' 'Component: main' |
    sed 's/\$(SIGNED_BY)/-/' | awk '{ if (NF < 4) $4 = "-"; print $1, $2, $3, $4 }' |
    awk -v codename="$codename" '
      seen[$0]++ { next }
      # Archives of other vendors (their suites are not named after the release) stay out.
      $2 == codename || $2 ~ /^(stable|testing|unstable|sid|oldstable)$/ { first = first $0 "\n"; next }
      index($2, codename "-") == 1 || $2 ~ /^(stable|testing|oldstable)-/ { rest = rest $0 "\n" }
      END { printf "%s%s", first, rest }'
}

# Prints the address of the Debian archive that this machine's own apt uses.
debian_mirror() {
  local mirror
  mirror=$(apt_archives | awk 'NR == 1 { print $1 }')
  [ -n "$mirror" ] || die "apt of this machine has no Debian archive: see /etc/apt/sources.list.d"
  echo "$mirror"
}

# Prints apt's own settings that a second apt on this machine needs to reach the same archives.
apt_access_settings() {
  apt-config dump | grep -E '^Acquire::(http|https|ftp|Retries|ForceIPv[46]|Check-Valid-Until)' || true
}
