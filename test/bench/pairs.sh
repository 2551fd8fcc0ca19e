#!/bin/bash
# pairs.sh BENCH [ROUNDS [SECONDS [NAMES]]]: what a list costs, in one run. BENCH is the folder of the side-by-side
# bench, whose generator, name servers and tools are used. Two servers are on one core, one with a list of NAMES
# (1000000) and one without, beside the C echo; each gets the whole load for SECONDS (2), in turn, ROUNDS (20) times,
# so that whatever else the machine does falls on all alike. Prints microseconds of processor time a query, from the
# scheduler's own count, and the ratios of neighbours: lower quartile, median, upper quartile.
set -u
HERE=$(cd "${1:?the folder of the bench}" && pwd) || exit 2
ROUNDS=${2:-20} SECS=${3:-2} NAMES=${4:-1000000}
REPOSITORY=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
renice -n -15 -p $$ > /dev/null 2>&1
BENCH_CACHE=${BENCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/dns-bench} DATA=$BENCH_CACHE/data BIN=$BENCH_CACHE/bin
W=$(mktemp -d) IP=127.0.0.1 SINK=127.0.0.53 PEER=shoji EXTRA=/dev/null RAW=/dev/null
mkdir -p "$DATA" "$BIN"
. "$HERE/lib.sh"
. "$HERE/auth.sh"
. "$REPOSITORY/test/bench/shoji.sh"
PIDS=()
trap 'kill "${PIDS[@]}" 2> /dev/null; wait "${PIDS[@]}" 2> /dev/null; auth_stop; rm -rf "$W"' EXIT
trap 'exit 130' INT TERM
setup_common && python3 "$HERE/gen.py" "$DATA" 1000 "$NAMES" && auth_start || exit 1
: "${SHOJI_BIN:=}"
[ -n "$SHOJI_BIN" ] || SHOJI_BIN=$W/shoji
[ "$SHOJI_BIN" != "$W/shoji" ] || ( cd "$REPOSITORY" && CGO_ENABLED=0 go build -o "$SHOJI_BIN" ./cmd/shoji ) || exit 1
SHOJI_BIN=$(readlink -f "$SHOJI_BIN")
peer_install || exit 1

begin() { # NAME PORT LIST
  LIST=$3 P=$W/$1 PORT=$2 TLSPORT=$((8000 + $2)) HTTPSPORT=$((9000 + $2))
  CMD=()
  mkdir -p "$P"
  peer_cmd || exit 1
  sed -i "s/127.0.0.1:5301/127.0.0.1:$((PORT + 1))/" "$P/shoji.yaml" # of the unfiltered view
  ( cd "$P" && exec taskset -c 0 "${CMD[@]}" ) > "$P/stdout" 2> "$P/stderr" &
  PIDS+=($!)
  wait_dns 127.0.0.1 "$PORT" w1.z0.bench A 180 || { cat "$P/stderr" >&2; exit 1; }
  warm "$DATA/q/warm"
}
begin without 5300 ""
begin with 5310 "$DATA/lists/$NAMES"
warm "$DATA/q/blocked-$NAMES"
taskset -c 0 "$BIN/cecho" 5399 32 mmsg &
PIDS+=($!)
sleep .3
for pid in "${PIDS[@]}"; do kill -0 "$pid" || exit 1; done

nanoseconds() { cat "/proc/$1/task/"*/schedstat | awk '{ s += $1 } END { printf "%d", s }'; }
one() { # WHAT PID PORT QUERIES
  local a b n
  PORT=$3
  a=$(nanoseconds "$2")
  n=$(load -f "$4" -w 200 -l "$SECS" -t .5 2> /dev/null | grep -o 'answered=[0-9]*' | cut -d= -f2)
  b=$(nanoseconds "$2")
  [ "${n:-0}" -gt 0 ] || { echo "no answers: $1" >&2; exit 1; }
  echo "$1 $((b - a)) $n" >> "$W/figures"
}
for round in $(seq "$ROUNDS"); do
  log "round $round of $ROUNDS"
  one echo "${PIDS[2]}" 5399 "$DATA/q/warm"
  one warm "${PIDS[0]}" 5300 "$DATA/q/warm"
  one listed "${PIDS[1]}" 5310 "$DATA/q/warm"
  one blocked "${PIDS[1]}" 5310 "$DATA/q/blocked-$NAMES"
  one listed "${PIDS[1]}" 5310 "$DATA/q/warm"
  one warm "${PIDS[0]}" 5300 "$DATA/q/warm"
done
python3 - "$W/figures" "$ROUNDS" "$NAMES" <<'P'
import collections, statistics, sys
figures, rounds, names = sys.argv[1], int(sys.argv[2]), sys.argv[3]
us = collections.defaultdict(list)
for line in open(figures):
    what, ns, answered = line.split()
    us[what].append(int(ns) / 1000 / int(answered))
quartiles = lambda v: " ".join("%.3f" % x for x in (statistics.quantiles(v, n=4) if len(v) > 1 else v))
for what, text in (("echo", "C echo"), ("warm", "warm"), ("listed", f"warm, {names} listed"), ("blocked", f"blocked of {names}")):
    print(f"{text:32} {quartiles(us[what])} us a query")
twice = lambda what: [us[what][2 * i + j] for i in range(rounds) for j in (0, 1)]
ratio = lambda a, b: quartiles([x / y for x, y in zip(a, b)])
each = lambda what: us[what][::2]
print(f"{'warm / echo':32} {ratio(each('warm'), us['echo'])}")
print(f"{'blocked / echo':32} {ratio(us['blocked'], us['echo'])}")
print(f"{'warm with the list / without':32} {ratio(twice('listed'), twice('warm'))}")
P
