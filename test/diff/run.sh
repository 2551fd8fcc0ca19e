#!/bin/bash
# run.sh [-i] [FLAG...]: shoji's replies compared with those of Unbound and Knot Resolver.
#
# In a network namespace that it makes and removes, NSD serves a signed tree of some
# hundred zones on loopback addresses: the root, top-level domains, and zones of all kinds
# of signing, breaking and delegating. shoji (both views), Unbound and Knot Resolver
# resolve it from the same hints and trust anchor, and are asked the same questions. It
# shows how many replies are alike, counts the differences that a rule explains (rules.go),
# and exits with 1 where one is not explained.
#
# FLAGs are those of "diff ask" (main.go): -names N (10000), -times N (3), -seed N, -json
# FILE. BIND takes part as well where BIND=1 is set. KEEP=1 keeps the scratch folder.
#
# Needs root, and nsd, unbound, kresd, dig and ip. What is missing is installed from Debian
# with -i (services are not started); else the script exits with 77.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd); ROOT=$(cd "$HERE/../.." && pwd)
. "$HERE/../stage.sh"
install=; if [ "${1:-}" = -i ]; then install=-i; shift; fi
need "$install" nsd:nsd unbound:unbound kresd:knot-resolver dig:bind9-dnsutils ip:iproute2 ${BIND:+named:bind9}
. "$HERE/resolvers.sh"

seed=1 flags=("$@")
for ((i = 0; i < ${#flags[@]}; i++)); do case ${flags[i]} in -seed | --seed) seed=${flags[i + 1]} ;; esac; done

note "building shoji, and a tree of seed $seed"
(cd "$ROOT" && go build -o "$W/shoji" ./cmd/shoji && go build -o "$W/diff" ./test/diff)
"$W/diff" tree -seed "$seed" "$W"
make_namespace $(cut -f 2 "$W/servers") 198.18.2.6 127.0.0.4 # BIND listens on addresses of interfaces alone
while IFS=$'\t' read -r name addrs zones; do
  nsd_conf "$W" "$name" "$addrs" $zones
  start "nsd-$name" nsd -d -c "$W/nsd-$name.conf"
  wait_for "${addrs%% *}" 53 .
done < "$W/servers"

note "resolvers"
peers=(-peer unbound=127.0.0.2:53 -peer knot=127.0.0.3:53)
start_shoji
start_unbound 127.0.0.2
start_knot 127.0.0.3
if [ -n "${BIND:-}" ]; then start_bind 127.0.0.4; peers+=(-peer bind=127.0.0.4:53); fi
for at in "127.0.0.1 5300" "127.0.0.1 5301" "127.0.0.2 53" "127.0.0.3 53" ${BIND:+"127.0.0.4 53"}; do wait_for ${at% *} ${at#* } www.nic.aa; done

note "questions"
inside "$W/diff" ask -shoji 127.0.0.1:5301 -filtered 127.0.0.1:5300 "${peers[@]}" "$@"
