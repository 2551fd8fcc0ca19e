#!/bin/bash
# mysql.sh: the tests of a log that a database keeps, against a real MariaDB or MySQL server
# that it starts in an empty folder, on a socket alone, and ends. Needs Debian's
# mariadb-server, which is installed with -i; else the script exits with 77.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v mariadbd >/dev/null; then
  if [ "${1:-}" != -i ]; then echo "skipped: missing mariadb-server (run with -i to install)" >&2; exit 77; fi
  [ -e /usr/sbin/policy-rc.d ] || { printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d; }
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mariadb-server
fi
W=$(mktemp -d) me=$(id -un) server=
[ "$(id -u)" != 0 ] || { me=mysql; chown mysql "$W"; }
cleanup() { [ -z "$server" ] || { kill "$server" 2>/dev/null && wait "$server" 2>/dev/null; } || true; rm -rf "$W"; }
trap cleanup EXIT
trap 'exit 130' INT TERM
mariadb-install-db --no-defaults --user="$me" --datadir="$W/data" --auth-root-authentication-method=normal --skip-test-db > "$W/log" 2>&1 || { cat "$W/log"; exit 1; }
mariadbd --no-defaults --user="$me" --datadir="$W/data" --socket="$W/s" --skip-networking --pid-file="$W/pid" > "$W/log" 2>&1 &
server=$!
for _ in $(seq 300); do
  mariadb --no-defaults -u root -S "$W/s" -e 'SELECT 1' >/dev/null 2>&1 && break
  kill -0 "$server" 2>/dev/null || { cat "$W/log"; exit 1; }
  sleep 0.1
done
mariadb --no-defaults -u root -S "$W/s" -e "CREATE USER shoji IDENTIFIED BY 'a+b/c d'; GRANT ALL ON \`shoji%\`.* TO shoji;"
SHOJI_TEST_MYSQL="mysql://shoji:a+b%2Fc%20d@/?socket=$W/s" go test -count=1 -timeout 1500s ./internal/sequence "${@:2}"

# As an operator does it: a list, and another machine that goes on with the database and the key.
go build -o "$W/shoji" ./cmd/shoji
mariadb --no-defaults -u root -S "$W/s" -e 'CREATE DATABASE shoji'
for n in 1 2; do
  mkdir -p "$W/state$n"
  printf 'state: %s\nlog: {database: "mysql://shoji:a+b%%2Fc%%20d@/shoji?socket=%s"}\n' "$W/state$n" "$W/s" > "$W/$n.yaml"
  [ $n = 1 ] || cp -p "$W/state1/key" "$W/state2/key"
  echo "evil$n.example" | "$W/shoji" list import - --source test --kind c2 --config "$W/$n.yaml"
  "$W/shoji" verify "$W/state$n" --memory "$W/memory"
done
"$W/shoji" list status --config "$W/2.yaml" | grep -q ' 2 listings'
