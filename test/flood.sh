#!/bin/bash
# flood.sh [-i] [FLAGS of test/flood]: what floods over encrypted transports leave of plain UDP.
#
# In a network namespace that it makes and removes, shoji serves its lab with GOMAXPROCS=2 and one
# reader of plain UDP. Each flood of test/flood is played while UDP is loaded, in turn with UDP alone,
# and medians are printed. Where the machine has four processors or more, the server has two of
# them and the clients the others, and the replies say how much is left; else they share all, and the
# share of the server's processor time does.
#
#   test/flood.sh -rounds 5 -length 2s -least 0.9    # fails where less than 0.9 of a processor is left
#   test/flood.sh -rate 40000 -least 0.9             # fails where less than 0.9 of so many queries a second is answered
#   test/flood.sh -kinds tls-hello,doh-reset
#
# Needs root, dig and ip. What is missing is installed from Debian with -i; else the script exits with 77.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd); ROOT=$(cd "$HERE/.." && pwd)
. "$HERE/stage.sh"
whether=; [ "${1:-}" != -i ] || { whether=-i; shift; }
need "$whether" dig:bind9-dnsutils ip:iproute2

(cd "$ROOT" && go build -o "$W/shoji" ./cmd/shoji && go build -o "$W/flood" ./test/flood)
make_namespace 127.0.0.1
cat > "$W/shoji.yaml" <<CONF
state: $W/state
listen: {filtered: ["127.0.0.1:5300"], unfiltered: ["127.0.0.1:5301"], workers: 1}
encrypted:
  dot: ["127.0.0.1:853"]
  doh: ["127.0.0.1:443"]
  doq: ["127.0.0.1:853"]
  connections: 4096
  oblivious: {target: true}
log: {listen: []}
desk: {listen: []}
CONF
server=() clients=() last=$(($(nproc) - 1))
if [ "$last" -ge 3 ]; then server=(taskset -c 0-1) clients=(taskset -c "2-$last"); fi
start shoji env GOMAXPROCS=2 "${server[@]}" "$W/shoji" serve --lab --config "$W/shoji.yaml" --state "$W/state"
wait_for 127.0.0.1 5300 c2.evil.test
inside "${clients[@]}" "$W/flood" -process "${PIDS[0]}" -udp 127.0.0.1:5300 -dot 127.0.0.1:853 -doh 127.0.0.1:443 -doq 127.0.0.1:853 "$@"
