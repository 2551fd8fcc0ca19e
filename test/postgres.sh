#!/bin/bash
# postgres.sh: the tests of what is kept in a database, against a real PostgreSQL server that
# it starts in an empty folder, without a port, and ends. Needs Debian's postgresql, which
# is installed with -i; else the script exits with 77.
set -euo pipefail
cd "$(dirname "$0")/.."
bin() { ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1; }
if [ -z "$(bin)" ]; then
  if [ "${1:-}" != -i ]; then echo "skipped: missing postgresql (run with -i to install)" >&2; exit 77; fi
  [ -e /usr/sbin/policy-rc.d ] || { printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d; }
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql
fi
B=$(bin) W=$(mktemp -d)
as=(); [ "$(id -u)" != 0 ] || { as=(setpriv --reuid postgres --regid postgres --clear-groups --); chown postgres "$W"; }
cleanup() { (cd / && "${as[@]}" "$B/pg_ctl" -D "$W/data" -m immediate stop >/dev/null 2>&1) || true; rm -rf "$W"; }
trap cleanup EXIT
trap 'exit 130' INT TERM
(cd / && "${as[@]}" "$B/initdb" -D "$W/data" -A trust -U postgres >/dev/null &&
  "${as[@]}" "$B/pg_ctl" -D "$W/data" -w -l "$W/log" -o "-c listen_addresses= -c unix_socket_directories=$W" start >/dev/null) || { cat "$W/log"; exit 1; }
SHOJI_TEST_POSTGRES="postgres:///postgres?host=$W&user=postgres" go test -count=1 ./internal/court ./internal/database ./internal/evidence
